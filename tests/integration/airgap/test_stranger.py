"""What a node hands out, judged where there is only Python and the extra `verify`."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer._key import SSlibKey

from swt3_agent.cli.quote import _files
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import prove, quote
from swt3_agent.daemon.statement import statement
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import parse_quote_signature
from swt3_agent.protocol.note import parse_note
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.protocol.trust import TRUST_FORMAT, parse_trust
from swt3_agent.store.drafts import Draft
from swt3_agent.tcg.public import parse_public
from swt3_agent.tcg.signature import der_to_tpmt
from swt3_agent.verify import sign_trust, verify_proof
from tests.integration.airgap.conftest import Handed
from tests.support.anchors import inference_anchor
from tests.support.bundles import ENROLLER
from tests.support.namespaces import StrangersMachine

NONCE = "00112233445566778899aabbccddeeff"
VERIFIED, FALSE, UNDECIDED = 0, 3, 4
DOCUMENT = Path(__file__).parents[3] / "docs" / "verifying.md"


@pytest.fixture(scope="module")
def trust(handed: Handed) -> bytes:
    """A trust file of version 2, by an enroller who pinned the EK."""
    statement = parse_trust(handed.trust).statement
    pinned = replace(statement, ek_sha256=bytes(32), ek_certified=False)
    data = sign_trust(pinned.body(), ENROLLER)
    assert data.startswith(TRUST_FORMAT.encode())
    return data


@pytest.fixture(scope="module")
def hardware(handed: Handed) -> int:
    """An anchor of AI-HW.1 in the node's log, as a node with accelerators mints one."""
    node = handed.node
    digest = node.evidence.put(b'{"claims":{}}')
    payload = canonical_json({"collector": "gpu", "digest": digest})
    drafts = [Draft(Kind.EVIDENCE, canonical_json({"listener": "agent"}), payload)]
    evidence = node.journal.append(drafts).result().first_seq
    provenance = {
        "listener": "agent",
        "tenant": node.config.tenant,
        "evidence": evidence,
        "root_of_trust": "driver-reported",
        "verdict": "PASS",
        "reasons": [],
    }
    witness = inference_anchor(node.config.tenant, procedure_id="AI-HW.1", clearing_level=1)
    draft = Draft(Kind.MINTED, canonical_json(provenance), json.dumps(witness).encode())
    return node.journal.append([draft]).result().first_seq


@pytest.fixture(scope="module")
def stranger(
    handed: Handed, trust: bytes, hardware: int, tmp_path_factory: pytest.TempPathFactory
) -> StrangersMachine:
    """His machine, with everything carried in that the node hands out."""
    directory = tmp_path_factory.mktemp("stranger")
    machine = StrangersMachine(directory / "machine")
    node = handed.node
    contents = {
        "first.tar": handed.first,
        "second.tar": handed.second,
        "trust": trust,
        "proof.json": prove(node, "1", False)["proof"].encode(),
        "hardware.json": statement(node, str(hardware))["envelope"].encode(),
        **_answer(node),
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
        machine.carry_in(directory / name)
    answer = machine.carried_out("answer")
    answer.mkdir()
    for name in _answer(node):
        machine.carried_out(name).rename(answer / name)
    return machine


def _answer(node: Node) -> dict[str, bytes]:
    return _files(quote(node, NONCE))


def judge(stranger: StrangersMachine, *arguments: str, code: int = VERIFIED) -> Any:
    done = stranger.run("verify", *arguments, "--trust", "trust", "--allow-software-tpm", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_bundles_are_verified_and_remembered(stranger: StrangersMachine) -> None:
    first = judge(stranger, "first.tar", "--state", "seen")
    assert "nothing was seen of this log before" in first["checks"][-1]["detail"]
    second = judge(stranger, "second.tar", "--state", "seen")
    assert "the log grew from" in second["checks"][-1]["detail"]
    older = judge(stranger, "first.tar", "--state", "seen")
    assert "older than what was seen before" in older["checks"][-1]["detail"]


def test_a_proof_has_its_interval(stranger: StrangersMachine) -> None:
    judged = judge(stranger, "proof.json", "--state", "seen-proof")
    assert judged["interval"]["not_after_ms"] == judged["head"]["utc_ms"]


def test_the_chain_is_drawn(stranger: StrangersMachine) -> None:
    done = stranger.run(
        *("verify", "second.tar", "--trust", "trust", "--allow-software-tpm", "--explain")
    )
    assert done.returncode == VERIFIED, done.stderr
    assert "pinned: no certificate of a TPM vendor [enroller]" in done.stdout
    assert "SOFTWARE TPM" in done.stdout
    chain = judge(stranger, "second.tar", "--explain")["chain"]
    assert chain["rests"][0]["what"].startswith("enroller enroller.example")


def test_a_challenge_and_its_reference(stranger: StrangersMachine) -> None:
    answer = stranger.carried_out("answer")
    pcrs = json.loads((answer / "pcrs.json").read_bytes())["sha256"]
    stranger.carried_out("good").write_bytes(encode_reference(Reference({0: (pcrs["0"],)})))
    stranger.carried_out("bad").write_bytes(encode_reference(Reference({0: ("11" * 32,)})))
    judge(stranger, "answer", "--nonce", NONCE, "--reference", "good")
    other = judge(stranger, "answer", "--nonce", NONCE, "--reference", "bad", code=FALSE)
    assert other["code"] == "PCR_MISMATCH"
    stale = judge(stranger, "answer", "--nonce", NONCE[::-1], code=FALSE)
    assert stale["code"] == "CHALLENGE_NONCE"
    judge(stranger, "answer", code=UNDECIDED)


def test_a_checkpoint_is_no_answer(stranger: StrangersMachine, handed: Handed) -> None:
    """What a carrier can make of a proof: the same key, its quote, and 32 bytes in it."""
    proof = decode_proof(prove(handed.node, "1", False)["proof"].encode())
    assert proof.quote is not None
    (line,) = parse_note(proof.note)[1]
    attest, der = parse_quote_signature(line.signature)
    forged = stranger.carried_out("forged")
    forged.mkdir()
    for file in stranger.carried_out("answer").iterdir():
        (forged / file.name).write_bytes(file.read_bytes())
    pcrs = {str(index): value.hex() for index, value in proof.quote.pcrs.items()}
    (forged / "pcrs.json").write_text(json.dumps({"sha256": pcrs}))
    (forged / "quote.msg").write_bytes(attest)
    (forged / "quote.sig").write_bytes(der_to_tpmt(der))
    judged = judge(stranger, "forged", "--nonce", NONCE, code=FALSE)
    assert judged["code"] == "CHALLENGE_CHECKPOINT"


def test_a_statement_is_verified_and_a_changed_one_refused(stranger: StrangersMachine) -> None:
    judged = judge(stranger, "hardware.json")
    assert judged["statement"]["attribute"] == "AI-HW.1:PASS"
    file = stranger.carried_out("hardware.json")
    tree = json.loads(file.read_bytes())
    payload = base64.b64decode(tree["payload"])
    flipped = payload.replace(b'"record":', b'"record":1')
    tree["payload"] = base64.b64encode(flipped).decode()
    stranger.carried_out("changed.json").write_text(json.dumps(tree))
    assert judge(stranger, "changed.json", code=FALSE)["code"] == "DSSE_SIGNATURE"


def test_securesystemslib_accepts_what_the_tpm_signed(handed: Handed, hardware: int) -> None:
    answer = statement(handed.node, "AI-HW.1")
    assert answer["record"] == hardware
    public = parse_public(parse_trust(handed.trust).statement.ak_public)
    key = SSlibKey.from_crypto(
        load_pem_public_key(public.to_pem().encode()), keyid=answer["ak_name"]
    )
    envelope = Envelope.from_dict(json.loads(answer["envelope"]))
    assert envelope.verify([key], 1) == {answer["ak_name"]: key}


def test_a_head_is_checked_by_hand_as_the_document_says(
    handed: Handed, trust: bytes, tmp_path: Path
) -> None:
    data = prove(handed.node, "2", False)["proof"].encode()
    (tmp_path / "proof.json").write_bytes(data)
    text = DOCUMENT.read_text()
    script = re.search(r"<<'PYTHON'\n(.*?)\nPYTHON\n", text, re.DOTALL)
    assert script is not None
    # As it stands: a shell finds the end of the script only where nothing is before it.
    subprocess.run([sys.executable, "-c", script[1], "proof.json"], cwd=tmp_path, check=True)
    command = "openssl dgst -sha256 -keyform DER -verify ak.der -signature quote.der quote.msg"
    assert command in text
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Verified OK\n"
    report = verify_proof(data, trust=trust, allow_software_tpm=True)
    assert report.code == "VERIFIED"
    assert (tmp_path / "note").read_bytes() == decode_proof(data).note.rpartition(b"\n\n")[
        0
    ] + b"\n"
