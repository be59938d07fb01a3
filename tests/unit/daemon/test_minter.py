"""In whose name a node mints, from its settings."""

from pathlib import Path

from swt3_agent.config import load_config
from swt3_agent.daemon.minter import minter_of


def test_labels_become_fields_and_a_policy_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "tenant_id: NODE\nclearing_level: 2\nagent_id: node-7\njurisdiction: DE\n"
        "policy_version: gpt-4o-2024-11-20:fp_abc123\n"
    )
    minter = minter_of(load_config({}, file))
    assert (minter.tenant, minter.clearing_level, minter.agent_id) == ("NODE", 2, "node-7")
    # docs/protocol.md 3.1: the text's known content hash, cut to 12
    assert minter.labels == {"jurisdiction": "DE", "policy_version_hash": "0f6b04241d23"}
    assert minter.sign is None


def test_a_key_signs_as_published() -> None:
    environ = {"SWT3_SIGNING_KEY": "test-signing-key", "SWT3_AGENT_ID": "agent-007"}
    sign = minter_of(load_config(environ)).sign
    assert sign is not None
    fields = sign("b16bf9139c16", "agent-007")
    assert (  # docs/protocol.md 7
        fields["payload_signature"]
        == "f1d6174308e76db6907985ca7a7b28e237e46c7ce150f1bb46dfea3097575dd3"
    )
    assert fields["signing_algorithm"] == "hmac-sha256"
