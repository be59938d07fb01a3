"""Records of AI-HW.* and AI-MDL.* as in-toto statements (docs/formats.md, "Statements").

https://github.com/in-toto/attestation, Statement v1. The predicate is an attribute report of SCAI
0.3: who says so, which attribute, under what conditions, and where the evidence is. What a
statement says is what the cleared record says, and no more.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.clearing import clear
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.record import MAX_BODY

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SCAI_TYPE = "https://in-toto.io/attestation/scai/v0.3"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_STATEMENT = 1024 * 1024
MAX_SUBJECTS = 4096
DIGESTS_LEAVE_TO = 1
"""The last clearing level at which digests of files leave: they name a public model as well."""

_STATED = re.compile(r"AI-(?:HW|MDL)\.[0-9]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_DEPTH = 16
_REMEDY = "fetch the envelope again from where it was made, byte for byte"


@dataclass(frozen=True, slots=True)
class StatedRecord:
    """What a statement is made of: a minted record, where it is, and what it rests on.

    ``payload`` is the witness as it lies in the log, ``evidence`` the hex SHA-256 of the raw
    evidence, ``files`` those of the model's files (left out from clearing level 2 on), ``level``
    the node's clearing level now, ``ak_name`` the hex Name of the signing key.
    """

    node_id: str
    log_id: str
    seq: int
    payload: bytes
    provenance: Mapping[str, Any]
    evidence: str
    files: Sequence[str]
    level: int
    ak_name: str
    signer: RootOfTrust


@dataclass(frozen=True, slots=True)
class Subject:
    """One artifact that a statement is about; ``digest`` is hex SHA-256."""

    name: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was read. ``attribute`` is for instance ``AI-MDL.1:PASS``."""

    subjects: tuple[Subject, ...]
    attribute: str
    node_id: str
    log_id: str
    seq: int
    anchored_ms: int
    predicate: Mapping[str, Any]


def make_statement(record: StatedRecord) -> bytes:
    """The statement, as canonical JSON.

    Raises UsageError ``STATEMENT_PROCEDURE`` for a record that is none of AI-HW.* and AI-MDL.*,
    FormatError ``BAD_FIELD`` for a payload that is no witness.
    """
    witness = decode_witness(record.payload)
    procedure = witness.procedure_id
    if not _STATED.fullmatch(procedure):
        raise UsageError(
            "STATEMENT_PROCEDURE",
            f"record {record.seq} is of {procedure}, about which no statement is made",
            remedy="name a record of AI-HW.* or AI-MDL.* (see `swt3-agent log`)",
        )
    tree = strict_json.loads(record.payload, max_bytes=MAX_BODY)
    assert isinstance(tree, dict)  # noqa: S101  decode_witness read it
    cleared, _ = clear(tree, max(record.level, witness.clearing_level))
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(record, procedure, cleared),
        "predicateType": SCAI_TYPE,
        "predicate": {
            "attributes": [
                {
                    "attribute": f"{procedure}:{record.provenance.get('verdict')}",
                    "conditions": _conditions(record, cleared),
                    "evidence": {
                        "name": "evidence",
                        "digest": {"sha256": record.evidence},
                        "mediaType": "application/json",
                    },
                }
            ],
            "producer": {
                "name": f"swt3-agent/{record.node_id}/{record.log_id}",
                "annotations": {"ak_name": record.ak_name, "signed_by": record.signer.value},
            },
        },
    }
    return canonical_json(statement)


def _subjects(
    record: StatedRecord, procedure: str, cleared: Mapping[str, Any]
) -> list[dict[str, object]]:
    """What the record is about, as far as clearing lets it be named; never nothing."""
    digests: dict[str, object] = {}
    context = cleared.get("ai_context")
    if procedure.startswith("AI-MDL.") and isinstance(context, Mapping):
        if isinstance(digest := context.get("file_hash"), str):
            digests[digest] = cleared.get("ai_model_id")
        adapters = context.get("adapters")
        for adapter in adapters if isinstance(adapters, list) else []:
            if isinstance(adapter, Mapping) and isinstance(digest := adapter.get("hash"), str):
                digests.setdefault(digest, adapter.get("name"))
        if record.level <= DIGESTS_LEAVE_TO:
            for digest in record.files:
                digests.setdefault(digest, None)
    named = {digest: name for digest, name in digests.items() if _DIGEST.fullmatch(digest)}
    if not named or len(named) >= MAX_SUBJECTS:
        named = dict(list(named.items())[:1]) or {record.evidence: "evidence"}
    return [
        {"digest": {"sha256": digest}} | ({"name": name} if isinstance(name, str) else {})
        for digest, name in named.items()
    ]


def _conditions(record: StatedRecord, cleared: Mapping[str, Any]) -> dict[str, object]:
    """Under which the attribute holds: all numbers below 2^53, or as the record writes them."""
    return {
        "node_id": record.node_id,
        "log_id": record.log_id,
        "record": record.seq,
        "anchor_fingerprint": cleared["anchor_fingerprint"],
        "anchored_ms": cleared["fingerprint_timestamp_ms"],
        "factors": [cleared["factor_a"], cleared["factor_b"], cleared["factor_c"]],
        "reasons": list(record.provenance.get("reasons", [])),
        "clearing_level": cleared["clearing_level"],
        "root_of_trust": record.provenance.get("root_of_trust"),
    }


def parse_statement(payload_type: str, payload: bytes) -> Statement:
    """The statement in an envelope's payload.

    Raises FormatError ``STATEMENT_TYPE`` for another kind of payload, statement or predicate,
    ``STATEMENT_FORMAT`` for one that is not what the types say.
    """
    if payload_type != PAYLOAD_TYPE:
        raise _unknown(f"the payload is of type {payload_type[:80]!a}")
    try:
        tree = strict_json.loads(payload, max_bytes=MAX_STATEMENT, max_depth=_MAX_DEPTH)
    except FormatError as error:
        raise _wrong(error.message) from None
    if not isinstance(tree, dict):
        raise _wrong("it is no JSON object")
    kinds = tree.get("_type"), tree.get("predicateType")
    if kinds != (STATEMENT_TYPE, SCAI_TYPE):
        raise _unknown(f"it is of types {str(kinds)[:160]}")
    try:
        return _statement(tree)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _wrong(f"a member is missing or malformed: {str(error)[:80]!a}") from None


def _statement(tree: dict[str, Any]) -> Statement:
    predicate = tree["predicate"]
    (attribute,) = predicate["attributes"]
    conditions = attribute["conditions"]
    subjects = tree["subject"]
    numbers = conditions["record"], conditions["anchored_ms"]
    if not isinstance(subjects, list) or not 0 < len(subjects) <= MAX_SUBJECTS:
        raise ValueError("subject")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a number")
    texts = attribute["attribute"], conditions["node_id"], conditions["log_id"]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text")
    return Statement(tuple(map(_subject, subjects)), *texts, *numbers, predicate)


def _subject(entry: Any) -> Subject:
    digest, name = entry["digest"]["sha256"], entry.get("name")
    if not _DIGEST.fullmatch(digest) or not (name is None or isinstance(name, str)):
        raise ValueError("a subject")
    return Subject(name, digest)


def _unknown(what: str) -> FormatError:
    return FormatError(
        "STATEMENT_TYPE",
        f"the envelope holds no statement that is known here: {what}",
        remedy="judge it with a verifier that knows its type",
    )


def _wrong(what: str) -> FormatError:
    return FormatError("STATEMENT_FORMAT", f"not an in-toto statement: {what}", remedy=_REMEDY)
