"""Hostile files: whatever is changed, the verifier refuses, and never with an exception."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.note import encode_note, parse_note
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.verify import Outcome, Report, verify_proof
from tests.support import forge
from tests.support.forge import TENANT, UTC_MS, WITNESS_SEQ, PaperNode, trust_file

NODE = PaperNode()
PROOF = encode_proof(NODE.proof(WITNESS_SEQ, tenant=TENANT))
TREE = json.loads(PROOF)
TRUST = trust_file()

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)


def judge(data: bytes, trust: bytes = TRUST) -> Report:
    report = verify_proof(data, trust=trust, allow_software_tpm=True, now_ms=UTC_MS)
    assert report.render()
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == report.exit_code
    return report


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_the_files_that_are_changed_here_are_good() -> None:
    assert judge(PROOF).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_flipped_in_any_byte_of_the_proof_is_refused(bit: int) -> None:
    outcomes = {judge(flipped(PROOF, at * 8 + bit)).outcome for at in range(bit, len(PROOF), 8)}
    assert Outcome.VERIFIED not in outcomes
    assert Outcome.FALSE in outcomes


@given(st.integers(0, len(PROOF) * 8 - 1))
def test_any_bit_flipped_in_the_proof_is_refused(bit: int) -> None:
    assert judge(flipped(PROOF, bit)).outcome is not Outcome.VERIFIED


@given(st.integers(0, len(TRUST) * 8 - 1))
def test_any_bit_flipped_in_the_trust_file_is_refused(bit: int) -> None:
    assert judge(PROOF, flipped(TRUST, bit)).outcome is not Outcome.VERIFIED


@given(st.integers(0, len(PROOF) - 1), st.integers(0, len(TRUST) - 1))
def test_a_file_cut_anywhere_is_refused(proof_cut: int, trust_cut: int) -> None:
    assert judge(PROOF[:proof_cut]).outcome is Outcome.FALSE
    assert judge(PROOF, TRUST[:trust_cut]).outcome is not Outcome.VERIFIED


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes, trust: bytes) -> None:
    assert judge(data, trust).outcome is not Outcome.VERIFIED
    assert judge(PROOF, trust).outcome is not Outcome.VERIFIED


def places(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value, from the outside in."""
    members: list[tuple[str | int, Any]] = []
    if isinstance(tree, dict):
        members = list(tree.items())
    elif isinstance(tree, list):
        members = list(enumerate(tree))
    inner = [place for key, value in members for place in places(value, (*path, key))]
    return [path, *inner]


@given(st.sampled_from(places(TREE)[1:]), json_values)
def test_any_value_in_place_of_another_is_refused(
    place: tuple[str | int, ...], value: object
) -> None:
    tree = json.loads(PROOF)
    holder = tree
    for key in place[:-1]:
        holder = holder[key]
    assume(holder[place[-1]] != value)
    holder[place[-1]] = value
    assert judge(canonical_json(tree) + b"\n").outcome is not Outcome.VERIFIED


@given(st.sampled_from(places(TREE)[1:]), st.data())
def test_any_text_that_looks_right_in_place_of_another_is_refused(
    place: tuple[str | int, ...], data: st.DataObject
) -> None:
    """Of the same length and alphabet, so that it passes for the field it is in."""
    tree = json.loads(PROOF)
    holder = tree
    for key in place[:-1]:
        holder = holder[key]
    text = holder[place[-1]]
    assume(isinstance(text, str))
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from(sorted(set(text))))
    assume(text[at] != char)
    holder[place[-1]] = text[:at] + char + text[at + 1 :]
    assert judge(canonical_json(tree) + b"\n").outcome is not Outcome.VERIFIED


@given(st.binary(max_size=200))
def test_any_attestation_that_the_key_signs_is_judged(attest: bytes) -> None:
    """A TPM gone mad, or a key that signs what it is asked to."""
    proof = NODE.proof(WITNESS_SEQ)
    body, (line,) = parse_note(proof.note)
    for data in (attest, NODE.quote.attest(body, NODE.pcrs(body))[: len(attest)] + attest):
        blob = forge.sized(data) + forge.sized(forge.sign(forge.AK, data))
        note = encode_note(body, [replace(line, signature=blob)])
        assert judge(encode_proof(replace(proof, note=note))).outcome is Outcome.FALSE


@settings(max_examples=30)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_payload_and_provenance_are_judged(payload: bytes, provenance: bytes) -> None:
    records = [*forge.some_records()[:4], (provenance, payload)]
    node = replace(NODE, records=records)
    report = judge(encode_proof(node.proof(4)), trust_file(node))
    assert report.outcome is Outcome.VERIFIED
    assert report.record is not None
    assert report.record.payload == payload


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(sorted(json.loads(forge.witness()))), json_values))
def test_any_witness_like_payload_is_judged(changes: dict[str, object]) -> None:
    provenance = forge.provenance(tenant=TENANT)
    records = [(provenance, forge.witness(**changes))]
    node = replace(NODE, records=records)
    report = judge(encode_proof(node.proof(0)), trust_file(node, floors=None))
    assert report.code in {"VERIFIED", "FINGERPRINT_MISMATCH", "BAD_FIELD"}
