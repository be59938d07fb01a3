"""A bundle as an export writes it, and as a verifier that has nothing else judges it."""

import io
import tarfile
from pathlib import Path

import pytest

from swt3_agent.errors import AgentError
from swt3_agent.store.bundle.heads import refuse_too_many_after
from tests.integration.airgap.conftest import Handed
from tests.support.bundles import export, judged, pack, unpack

VERIFIED, UNDECIDED = 0, 4


def test_every_bundle_of_a_node_is_verified(handed: Handed) -> None:
    for bundle in (handed.first, handed.second):
        report = judged(bundle, handed.trust)
        assert (report.code, report.exit_code) == ("VERIFIED", VERIFIED)
        assert report.trusted.startswith("enroller enroller.example")


def test_bundles_follow_each_other_without_a_gap(handed: Handed) -> None:
    first, second = judged(handed.first, handed.trust), judged(handed.second, handed.trust)
    assert first.manifest is not None
    assert second.manifest is not None
    assert (first.manifest.first, first.manifest.end) == (0, second.manifest.first)
    tree = next(check for check in second.checks if check.name == "tree")
    assert f"begins at root {first.manifest.root}" in tree.detail


def test_a_bundle_is_a_plain_tar_file_in_one_spelling(handed: Handed) -> None:
    with tarfile.open(fileobj=io.BytesIO(handed.second)) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(unpack(handed.second))
    assert {(m.mtime, m.uid, m.gid, m.mode, m.type) for m in members} == {
        (0, 0, 0, 0o644, tarfile.REGTYPE)
    }
    assert pack(unpack(handed.second)) == handed.second


def test_a_refused_payload_does_not_leave_and_is_accounted_for(handed: Handed) -> None:
    assert b'{"who":"knows"}' not in b"".join(handed.members.values())
    report = judged(handed.second, handed.trust)
    assert report.contents is not None
    assert report.contents.withheld == {"quarantine": 1}


@pytest.mark.parametrize(("first", "end"), [(0, 7), (5, 6), (11, 29), (3, 12), (0, None)])
def test_any_range_can_be_exported_and_verified(
    handed: Handed, tmp_path: Path, first: int, end: int | None
) -> None:
    bundle = export(handed.node, tmp_path / "bundle.tar", first, end)
    assert judged(bundle, handed.trust).code == "VERIFIED"


@pytest.mark.parametrize(("first", "end"), [(5, 5), (6, 5), (0, 10**9), (10**9, None)])
def test_a_range_that_is_not_there_is_refused(handed: Handed, first: int, end: int | None) -> None:
    with pytest.raises(AgentError) as refused:
        export(handed.node, Path("/nowhere/bundle.tar"), first, end)
    assert refused.value.code == "BAD_RANGE"


def test_a_range_that_too_many_heads_follow_is_refused_before_the_log_says_it_left(
    handed: Handed,
) -> None:
    catalogue = handed.node.catalogue
    notes = [entry.note_seq for entry in catalogue.heads()]
    refuse_too_many_after(catalogue, notes[1], most=len(notes) - 1)
    with pytest.raises(AgentError) as refused:
        refuse_too_many_after(catalogue, notes[1], most=len(notes) - 2)
    assert refused.value.code == "BUNDLE_TOO_LARGE"
    assert f"--to {notes[2]} " in refused.value.remedy
    refuse_too_many_after(catalogue, notes[2], most=len(notes) - 2)


def test_without_a_trust_file_nothing_is_verified(handed: Handed) -> None:
    report = judged(handed.second, None)
    assert (report.code, report.exit_code) == ("SIGNER_UNANCHORED", UNDECIDED)


def test_a_software_tpm_must_be_allowed(handed: Handed) -> None:
    report = judged(handed.second, handed.trust, software=False)
    assert (report.code, report.exit_code) == ("SOFTWARE_TPM", UNDECIDED)


def test_the_report_has_the_assessors_order(handed: Handed) -> None:
    text = judged(handed.second, handed.trust).render()
    order = [
        "VERIFIED",
        "  period",
        "scope",
        "findings",
        "gaps and failures",
        "keys and trust",
        "to verify again",
        "hashes",
    ]
    places = [f"\n{text}".index(f"\n{word}") for word in order]
    assert places == sorted(places)


def test_the_report_as_json_counts_what_was_seen(handed: Handed) -> None:
    answer = judged(handed.second, handed.trust).to_json()
    bundle = answer["bundle"]
    assert isinstance(bundle, dict)
    assert answer["schema"] == "swt3-agent/verify/1"
    assert bundle["kinds"]["relayed"] == 12
    assert bundle["fingerprints"] == 12
    assert {collector["name"] for collector in bundle["collectors"]} >= {"host", "platform"}


def test_a_bundle_is_never_overwritten(handed: Handed, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar"
    target.write_bytes(b"something else")
    with pytest.raises(AgentError) as refused:
        export(handed.node, target)
    assert refused.value.code == "OUTPUT_EXISTS"
    assert target.read_bytes() == b"something else"
    assert list(tmp_path.iterdir()) == [target]
