"""The verb `statement`: what the newest reading of a model's weights came to, signed by the TPM."""

import base64
import json
from hashlib import sha256
from pathlib import Path

from swt3_agent.collect.manifest import FileEntry, ModelManifest
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess

UNDECIDED = 4


def test_a_model_s_weights_are_stated(swtpm: SoftwareTpm, room: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model" / "weights.bin"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    file = sha256(b"weights").hexdigest()
    approved = ModelManifest.of([FileEntry("weights.bin", 7, file)]).digest()
    settings = tmp_path / "agent.yaml"
    settings.write_text(
        "clearing_level: 1\n"
        "agent:\n"
        "  models:\n"
        f"  - {{name: m, path: {weights.parent}, approved: {approved}}}\n"
    )
    settings.chmod(0o600)
    config = ("--config", str(settings))
    with AgentProcess(room, swtpm.tcti, arguments=config) as agent:
        (attested,) = agent.json("attest", "weights", *config)[:1]
        assert (attested["procedure_id"], attested["verdict"]) == ("AI-MDL.1", "PASS")
        output = tmp_path / "model.statement"
        facts = agent.json("statement", "AI-MDL.1", "-o", str(output), *config)
        assert facts["record"] == attested["record"]
        assert (facts["root_of_trust"], facts["file"]) == ("software-tpm", str(output))
        printed = agent.cli("statement", str(facts["record"]), *config).stdout
        said = agent.cli("statement", "AI-MDL.1", "-o", str(output), *config).stdout
        refused = {
            words: agent.json("statement", words, *config)["error"]["code"]
            for words in ("0", "AI-HW.1", "9999", "no record")
        }
    assert refused == {
        "0": "STATEMENT_RECORD",
        "AI-HW.1": "NO_SUCH_RECORD",
        "9999": "NO_SUCH_RECORD",
        "no record": "BAD_RECORD",
    }
    assert "a software TPM is no root of trust" in said
    statement = json.loads(base64.b64decode(json.loads(printed)["payload"]))
    assert statement["subject"] == [
        {"name": "m", "digest": {"sha256": approved}},
        {"digest": {"sha256": file}},
    ]
    assert statement["predicate"]["attributes"][0]["attribute"] == "AI-MDL.1:PASS"
    judged = agent.cli("verify", str(output), "--json")
    assert judged.returncode == UNDECIDED
    assert json.loads(judged.stdout)["code"] == "SIGNER_UNANCHORED"
