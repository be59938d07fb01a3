"""The proof file: docs/formats.md, "Proof"."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.proof import (
    MAX_PROOF,
    Proof,
    ProvenRecord,
    QuoteContext,
    Salted,
    decode_proof,
    encode_proof,
)
from tests.support.forge import WITNESS_SEQ, PaperNode

hashes = st.binary(min_size=32, max_size=32)
salted = st.builds(Salted, salt=st.binary(min_size=16, max_size=16), content=st.binary(max_size=80))
proofs = st.builds(
    Proof,
    node_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    log_id=st.text("0123456789abcdef", min_size=16, max_size=64),
    record=st.builds(
        ProvenRecord,
        seq=st.integers(0, 2**53 - 1),
        leaf=hashes,
        payload=salted,
        provenance=salted | hashes,
    ),
    inclusion=st.lists(hashes, max_size=5).map(tuple),
    note=st.text(st.characters(codec="utf-8"), max_size=50).map(str.encode),
    quote=st.none()
    | st.builds(
        QuoteContext,
        ak_public=st.binary(max_size=50),
        log_pcr=st.integers(0, 23),
        before=hashes,
        pcrs=st.dictionaries(st.integers(0, 23), hashes),
    ),
    tenant=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
)


def example() -> dict[str, Any]:
    tree = json.loads(encode_proof(PaperNode().proof(WITNESS_SEQ, tenant="T")))
    assert isinstance(tree, dict)
    return tree


def code_of(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        decode_proof(data)
    return caught.value.code


@given(proofs)
def test_proofs_are_read_back(proof: Proof) -> None:
    assert decode_proof(encode_proof(proof)) == proof


@given(proofs)
def test_a_proof_file_is_canonical_json_and_a_newline(proof: Proof) -> None:
    data = encode_proof(proof)
    assert data == canonical_json(json.loads(data)) + b"\n"


def test_a_leaf_follows_from_record_with_or_without_provenance() -> None:
    node = PaperNode()
    shown, withheld = node.proof(3).record, node.proof(3, disclosed=False).record
    assert shown.computed_leaf() == withheld.computed_leaf() == shown.leaf
    moved = replace(shown, seq=4)
    assert moved.computed_leaf() != shown.leaf


@pytest.mark.parametrize(
    "spelling",
    [
        lambda tree: json.dumps(tree).encode(),
        lambda tree: canonical_json(tree),
        lambda tree: canonical_json(tree) + b"\n\n",
        lambda tree: b" " + canonical_json(tree) + b"\n",
        lambda tree: canonical_json(tree).replace(b'"T"', b'"\\u0054"') + b"\n",
        lambda tree: canonical_json(tree | {"tenant": None}) + b"\n",
        lambda tree: canonical_json(tree).replace(b'"seq":4', b'"seq":4.0') + b"\n",
    ],
    ids=["spaces", "no newline", "two newlines", "leading space", "escape", "null", "float"],
)
def test_another_spelling_of_a_proof_is_refused(spelling: Callable[[object], bytes]) -> None:
    assert code_of(spelling(example())) in {"PARSE_NOT_CANONICAL", "PARSE_FIELD"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "PARSE_NOT_JSON"),
        (b"\xff\xfe", "PARSE_NOT_JSON"),
        (b'{"format":"swt3-agent/proof/1"', "PARSE_NOT_JSON"),
        (b'{"format":"a","format":"a"}', "PARSE_DUPLICATE_KEY"),
        (b'{"a":[[[[0]]]]}', "PARSE_TOO_DEEP"),
        (b" " * (MAX_PROOF + 1), "PARSE_TOO_LARGE"),
        (b"{}", "PARSE_FORMAT_UNKNOWN"),
        (b"[]", "PARSE_FORMAT_UNKNOWN"),
        (b'{"format":7}', "PARSE_FORMAT_UNKNOWN"),
        (b'{"format":"swt3-agent/proof/2"}', "PARSE_FORMAT_UNKNOWN"),
        (b'{"format":"swt3-agent/proof/1"}', "PARSE_FIELD"),
    ],
)
def test_what_is_no_proof_is_refused(data: bytes, code: str) -> None:
    assert code_of(data) == code


@pytest.mark.parametrize(
    "path",
    [
        "node_id",
        "log_id",
        "record",
        "inclusion",
        "checkpoint",
        "record.seq",
        "record.leaf",
        "record.payload",
        "record.salt_p",
        "record.provenance",
        "record.salt_v",
        "quote.ak_public",
        "quote.before",
        "quote.log_pcr",
        "quote.pcrs",
    ],
)
@pytest.mark.parametrize("how", ["missing", "wrong"])
def test_each_field_is_needed_and_checked(path: str, how: str) -> None:
    tree = example()
    *parents, name = path.split(".")
    place = tree
    for parent in parents:
        place = place[parent]
    if how == "missing":
        del place[name]
    else:
        place[name] = -1
    assert code_of(canonical_json(tree) + b"\n") == "PARSE_FIELD"


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"node_id": "AB" * 16},
        {"node_id": "ab" * 16 + "\n"},
        {"log_id": "cd" * 33},
        {"tenant": ""},
        {"tenant": "t" * 257},
        {"inclusion": ["00" * 31]},
        {"inclusion": ["00" * 32] * 65},
    ],
    ids=str,
)
def test_a_field_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    assert code_of(canonical_json(example() | change) + b"\n") == "PARSE_FIELD"


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 2**60},
        {"payload": "e30"},
        {"payload": "e30=\n"},
        {"payload": "e31="},
        {"provenance_digest": "00" * 32},
        {"more": 1},
    ],
    ids=str,
)
def test_a_record_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    tree = example()
    tree["record"] |= change
    data = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert code_of(data + b"\n") == "PARSE_FIELD"


@pytest.mark.parametrize("index", ["24", "01", "-1", "x", ""])
def test_a_register_that_does_not_exist_is_refused(index: str) -> None:
    tree = example()
    tree["quote"]["pcrs"][index] = "00" * 32
    assert code_of(canonical_json(tree) + b"\n") == "PARSE_FIELD"
