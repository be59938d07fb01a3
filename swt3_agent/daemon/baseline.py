"""Baselines of a node: accepted, shown, compared, retracted; each change a record that says who
and why (docs/formats.md, "Baselines")."""

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.config import Config
from swt3_agent.daemon.caller import caller
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import AgentError, TpmError, UsageError
from swt3_agent.protocol.appraisal import Appraisal, Outcome
from swt3_agent.protocol.baseline import (
    PLATFORM,
    Accepted,
    Baseline,
    BaselineChange,
    Change,
)
from swt3_agent.protocol.boot_state import IMA_PCR, BootState, boot_state
from swt3_agent.protocol.claims import reasons_claim
from swt3_agent.protocol.evidence import Evidence, Reading, Reason, RootOfTrust, Unavailable
from swt3_agent.protocol.reference import (
    Reference,
    compare,
    encode_reference,
    parse_reference,
    reference_to_json,
)
from swt3_agent.store.baselines import Baselines
from swt3_agent.store.journal import Journal

MAX_STAGED_DAYS = 999
_DAY_MS = 86_400_000


def accept(
    node: Node,
    *,
    reason: str,
    pcrs: Sequence[int] | None,
    without: Sequence[str],
    reference: str | None,
    stage_days: int | None,
) -> dict[str, Any]:
    """Accept the present state, or ``reference`` (text of a file): in force from now on, or, with
    ``stage_days``, beside what is in force for so many days.

    ``pcrs`` and ``without`` as ``BootState.reference``. Raises UsageError, FormatError of the
    reference, TpmError where the present state cannot be read or is not this boot's.
    """
    if stage_days is not None:
        _check_days(stage_days)
    evidence = None
    if reference is not None:
        accepted = parse_reference(reference.encode())
        _refuse_moving(node.config, accepted)
    else:
        reading, evidence = _present(node)
        accepted = boot_state(reading).reference(pcrs, without)
    if stage_days is None:
        return _changed(node, Change.ACCEPTED, lambda now: now.accept(accepted), reason, evidence)
    expires_ms = _now_ms() + stage_days * _DAY_MS
    return _changed(
        node, Change.STAGED, lambda now: now.stage(accepted, expires_ms), reason, evidence
    )


def confirm(node: Node, *, reason: str) -> dict[str, Any]:
    """Put in force what is staged, once it is what runs.

    Raises UsageError NOTHING_STAGED, BASELINE_NOT_REACHED where another state runs; TpmError.
    """
    node.baselines.of(PLATFORM).confirm()
    reading, evidence = _present(node)

    def confirmed(now: Baseline) -> Baseline:
        after = now.confirm()
        assert after.in_force is not None  # noqa: S101  it was staged
        differences = _differences(boot_state(reading), after.in_force)
        if differences:
            raise UsageError(
                "BASELINE_NOT_REACHED",
                f"what is staged is not what runs: {differences[0].detail}",
                remedy="confirm it after the update; `swt3-agent baseline diff` shows all that"
                " differs",
            )
        return after

    return _changed(node, Change.CONFIRMED, confirmed, reason, evidence)


def retract(node: Node, *, reason: str, staged_only: bool) -> dict[str, Any]:
    """Take back what is in force, or only what is staged. Raises UsageError NO_BASELINE,
    NOTHING_STAGED."""
    if staged_only:
        return _changed(node, Change.UNSTAGED, Baseline.unstage, reason, None)
    return _changed(node, Change.RETRACTED, Baseline.retract, reason, None)


def diff(node: Node) -> dict[str, Any]:
    """What of the present state is not accepted, by each that is (docs/formats.md, "JSON").

    Raises TpmError.
    """
    accepted = node.baselines.of(PLATFORM).at(_now_ms())
    if not accepted:
        return {"evidence_record": None, "differs": None, "accepted": []}
    reading, evidence = _present(node)
    state = boot_state(reading)
    compared = [
        {
            "record": one.record,
            "staged": one.expires_ms is not None,
            "differences": [found.to_json() for found in _differences(state, one)],
            "unjudged": list(state.unjudged(one.reference)),
        }
        for one in accepted
    ]
    return {
        "evidence_record": evidence,
        "differs": all(one["differences"] for one in compared),
        "accepted": compared,
    }


def baseline_view(config: Config, baselines: Baselines, journal: Journal) -> dict[str, Any]:
    """``baseline show --json`` (docs/formats.md, "JSON"). Raises FormatError, JournalError."""
    newest = baselines.newest(PLATFORM)
    now = Baseline() if newest is None else newest[1].baseline
    return {
        "subject": PLATFORM,
        "in_force": _accepted_view(config, baselines, journal, now.in_force),
        "staged": _accepted_view(config, baselines, journal, now.staged),
        "last_change": None if newest is None else _change_view(journal, *newest),
    }


def baseline_summary(config: Config, baselines: Baselines, journal: Journal) -> dict[str, Any]:
    """``baseline`` of ``status --json``: the same without the values; ``error`` says why nobody can
    tell what is in force, where that is so."""
    try:
        view = baseline_view(config, baselines, journal)
    except AgentError as error:
        return {"in_force": None, "staged": None, "error": Reason.of(error).to_json()}
    for which in ("in_force", "staged"):
        if view[which] is not None:
            del view[which]["reference"]
    return {"in_force": view["in_force"], "staged": view["staged"], "error": None}


def stopped_baseline_view(config: Config) -> dict[str, Any]:
    """The same where no daemon runs."""
    with stopped_log(config) as log:
        return baseline_view(config, Baselines(log.journal, log.catalogue), log.journal)


def _accepted_view(
    config: Config, baselines: Baselines, journal: Journal, accepted: Accepted | None
) -> dict[str, Any] | None:
    if accepted is None or accepted.record is None:
        return None
    reference = accepted.reference
    quoted = BootState({index: b"" for index in config.quoted_pcrs if not _moves(config, index)})
    change = baselines.read(accepted.record)
    return {
        **_change_view(journal, accepted.record, change),
        "expires_ms": accepted.expires_ms,
        "expired": accepted.expires_ms is not None and _now_ms() >= accepted.expires_ms,
        "digest": sha256(encode_reference(reference)).hexdigest(),
        "pcrs": sorted(reference.pcrs),
        "values": sorted(reference.values),
        "unjudged": list(quoted.unjudged(reference)),
        "reference": reference_to_json(reference),
    }


def _change_view(journal: Journal, record: int, change: BaselineChange) -> dict[str, Any]:
    return {
        "record": record,
        "time_ms": journal.read(record).received_ns // 1_000_000,
        "event": change.change.value,
        "by": dict(change.by),
        "reason": change.reason,
        "evidence_record": change.evidence,
    }


def _changed(
    node: Node,
    change: Change,
    make: Callable[[Baseline], Baseline],
    reason: str,
    evidence: int | None,
) -> dict[str, Any]:
    """Record the change, and judge the node by it at once."""
    by = caller().to_json()
    record = node.baselines.change(
        PLATFORM, lambda now: BaselineChange(PLATFORM, change, make(now), by, reason, evidence)
    )
    (judged,) = node.attest([PlatformCollector.name])
    return {
        "record": record,
        "event": change.value,
        "verdict": judged.appraisal.outcome.value,
        "reasons": [found.to_json() for found in judged.appraisal.reasons],
        **baseline_view(node.config, node.baselines, node.journal),
    }


def _present(node: Node) -> tuple[Evidence, int]:
    """A reading of the boot state, taken and recorded now, and its record; nothing is minted.

    Raises TpmError where there is none, or where its registers are not of this boot.
    """
    taken: list[Reading] = []

    def keep(reading: Reading) -> tuple[Appraisal, ...]:
        taken.append(reading)
        recorded = Outcome.RECORDED
        return (Appraisal(reading.collector, None, recorded, None, (), RootOfTrust.SELF_REPORTED),)

    node.reach_tpm()
    watched = next(one for one in node.watched if one.collector.name == PlatformCollector.name)
    (recorded,) = node.pipeline.run(watched.collector, keep)
    (reading,) = taken
    if isinstance(reading, Unavailable):
        raise TpmError(reading.code, reading.detail, remedy=reading.remedy)
    for fault in reasons_claim(reading.claims, "boot_faults"):
        raise TpmError(fault.code, fault.detail, remedy=fault.remedy)
    return reading, recorded.evidence_record


def _differences(state: BootState, accepted: Accepted) -> tuple[Reason, ...]:
    return compare(accepted.reference, state.pcrs, state.values, events=state.events)


def _refuse_moving(config: Config, reference: Reference) -> None:
    """Registers that are never compared, or never quoted, would fail every reading."""
    for index in reference.pcrs:
        if _moves(config, index) or index not in config.quoted_pcrs:
            raise UsageError(
                "PCR_NOT_COMPARED",
                f"the reference names PCR {index}, which is not quoted or never stands still",
                remedy="leave that register out of the file",
            )


def _check_days(days: int) -> None:
    """A staged update ends, whoever asks for it: it would else be in force beside the rest."""
    if type(days) is not int or not 0 < days <= MAX_STAGED_DAYS:
        raise UsageError(
            "BASELINE_DAYS",
            f"an update is accepted for 1 to {MAX_STAGED_DAYS} days, not for what was asked",
            remedy=f"give a number of days from 1 to {MAX_STAGED_DAYS}",
        )


def _moves(config: Config, index: int) -> bool:
    return index in (IMA_PCR, config.tpm.log_pcr)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
