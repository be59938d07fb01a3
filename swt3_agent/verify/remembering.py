"""Hold a verified report against what its reader remembers of the log."""

from collections.abc import Collection
from dataclasses import replace
from hashlib import sha256

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.challenge_report import ChallengeReport
from swt3_agent.verify.memory import Memory, SeenHead, TpmTime, decode_memory
from swt3_agent.verify.recall import Recalled, Seen, recall
from swt3_agent.verify.refusal import remedy_of
from swt3_agent.verify.report import Check, HeadInfo, Outcome, Report

Memorable = Report | BundleReport | ChallengeReport
"""Reports on what shows something of a log, or of its TPM, that later files cannot take back."""

CHECK = "memory"
_DOUBTS = frozenset({"STATE_DAMAGED", "STATE_FORMAT_UNKNOWN", "STATE_KEY", "STATE_ENROLLER"})
"""What may have an honest reason, which only the reader can find out."""


def log_of(report: Memorable) -> tuple[str, str] | None:
    """Node and log of a verified report; None where there is nothing to remember."""
    statement = report.statement
    if report.outcome is not Outcome.VERIFIED or statement is None:
        return None
    return statement.node_id, statement.log_id


def remembered_sizes(data: bytes | None, node_id: str, log_id: str) -> Collection[int]:
    """Sizes of the log that are remembered in the state file ``data``."""
    if data is None:
        return ()
    try:
        return [head.size for head in decode_memory(data, node_id, log_id).heads]
    except FormatError:
        return ()  # said when the report is held against it


def remember(
    report: Memorable, data: bytes | None, trust: bytes
) -> tuple[Memorable, Memory | None]:
    """The verified ``report``, if it contradicts nothing in the state file ``data`` (None: there is
    none yet), and what to keep; else the report that says what it contradicts, and None.

    ``trust`` is the trust file that the report rests on.
    """
    place = log_of(report)
    seen = _seen(report, trust)
    if place is None or seen is None:
        return report, None
    try:
        recalled: Recalled = recall(None if data is None else decode_memory(data, *place), seen)
    except FormatError as error:
        return _contradicted(report, error), None
    check = Check(CHECK, recalled.connected or None, recalled.told)
    unproven = (*report.not_proven, *recalled.unproven)
    return replace(report, checks=(*report.checks, check), not_proven=unproven), recalled.memory


def learn_revocation(
    data: bytes, node_id: str, log_id: str, trust: TrustStatement
) -> Memory | None:
    """What to keep of the state file ``data`` where ``trust``, whose signature holds, revokes the
    key, and its enroller is the one that is remembered; None where that changes nothing.

    A revocation is the enroller's word, whatever came of the file that was judged by it.
    """
    try:
        memory = decode_memory(data, node_id, log_id)
    except FormatError:
        return None  # said when a report is held against it
    known, told = memory.revoked_ms, trust.revoked_ms
    if told is None or (known is not None and known <= told):
        return None
    if memory.enroller != sha256(trust.enroller_key).hexdigest():
        return None
    return msgspec.structs.replace(memory, revoked_ms=told)


def _contradicted(report: Memorable, error: FormatError) -> Memorable:
    doubt = error.code in _DOUBTS
    check = Check(CHECK, None if doubt else False, error.message)
    changed = replace(
        report,
        outcome=Outcome.UNDECIDED if doubt else Outcome.FALSE,
        code=error.code,
        reason=error.message,
        remedy=remedy_of(error),
        checks=(*report.checks, check),
    )
    return changed if doubt else changed.without_content()


def _seen(report: Memorable, trust: bytes) -> Seen | None:
    """What there is to remember of a report; None where no quote was verified."""
    statement = report.statement
    if statement is None:
        return None
    if isinstance(report, ChallengeReport):
        attest = report.attest
        if attest is None:
            return None
        tpm = TpmTime(attest.reset_count, attest.restart_count, attest.clock_ms)
        begun = _begun(statement, trust, tpm, _names(report))
        return replace(begun, answered_ms=report.judged_ms)
    head = _head(report.head)
    if head is None:
        return None
    if isinstance(report, BundleReport):
        if report.manifest is None or report.closing is None:
            return None
        return replace(
            _begun(statement, trust, head.tpm, _names(report.closing)),
            heads=(head,),
            roots={size: root.hex() for size, root in report.roots.items() if root},
            span=(report.manifest.first, report.manifest.end),
        )
    earlier = _head(report.previous)
    heads = (head,) if earlier is None else (earlier, head)
    return replace(
        _begun(statement, trust, head.tpm, _names(report)),
        heads=heads,
        roots={each.size: each.root for each in heads},
    )


def _begun(statement: TrustStatement, trust: bytes, tpm: TpmTime, keys: tuple[str, ...]) -> Seen:
    return Seen(
        node_id=statement.node_id,
        log_id=statement.log_id,
        keys=keys,
        trust=sha256(trust).hexdigest(),
        enroller=sha256(statement.enroller_key).hexdigest(),
        revoked_ms=statement.revoked_ms,
        tpm=tpm,
    )


def _names(report: Report | ChallengeReport) -> tuple[str, ...]:
    return tuple(key.name().hex() for key in report.keys)


def _head(info: HeadInfo | None) -> SeenHead | None:
    if info is None or info.tpm_resets is None:
        return None
    tpm = TpmTime(info.tpm_resets, info.tpm_restarts or 0, info.tpm_clock_ms or 0)
    return SeenHead(info.size, info.root.hex(), info.utc_ms, info.counter, tpm)
