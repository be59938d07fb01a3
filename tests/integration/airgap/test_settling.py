"""Receipts are held to what the bundle held, not to what it would hold now."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.receipts import import_receipts
from swt3_agent.protocol.receipts import ReceiptStatement, encode_receipts
from tests.support.bundles import export, relay


def test_receipts_settle_after_the_tenant_was_renamed(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "importer.pub.pem"
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    configuration = tmp_path / "agent.yaml"
    configuration.write_text(f"agent: {{receipts: {{importers: ['{public}']}}}}\n")
    settings = {"SWT3_STATE_DIR": str(tmp_path / "state"), "SWT3_TPM_TCTI": "none"}
    with Node(load_config({**settings, "SWT3_TENANT_ID": "BEFORE"}, configuration)) as node:
        relay(node, 3)
        export(node, tmp_path / "bundle.tar")
    with Node(load_config({**settings, "SWT3_TENANT_ID": "AFTER"}, configuration)) as node:
        (exported,) = node.exports.all()
        assert exported.tenant == "BEFORE"
        statement = ReceiptStatement(
            importer="importer",
            importer_key=key.public_key().public_bytes_raw(),
            node_id=node.node_id,
            log_id=node.log_id,
            manifest=exported.manifest,
            first=exported.first,
            end=exported.end,
            root=bytes.fromhex(exported.root),
            accepted=3,
            time_ms=0,
        )
        receipts = encode_receipts(statement, key.sign(statement.body()))
        answer = import_receipts(node, receipts.decode())
        assert (answer["accepted"], answer["settled_to"]) == (3, exported.end)
        assert node.settlements.counts.withheld == 0
