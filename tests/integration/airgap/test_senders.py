"""From level 2 on a bundle does not tell which process, user and container sent a record."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.protocol.bundle import NO_SALT, Disclosure, iter_entries
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.log_tree import salted_digest
from swt3_agent.protocol.record import Kind, encode_record
from swt3_agent.store.drafts import Draft
from swt3_agent.verify import BundleSource, verify_bundle
from tests.support.anchors import inference_anchor
from tests.support.bundles import export, rebound, relay, unpack

ENTRIES, LEAVES = "data/000000.entries.zst", "data/000000.leaves"
CGROUP = "/kubepods/pod-of-a-customer"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(
        load_config({"SWT3_STATE_DIR": str(tmp_path / "state"), "SWT3_TPM_TCTI": "none"})
    ) as node:
        assert node.config.clearing_level == 3
        yield node


def relay_from(node: Node, **changes: object) -> int:
    provenance = {
        "listener": "intake",
        "tenant": node.config.tenant,
        "applied_level": 3,
        "cgroup": CGROUP,
    }
    payload = json.dumps(inference_anchor(node.config.tenant, clearing_level=3, **changes))
    draft = Draft(Kind.RELAYED, canonical_json(provenance), payload.encode())
    return node.journal.append([draft]).result().first_seq


def entries_of(members: dict[str, bytes]) -> bytes:
    return zstandard.ZstdDecompressor().decompress(members[ENTRIES])


def test_the_payload_leaves_and_its_sender_stays(node: Node, tmp_path: Path) -> None:
    seq = relay_from(node)
    bundle = export(node, tmp_path / "bundle.tar")
    members = unpack(bundle)
    entries = entries_of(members)
    assert CGROUP.encode() not in entries
    assert node.journal.read(seq).payload in entries
    assert members[LEAVES][33 * seq] == Disclosure.PAYLOAD

    report = verify_bundle(io.BytesIO(bundle))
    assert report.code == "LOG_UNSIGNED"
    assert report.contents is not None
    assert (report.contents.recomputed, report.contents.without_sender) == (1, 1)
    assert any("Who sent 1 relayed records" in limit for limit in report.not_proven)


def test_an_importer_has_what_was_judged_of_it(node: Node, tmp_path: Path) -> None:
    seq = relay_from(node)
    bundle = export(node, tmp_path / "bundle.tar")
    source = BundleSource(
        io.BytesIO(bundle), verify_bundle(io.BytesIO(bundle)).hashes["manifest.json"]
    )
    (record,) = [record for record in source.scan(0) if record.kind is Kind.RELAYED]
    assert record.seq == seq
    assert json.loads(record.provenance) == {"applied_level": 3, "tenant": node.config.tenant}


def test_content_is_held_to_the_level_where_the_sender_is_not_told(
    node: Node, tmp_path: Path
) -> None:
    """The provenance that says to which level a record was cleared is not there to be believed."""
    relay_from(node, ai_model_id="m")
    bundle = export(node, tmp_path / "bundle.tar")
    assert b'"m"' not in entries_of(unpack(bundle))
    report = verify_bundle(io.BytesIO(bundle))
    assert report.contents is not None
    assert report.contents.withheld == {"level": 1}


def test_root_cannot_call_a_record_cleared_that_is_not(tmp_path: Path) -> None:
    settings = {"SWT3_STATE_DIR": str(tmp_path / "state"), "SWT3_TPM_TCTI": "none"}
    with Node(load_config({**settings, "SWT3_CLEARING_LEVEL": "2"})) as node:
        relay_from(node, ai_model_id="m")
        members = unpack(export(node, tmp_path / "bundle.tar"))
        bundle = rebound(node, members, level=3)
    assert verify_bundle(io.BytesIO(bundle)).code == "CLEARING_LEVEL"


def test_a_record_is_told_with_or_without_its_sender_and_says_which(
    node: Node, tmp_path: Path
) -> None:
    relay(node, 1)
    members = unpack(export(node, tmp_path / "bundle.tar"))
    kinds = [record.kind for _, _, record in iter_entries(entries_of(members))]
    for seq, disclosure in (
        (kinds.index(Kind.RELAYED), Disclosure.SHOWN),
        (kinds.index(Kind.BOOT), Disclosure.PAYLOAD),
    ):
        leaves = bytearray(members[LEAVES])
        leaves[33 * seq] = disclosure
        changed = rebound(node, {**members, LEAVES: bytes(leaves)})
        assert verify_bundle(io.BytesIO(changed)).code == "RECORD_LEAF"


def test_the_agents_own_records_tell_where_they_are_from(node: Node, tmp_path: Path) -> None:
    """Else root could hide what the agent noticed."""
    members = unpack(export(node, tmp_path / "bundle.tar"))
    (salt_p, salt_v, boot), *others = iter_entries(entries_of(members))
    hidden = replace(boot, provenance=salted_digest(salt_v, boot.provenance))
    entries = [(salt_p, NO_SALT, hidden), *others]
    data = b"".join(p + v + encode_record(record) for p, v, record in entries)
    leaves = bytearray(members[LEAVES])
    leaves[0] = Disclosure.PAYLOAD
    changed = {
        **members,
        ENTRIES: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        LEAVES: bytes(leaves),
    }
    assert verify_bundle(io.BytesIO(rebound(node, changed))).code == "RECORD_CONTENT"
