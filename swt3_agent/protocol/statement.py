"""Records of AI-HW.* and AI-MDL.* as in-toto statements (docs/formats.md, "Statements").

https://github.com/in-toto/attestation, Statement v1. The predicate is an attribute report of SCAI
0.3: who says so, which attribute, under what conditions, and where the evidence is. What a
statement says is what the cleared record says, and no more. Here it is read; ``stating`` makes it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SCAI_TYPE = "https://in-toto.io/attestation/scai/v0.3"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_STATEMENT = 1024 * 1024
MAX_SUBJECTS = 4096

DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_DEPTH = 16
_REMEDY = "fetch the envelope again from where it was made, byte for byte"


@dataclass(frozen=True, slots=True)
class Subject:
    """One artifact that a statement is about; ``digest`` is hex SHA-256."""

    name: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was read. ``attribute`` is for instance ``AI-MDL.1:PASS``; the record was
    anchored and the statement signed at these times, UTC, by the node's clock."""

    subjects: tuple[Subject, ...]
    attribute: str
    node_id: str
    log_id: str
    seq: int
    anchored_ms: int
    signed_ms: int
    predicate: Mapping[str, Any]


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
    signed_ms = predicate["producer"]["annotations"]["signed_ms"]
    numbers = conditions["record"], conditions["anchored_ms"], signed_ms
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
    if not DIGEST.fullmatch(digest) or not (name is None or isinstance(name, str)):
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
