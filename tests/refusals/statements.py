"""In-toto statements in envelopes that the enrolled AK did not sign as they are."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.dsse import Envelope, EnvelopeSignature, encode_envelope, pae
from swt3_agent.protocol.statement import PAYLOAD_TYPE
from swt3_agent.protocol.stating import make_statement
from tests.refusals.case import UNDECIDED, Case
from tests.support import forge
from tests.support.forge import (
    AK,
    OTHER_AK,
    UTC_MS,
    Quote,
    ak_public,
    trust_file,
)
from tests.support.statements import AK_NAME, RECORD

TRUST = trust_file()
STATEMENT = make_statement(RECORD)


def cases() -> Iterator[Case]:
    """Every refusal of a statement."""
    yield from _envelopes()
    yield from _signatures()
    yield from _contents()
    yield from _signers()


def signed(
    payload: bytes = STATEMENT, kind: str = PAYLOAD_TYPE, key: ec.EllipticCurvePrivateKey = AK
) -> bytes:
    line = EnvelopeSignature(AK_NAME, forge.sign(key, pae(kind, payload)))
    return encode_envelope(Envelope(kind, payload, (line,)))


def case(
    name: str,
    threat: str,
    code: str,
    data: bytes,
    trust: bytes | None = TRUST,
    *,
    exit_code: int = 3,
    software: bool = True,
) -> Case:
    files = {"file": data} if trust is None else {"file": data, "trust": trust}
    told = {"allow_software_tpm": software}
    return Case(f"statement-{name}", threat, code, "statement", files, told, exit_code)


def _envelope(**changes: object) -> bytes:
    return json.dumps(json.loads(signed()) | changes).encode()


def _restated(change: Callable[[Any], object]) -> bytes:
    """Signed by the AK over the statement as ``change`` leaves it."""
    tree = json.loads(STATEMENT)
    change(tree)
    return signed(json.dumps(tree).encode())


def _envelopes() -> Iterator[Case]:
    deep = b'{"payload":' + b"[" * 100 + b"]" * 100 + b"}"
    for name, threat, code, data in (
        ("cut", "the file was cut", "DSSE_FORMAT", signed()[:-10]),
        ("list", "no object", "DSSE_FORMAT", b"[]"),
        ("deep", "nested until a parser breaks", "DSSE_FORMAT", deep),
        ("no-payload", "a payload that is no text", "DSSE_FORMAT", _envelope(payload=7)),
        ("no-type", "no type of payload", "DSSE_FORMAT", _envelope(payloadType=None)),
        ("huge", "larger than any envelope", "DSSE_TOO_LARGE", b" " * (2 * 2**20 + 1)),
        ("base64", "a payload that is no Base 64", "DSSE_BASE64", _envelope(payload="?")),
        ("unsigned", "the signatures were taken off", "DSSE_SIGNATURES", _envelope(signatures=[])),
        ("no-list", "signatures that are no list", "DSSE_SIGNATURES", _envelope(signatures={})),
        (
            "many",
            "signatures until a verifier tires",
            "DSSE_SIGNATURES",
            _envelope(signatures=[{"sig": ""}] * 17),
        ),
        ("no-sig", "a signature without one", "DSSE_SIGNATURES", _envelope(signatures=[{}])),
    ):
        yield case(name, threat, code, data)
    twice = signed()[:-2] + b',"payload":""}\n'
    yield case("payload-twice", "one payload for each reader", "DSSE_FORMAT", twice)


def _signatures() -> Iterator[Case]:
    yield case("other-key", "signed by another key", "DSSE_SIGNATURE", signed(key=OTHER_AK))
    changed = b64encode(STATEMENT.replace(b"PASS", b"FAIL")).decode()
    yield case("changed", "another verdict", "DSSE_SIGNATURE", _envelope(payload=changed))
    yield case(
        "other-type",
        "the signature of one type under another",
        "STATEMENT_TYPE",
        _envelope(payloadType="text/plain"),
        exit_code=UNDECIDED,
    )
    attest = Quote().attest(b"", {0: bytes(32)})
    for name, threat, data in (
        ("quote", "a quote's signature", attest),
        ("bare", "signed without the type: another purpose", STATEMENT),
    ):
        line = EnvelopeSignature(AK_NAME, forge.sign(AK, data))
        envelope = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, (line,)))
        yield case(f"of-{name}", threat, "DSSE_SIGNATURE", envelope)


def _contents() -> Iterator[Case]:
    for name, data in (
        ("not-json", signed(b"{")),
        ("no-object", signed(b"[]")),
        ("no-subject", _restated(lambda tree: tree.pop("subject"))),
        ("subjects-none", _restated(lambda tree: tree.update(subject=[]))),
        ("no-digest", _restated(lambda tree: tree["subject"][0].update(digest={}))),
        ("subject-name", _restated(lambda tree: tree["subject"][0].update(name=7))),
        ("no-attribute", _restated(lambda tree: tree["predicate"].update(attributes=[]))),
    ):
        yield case(name, "signed, and no statement", "STATEMENT_FORMAT", data)
    for name, data in (
        ("payload-type", signed(kind="text/plain")),
        ("predicate", _restated(lambda tree: tree.update(predicateType="https://x.example/1"))),
        ("version", _restated(lambda tree: tree.update(_type="https://in-toto.io/Statement/v0"))),
    ):
        threat = "a statement of another kind"
        yield case(f"kind-{name}", threat, "STATEMENT_TYPE", data, exit_code=UNDECIDED)


def _signers() -> Iterator[Case]:
    other_log = signed(make_statement(replace(RECORD, log_id="ef" * 8)))
    yield case("other-log", "of another log", "STATEMENT_NODE", other_log)
    other_node = signed(make_statement(replace(RECORD, node_id="ef" * 16)))
    yield case("other-node", "of another node", "STATEMENT_NODE", other_node)
    weak = ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.RESTRICTED)
    for name, threat, code, trust in (
        ("enrolled-other", "another key is enrolled", "DSSE_SIGNATURE",
         trust_file(ak_public=ak_public(OTHER_AK))),
        ("enrolled-weak", "an unrestricted key", "AK_NOT_RESTRICTED", trust_file(ak_public=weak)),
        ("late", "after the trust file's validity", "TRUST_VALIDITY",
         trust_file(valid_until_ms=UTC_MS)),
        ("revoked", "after the revocation", "TRUST_REVOKED", trust_file(revoked_ms=UTC_MS)),
        ("trust-forged", "a trust file changed", "TRUST_SIGNATURE",
         TRUST.replace(b"tpm software", b"tpm hardware")),
    ):  # fmt: skip
        yield case(name, threat, code, signed(), trust)
    threat = "nobody says who must have signed"
    yield case("unanchored", threat, "SIGNER_UNANCHORED", signed(), None, exit_code=UNDECIDED)
    threat = "a software TPM where hardware is wanted"
    yield case("software", threat, "SOFTWARE_TPM", signed(), exit_code=UNDECIDED, software=False)
