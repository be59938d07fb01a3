"""collect -> appraise -> mint -> clear -> journal: the way of the agent's own evidence.

Evidence is recorded before it is judged, and judged before anything is minted; what cannot be
judged is recorded all the same (docs/formats.md, "Verdicts when nothing can be compared"). What
clearing removes from an anchor at level 2 or 3 is in custody before the anchor is in the journal.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet  # the builtin one from Python 3.11 on
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from swt3_agent.collect.base import Collector
from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.anchor import mint_token
from swt3_agent.protocol.appraisal import Appraisal, Outcome
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.clearing import clear
from swt3_agent.protocol.custody import CUSTODY_FROM_LEVEL, CustodySink, commitment, withheld
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, Unavailable
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.protocol.latency import bucketed
from swt3_agent.protocol.payload import encode_payload
from swt3_agent.protocol.procedures import PROCEDURES, Verdict
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.unique_time import UniqueMilliseconds
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Draft, Journal

CUSTODY_WITHIN_S = 10.0

Claims = Mapping[str, object]
Appraise = Callable[[Reading], tuple[Appraisal, ...]]


@dataclass(frozen=True, slots=True)
class Minter:
    """In whose name anchors are minted, and how much of their content may leave the node.

    ``labels`` are operational fields of every anchor (docs/protocol.md 4). ``sign`` gives the
    fields of the wire signature over a fingerprint and the agent id.
    """

    tenant: str
    clearing_level: int
    agent_id: str | None
    labels: Mapping[str, object] = field(default_factory=dict)
    sign: Callable[[str, str | None], Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class Attestation:
    """What one appraisal came to, and where it is recorded.

    ``fingerprint`` and ``token`` are None where nothing was minted; ``record`` is the sequence
    number of the minted record, or of the evidence where there is no minted one.
    """

    appraisal: Appraisal
    fingerprint: str | None
    token: str | None
    record: int
    evidence_record: int
    duration_ms: int


class Pipeline:
    """Runs collectors and records what they saw; safe to call from several threads.

    A collector runs once at a time, until what it saw is recorded. Who asks while it runs waits for
    his turn, since the reading under way may be older than what he wants to see; and a collector
    that reads the log, as the audit does, must find there what it said before.
    """

    def __init__(
        self,
        minter: Minter,
        journal: Journal,
        evidence: EvidenceStore,
        custody: CustodySink | None = None,
    ) -> None:
        """Without ``custody`` what clearing removes is only in the evidence."""
        self._minter = minter
        self._journal = journal
        self._evidence = evidence
        self._custody = custody
        self._clock = UniqueMilliseconds()
        self._turns: dict[str, threading.Lock] = {}
        self._readings: dict[str, Future[Reading]] = {}  # the newest of each collector
        self._stopping = False
        self._lock = threading.Lock()  # over the two above

    def run(
        self, collector: Collector, appraise: Appraise, expected: Claims = MappingProxyType({})
    ) -> tuple[Attestation, ...]:
        """Take one reading all the way into the journal; returns when it is durable.

        ``expected`` are the claims of a reading that does not come: what should have been read is
        known all the same, and must not escape its verdict.
        Raises JournalError when it cannot be recorded: nothing is attested that is not kept.
        ``STOPPING`` after ``stop``.
        """
        with self._turns.setdefault(collector.name, threading.Lock()):
            started = time.monotonic()
            reading = self._collect(collector, expected)
            duration_ms = round((time.monotonic() - started) * 1000)
            reading, evidence_record = self._record_evidence(reading, expected, duration_ms)
            return tuple(
                self._record_appraisal(appraisal, evidence_record, duration_ms)
                for appraisal in appraise(reading)
            )

    def mint_as(self, minter: Minter) -> None:
        """Mint so from now on, also what was read before."""
        self._minter = minter

    def stop(self) -> None:
        """Refuse new runs and end the wait of those under way: a reading may take hours."""
        with self._lock:
            self._stopping = True
            readings = list(self._readings.values())
        for reading in readings:
            with suppress(InvalidStateError):  # it has ended
                reading.set_exception(_stopping())

    def _collect(self, collector: Collector, expected: Claims) -> Reading:
        """One reading within the collector's timeout; one that hangs is left behind and named."""
        with self._lock:
            if self._stopping:
                raise _stopping()
            previous = self._readings.get(collector.name)
            if previous is not None and not previous.done():
                detail = "an earlier run has not ended"
                return _no_reading(collector.name, Lack.BUSY, "COLLECTOR_BUSY", detail, expected)
            reading = self._readings[collector.name] = Future[Reading]()
        thread = threading.Thread(
            target=_take,
            args=(collector, expected, reading),
            name=f"collect-{collector.name}",
            daemon=True,  # one that hangs must not keep the agent from ending
        )
        thread.start()
        try:
            return reading.result(collector.timeout_s)
        except NotYet:
            detail = f"no answer within {collector.timeout_s:g} s"
            return _no_reading(collector.name, Lack.BUSY, "COLLECTOR_TIMEOUT", detail, expected)

    def _record_evidence(
        self, reading: Reading, expected: Claims, duration_ms: int
    ) -> tuple[Reading, int]:
        """Keep the reading; it, or what stands for one that cannot be kept, and its record."""
        attachments = self._keep_attachments(reading)
        try:
            raw = canonical_json({**_raw_evidence(reading), **attachments})
        except FormatError as error:  # the collector's fault, and it must be seen
            reading = _no_reading(
                reading.collector, Lack.FAILED, "EVIDENCE_MALFORMED", error.message, expected
            )
            raw = canonical_json({**_raw_evidence(reading), **attachments})
        payload: dict[str, object] = {
            "collector": reading.collector,
            "digest": self._evidence.put(raw),
            "size": len(raw),
            "duration_ms": duration_ms,
            "root_of_trust": reading.root_of_trust.value if isinstance(reading, Evidence) else None,
            "lack": reading.lack.value if isinstance(reading, Unavailable) else None,
            "code": reading.code if isinstance(reading, Unavailable) else None,
            **attachments,
        }
        if isinstance(reading, Evidence) and reading.stated:
            payload["stated"] = reading.stated
        provenance = {"listener": "agent", "tenant": self._minter.tenant}
        draft = Draft(Kind.EVIDENCE, canonical_json(provenance), canonical_json(payload))
        return reading, self._journal.append([draft]).result().first_seq

    def _keep_attachments(self, reading: Reading) -> Claims:
        """Store what the reading was read from; how its records name it, where there is any."""
        if not isinstance(reading, Evidence) or not reading.attachments:
            return {}
        kept = {
            name: {"digest": self._evidence.put(content), "size": len(content)}
            for name, content in reading.attachments.items()
        }
        return {"attachments": kept}

    def _record_appraisal(
        self, appraisal: Appraisal, evidence_record: int, duration_ms: int
    ) -> Attestation:
        if appraisal.factors is None or appraisal.procedure_id not in PROCEDURES:
            return Attestation(appraisal, None, None, evidence_record, evidence_record, duration_ms)
        minter = self._minter  # one for the whole record, whatever is configured meanwhile
        level = minter.clearing_level
        procedure = appraisal.procedure_id
        factors = bucketed(procedure, appraisal.factors, level)
        appraisal = replace(appraisal, factors=factors)
        timestamp_ms = self._clock.next((procedure, factors))
        fingerprint = mint_fingerprint(minter.tenant, procedure, *factors, timestamp_ms)
        verdict = Verdict.PASS if appraisal.outcome is Outcome.PASS else Verdict.FAIL
        token = mint_token(procedure, verdict, timestamp_ms // 1000, fingerprint)
        witness = _witness(minter, appraisal, fingerprint, timestamp_ms)
        payload, original = self._cleared(minter, witness)
        provenance: dict[str, object] = {
            "listener": "agent",
            "tenant": minter.tenant,
            "collector": appraisal.collector,
            "evidence": evidence_record,
            "root_of_trust": appraisal.root_of_trust.value,
            "verdict": verdict.value,
            "token": token,
            "reasons": [reason.code for reason in appraisal.reasons],
            "declared_level": level,
            "applied_level": level,
        }
        if appraisal.baseline is not None:
            provenance["baseline"] = appraisal.baseline
        if original is not None:
            provenance["original"] = original
        draft = Draft(Kind.MINTED, canonical_json(provenance), payload)
        record = self._journal.append([draft]).result().first_seq
        return Attestation(appraisal, fingerprint, token, record, evidence_record, duration_ms)

    def _cleared(self, minter: Minter, witness: Mapping[str, object]) -> tuple[bytes, str | None]:
        """The payload as it may travel, and the commitment to what custody has of it, if anything.

        Returns when custody has it durably. Raises JournalError when it cannot take it, or does not
        within a few seconds: a volume that hangs must not keep the agent from ending.
        """
        level = minter.clearing_level
        cleared, removed = clear(witness, level)
        payload = encode_payload(cleared)
        if not removed or level < CUSTODY_FROM_LEVEL or self._custody is None:
            return payload, None
        entry = withheld(minter.tenant, encode_payload(witness), payload, level)
        try:
            self._custody.put([entry]).result(CUSTODY_WITHIN_S)
        except NotYet:
            raise JournalError(
                "CUSTODY_STALLED",
                "what clearing removes is not kept yet, so nothing is minted",
                remedy="see `swt3-agent custody status`; the next scheduled run tries again",
                retryable=True,
            ) from None
        return payload, commitment(entry.secret, entry.original)


def _witness(
    minter: Minter, appraisal: Appraisal, fingerprint: str, timestamp_ms: int
) -> dict[str, object]:
    """The anchor with all that is known of it, signed where a key is there."""
    assert appraisal.factors is not None  # noqa: S101  the caller mints nothing without them
    a, b, c = appraisal.factors
    witness: dict[str, object] = {
        "procedure_id": appraisal.procedure_id,
        "factor_a": a,
        "factor_b": b,
        "factor_c": c,
        "clearing_level": minter.clearing_level,
        "anchor_fingerprint": fingerprint,
        "anchor_epoch": timestamp_ms // 1000,
        "fingerprint_timestamp_ms": timestamp_ms,
    }
    if appraisal.model_id is not None:
        witness["ai_model_id"] = appraisal.model_id
    if appraisal.context:
        witness["ai_context"] = dict(appraisal.context)
    if minter.agent_id is not None:
        witness["agent_id"] = minter.agent_id
    witness.update(minter.labels)
    if minter.sign is not None:
        witness.update(minter.sign(fingerprint, minter.agent_id))
    return witness


def _take(collector: Collector, expected: Claims, reading: "Future[Reading]") -> None:
    try:
        taken = collector.collect()
    except Exception as error:  # noqa: BLE001  a collector's fault must harm nobody else
        detail = f"{type(error).__name__}: {error}"
        taken = _no_reading(collector.name, Lack.FAILED, "COLLECTOR_FAILED", detail, expected)
    with suppress(InvalidStateError):  # the agent stops: nobody waits any longer
        reading.set_result(taken)


def _no_reading(
    collector: str, lack: Lack, code: str, detail: str, expected: Claims
) -> Unavailable:
    return Unavailable(
        collector=collector,
        lack=lack,
        code=code,
        detail=detail,
        remedy="see the agent's log; the next scheduled run tries again",
        claims=dict(expected),
    )


def _stopping() -> JournalError:
    return JournalError(
        "STOPPING",
        "the agent is stopping and records no new reading",
        remedy="ask again when it runs",
        retryable=True,
    )


def _raw_evidence(reading: Reading) -> Mapping[str, object]:
    if isinstance(reading, Evidence):
        return {
            "collector": reading.collector,
            "root_of_trust": reading.root_of_trust.value,
            "claims": reading.claims,
        }
    return {
        "collector": reading.collector,
        "lack": reading.lack.value,
        "code": reading.code,
        "detail": reading.detail,
        "remedy": reading.remedy,
        "claims": reading.claims,
    }
