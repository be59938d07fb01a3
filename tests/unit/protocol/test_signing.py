"""Wire signatures: docs/protocol.md 7."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.signing import (
    HMAC_SHA256,
    ML_DSA_65,
    check_signing_key,
    sign_fingerprint,
    signature_fields,
    signed_message,
)
from tests.support.anchors import inference_anchor
from tests.unit.protocol.published_sdk import load

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signatures.json").read_text())
HMAC, ML_DSA = VECTORS["hmac_sha256"], VECTORS["ml_dsa_65"]
FINGERPRINT = "b16bf9139c16"
fingerprints = st.text("0123456789abcdef", min_size=12, max_size=12)


@pytest.mark.parametrize("vector", HMAC["signatures"])
def test_known_signatures(vector: dict[str, Any]) -> None:
    signature = sign_fingerprint(
        HMAC_SHA256, HMAC["key"], vector["fingerprint"], vector["agent_id"]
    )
    assert signature == vector["signature"]


@given(
    st.text(min_size=1).filter(lambda key: key.isprintable()),
    fingerprints,
    st.none() | st.text("aä:", min_size=1),
)
def test_the_published_sdk_signs_alike(key: str, fingerprint: str, agent: str | None) -> None:
    theirs = load("signing").sign_payload(key, fingerprint, agent)
    assert sign_fingerprint(HMAC_SHA256, key, fingerprint, agent) == theirs


def test_ml_dsa_signs_for_the_known_public_key() -> None:
    public = mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes.fromhex(ML_DSA["seed"])).public_key()
    raw = public.public_bytes_raw()
    assert (len(raw), hashlib.sha256(raw).hexdigest()) == (
        ML_DSA["public_key_bytes"],
        ML_DSA["sha256_of_public_key"],
    )
    signature = sign_fingerprint(ML_DSA_65, ML_DSA["seed"], FINGERPRINT, "agent-007")
    assert len(signature) == ML_DSA["signature_hex_digits"]
    public.verify(bytes.fromhex(signature), b"b16bf9139c16:agent-007")


def test_an_empty_agent_id_is_none() -> None:
    assert signed_message(FINGERPRINT, "") == signed_message(FINGERPRINT, None) == b"b16bf9139c16"


def test_the_fields_are_those_of_a_witness_and_name_the_algorithm() -> None:
    fields = signature_fields(HMAC_SHA256, HMAC["key"], "key-1", 3, FINGERPRINT, "agent-007")
    witness = decode_witness(json.dumps(inference_anchor() | {**fields}).encode())
    assert witness.payload_signature == HMAC["signatures"][0]["signature"]
    assert (witness.signing_algorithm, witness.signing_key_id) == (HMAC_SHA256, "key-1")
    assert witness.signing_key_version == 3
    unnamed = signature_fields(HMAC_SHA256, HMAC["key"], None, None, FINGERPRINT, None)
    assert unnamed.keys() == {"payload_signature", "signing_algorithm"}


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("rsa", "key"),
        (HMAC_SHA256, ""),
        (HMAC_SHA256, "\ud800"),
        (ML_DSA_65, "60ef"),
        (ML_DSA_65, "x" * 64),
    ],
)
def test_a_key_that_cannot_sign_is_refused_and_not_repeated(algorithm: str, key: str) -> None:
    with pytest.raises(FormatError) as caught:
        check_signing_key(algorithm, key)
    assert caught.value.code == "BAD_SIGNING_KEY"
    assert not key or key not in caught.value.message + caught.value.remedy


@pytest.mark.parametrize("text", ["", "B16BF9139C16", "b16bf9139c1", "b16bf9139c16\n", "prompt"])
def test_nothing_but_a_fingerprint_is_signed(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        sign_fingerprint(HMAC_SHA256, HMAC["key"], text, None)
    assert caught.value.code == "BAD_FIELD"
