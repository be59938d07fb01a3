"""Judge an in-toto statement in a DSSE envelope: did the enrolled AK sign it?

docs/formats.md, "Statements". Unlike a quote it is not the TPM that speaks: whoever may use the key
can have any statement signed, and the report says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.dsse import decode_envelope, pae, signers
from swt3_agent.protocol.statement import Statement, parse_statement
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.public import EccPublic, check_ak
from swt3_agent.verify import anchoring
from swt3_agent.verify.course import Course
from swt3_agent.verify.limits import about_enroller
from swt3_agent.verify.lineage import keys_from
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.refusal import refusal, remedy_of
from swt3_agent.verify.report import Outcome, Verification, printable
from swt3_agent.verify.roots import examine_root, root_of

_SHOWN = 20  # subjects that a terminal gets


@dataclass(frozen=True, slots=True)
class StatementReport(Verification):
    """Outcome of ``verify_statement``. ``content`` is None where it is false."""

    content: Statement | None = None
    statement: TrustStatement | None = None
    keys: tuple[EccPublic, ...] = ()

    def to_json(self) -> dict[str, object]:
        """JSON-able form, schema ``swt3-agent/verify/1`` (docs/formats.md, "Statements")."""
        content = self.content
        return {
            **self.summary_json(),
            "statement": content
            and {
                "attribute": content.attribute,
                "node_id": content.node_id,
                "log_id": content.log_id,
                "record": content.seq,
                "anchored_ms": content.anchored_ms,
                "signed_ms": content.signed_ms,
                "subjects": [
                    {"name": subject.name, "sha256": subject.digest} for subject in content.subjects
                ],
                "predicate": content.predicate,
            },
            "not_proven": list(self.not_proven),
        }

    def render(self) -> str:
        """Lines for a terminal, without a last newline, in printable ASCII."""
        lines = self.verdict_lines()
        if (content := self.content) is not None:
            lines.append(f"  states      {content.attribute}, at {utc_text(content.anchored_ms)}")
            lines.append(f"  signed      {utc_text(content.signed_ms)}, by the node's clock")
            lines.append(f"  record      {content.log_id}/{content.seq} of node {content.node_id}")
            for subject in content.subjects[:_SHOWN]:
                named = "" if subject.name is None else f" {subject.name}"
                lines.append(f"  subject     {subject.digest}{named}")
            if (more := len(content.subjects) - _SHOWN) > 0:
                lines.append(f"  subject     {more} more: --json lists them")
        lines += [f"  root        {self.root_of_trust.value}", *self.basis_lines()]
        return "\n".join(map(printable, lines))


@dataclass(slots=True)
class _Examination(Course):
    content: Statement | None = None
    statement: TrustStatement | None = None
    keys: tuple[EccPublic, ...] = ()
    trusted: str = "nobody"


def verify_statement(
    data: bytes, *, trust: bytes | None = None, allow_software_tpm: bool = False
) -> StatementReport:
    """Judge the envelope ``data``; arguments as for ``verify_proof``. Raises nothing."""
    examination = _Examination()
    try:
        _examine(examination, data, trust)
        examine_root(examination, examination.statement, allow_software_tpm)
    except FormatError as error:
        return _report(examination, examination.failed(error), error)
    if examination.doubts:
        return _report(examination, Outcome.UNDECIDED, examination.doubts[0])
    return _report(examination, Outcome.VERIFIED, None)


def _examine(examination: _Examination, data: bytes, trust: bytes | None) -> None:
    examination.begin("format")
    envelope = decode_envelope(data)
    content = parse_statement(envelope.payload_type, envelope.payload)
    examination.content = content
    examination.passed(f"an in-toto statement of record {content.seq} in log {content.log_id}")

    examination.begin("signature")
    if trust is None:
        examination.doubt(
            "SIGNER_UNANCHORED",
            "no trust file says which key must have signed",
        )
        return
    statement = anchoring.read_trust(trust).statement
    keys = keys_from(statement, _successions(content))
    ak = keys[-1]
    message = pae(envelope.payload_type, envelope.payload)
    lines = signers(envelope.signatures, ak.name().hex())
    if not any(_has_signed_well(ak, message, line.signature) for line in lines):
        raise refusal("DSSE_SIGNATURE", "the enrolled AK signed nothing in this envelope")
    check_ak(keys[0])
    examination.keys = keys
    examination.passed("the enrolled AK signed the statement")

    examination.begin("signer")
    if (content.node_id, content.log_id) != (statement.node_id, statement.log_id):
        raise refusal("STATEMENT_NODE", "the statement names another node or log than its signer")
    anchoring.check_validity(statement, content.signed_ms, "the signature")
    examination.statement = statement
    examination.trusted = anchoring.describe(trust, statement)
    examination.passed(f"{statement.enroller} vouches for this key, node and log")


def _successions(content: Statement) -> tuple[SuccessionInfo, ...]:
    """The rotations that led to the signing key, if the producer tells of any."""
    try:
        told = content.predicate["producer"]["annotations"].get("successions", [])
        return tuple(msgspec.convert(told, list[SuccessionInfo]))
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError):
        raise refusal(
            "STATEMENT_FORMAT", "not an in-toto statement: its producer is malformed"
        ) from None


def _has_signed_well(ak: EccPublic, message: bytes, signature: bytes) -> bool:
    """Another key's signature need not be of this form at all."""
    try:
        return has_signed(ak, message, signature)
    except FormatError:
        return False


def _report(
    examination: _Examination, outcome: Outcome, error: FormatError | None
) -> StatementReport:
    shown = outcome is not Outcome.FALSE
    content = examination.content if shown else None
    return StatementReport(
        outcome=outcome,
        code="VERIFIED" if error is None else error.code,
        reason="the enrolled TPM key signed this statement" if error is None else error.message,
        remedy="" if error is None else remedy_of(error),
        checks=tuple(examination.checks),
        trusted=examination.trusted,
        root_of_trust=root_of(examination.statement),
        not_proven=() if content is None else tuple(_limits(examination.statement)),
        content=content,
        statement=examination.statement,
        keys=examination.keys,
    )


def _limits(statement: TrustStatement | None) -> Iterator[str]:
    yield (
        "That the statement is true: the key signs any text that the agent gives it, and so root"
        " can have one signed at any time, for any time."
    )
    yield "That the record is in the log, unchanged: that takes a proof of it (`swt3-agent prove`)."
    yield "That the state lasted: the record tells of the moment at which it was anchored."
    if statement is None:
        yield "Who signed it: nobody vouches for a key here."
    else:
        yield from about_enroller(statement)
