"""A log full of junk: whatever a node may have recorded, a verifier judges it and does not fall."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.errors import AgentError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.drafts import Draft
from tests.support.bundles import export, judged, relay, unpack

CODES = {"RECORD_CONTENT", "GAP_RECORD", "NOTE_BODY", "HEAD_QUOTE", "BUNDLE_SUMS"}

JUNK = [
    b"",
    b"\xff",
    b"[]",
    b"{}",
    b'"\\ud800"',
    b"[" * 2000,
    b'{"body":1}',
    b'{"body":"x"}',
    b'{"note":"x","of":0,"before":"zz","pcrs":{}}',
    b'{"note":"\xe2\x80\x94","before":"00","pcrs":{"99":"00","x":"00"}}',
    b'{"listener":"x","from_ms":1e99,"to_ms":0,"refused":{},"dropped":-1,"evicted":0}',
    b'{"boot_id":7}',
    b'{"procedure_id":7,"clearing_level":"3"}',
]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node without TPM: anyone can forge all of its log."""
    environ = {
        "SWT3_STATE_DIR": str(tmp_path / "state"),
        "SWT3_AGENT_SOCKET": str(tmp_path / "intake.sock"),
        "SWT3_TPM_TCTI": "none",
    }
    with Node(load_config(environ)) as opened:
        yield opened


@pytest.mark.parametrize(
    "kind", [Kind.MINTED, Kind.RELAYED, Kind.CHECKPOINT, Kind.BOOT, Kind.BASELINE]
)
@pytest.mark.parametrize("payload", JUNK, ids=repr)
def test_junk_is_judged(node: Node, tmp_path: Path, kind: Kind, payload: bytes) -> None:
    provenance = b'{"applied_level":3,"listener":"agent","tenant":"LOCAL"}'
    node.journal.append([Draft(kind, provenance, payload)]).result()
    bundle = export(node, tmp_path / "bundle.tar", 1)
    report = judged(bundle, None)
    assert report.code in CODES | {"LOG_UNSIGNED"}
    assert report.render().isascii()


@pytest.mark.parametrize("seed", range(10))
def test_random_records_of_any_kind_are_judged(node: Node, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    quiet = [Kind.OPAQUE, Kind.QUARANTINE, Kind.TOMBSTONE, Kind.RECEIPT]
    drafts = [
        Draft(chance.choice(quiet), chance.randbytes(20), chance.randbytes(chance.randrange(200)))
        for _ in range(50)
    ]
    node.journal.append(drafts).result()
    report = judged(export(node, tmp_path / "bundle.tar", 1), None)
    assert report.code == "LOG_UNSIGNED"
    assert report.contents is not None
    assert report.contents.kinds.total() + report.contents.withheld.total() > 50


def test_nothing_leaves_while_custody_lacks(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack = Reason("CUSTODY_UNWRITABLE", "custody cannot be written", "make room")
    monkeypatch.setattr(type(node.custody), "lack", lack)
    with pytest.raises(AgentError) as refused:
        export(node, tmp_path / "bundle.tar")
    assert (refused.value.code, refused.value.remedy) == ("CUSTODY_UNWRITABLE", "make room")
    assert not (tmp_path / "bundle.tar").exists()
    assert node.exports.all() == []


def test_large_records_make_portions_of_their_own(node: Node, tmp_path: Path) -> None:
    large = Draft(Kind.TOMBSTONE, b"{}", bytes(5_000_000))
    for _ in range(3):
        node.journal.append([large]).result()
    relay(node, 3)
    bundle = export(node, tmp_path / "bundle.tar")
    assert sum(name.endswith(".leaves") for name in unpack(bundle)) == 2
    assert judged(bundle, None).code == "LOG_UNSIGNED"
