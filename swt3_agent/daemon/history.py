"""The history of the node, from its log: which weights, on which GPUs, since when, what changed.

Derived from evidence and minted records alone (docs/formats.md, "History"). Bounded: the newest
readings of each collector, as many as are asked for, and it says so where there are older ones.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from swt3_agent.config import Config
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import JournalError, UsageError
from swt3_agent.protocol.history import SUBJECTS, States, Timeline, together
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal

NEWEST = 2000
"""Readings of each collector, and minted anchors, that are looked at where nobody says."""

_PROCEDURES = "procedure"
_BREATH = 64  # records read between two breaths


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know; None: all of it. ``since_ms`` is UTC; ``gpu`` a UUID or its
    beginning; ``newest`` bounds how many readings are looked at."""

    procedure: str | None = None
    model: str | None = None
    gpu: str | None = None
    since_ms: int | None = None
    newest: int = NEWEST

    def wants(self, kind: str) -> bool:
        """Whether subjects of this kind were asked for."""
        named = {"procedure": self.procedure, "model": self.model, "gpu": self.gpu}
        return not any(named.values()) or named.get(kind) is not None


class _EvidencePayload(msgspec.Struct):
    digest: str
    lack: str | None = None
    code: str | None = None


class _MintedProvenance(msgspec.Struct):
    verdict: str = ""
    evidence: int = -1
    reasons: list[str] = []


class _MintedPayload(msgspec.Struct):
    procedure_id: str = ""
    ai_model_id: str = ""


def history(
    journal: Journal,
    catalogue: Catalogue,
    evidence: EvidenceStore,
    question: Question,
    breathe: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The answer (docs/formats.md, "History"); ``breathe`` is called between slices of the work.

    Raises UsageError ``NO_SUCH_MODEL``, ``NO_SUCH_GPU``, ``NO_SUCH_PROCEDURE``, JournalError.
    """
    return _History(journal, catalogue, evidence, question, breathe).answer()


def stopped_history(config: Config, question: Question) -> dict[str, Any]:
    """The same where no daemon runs."""
    with stopped_log(config) as log:
        return history(log.journal, log.catalogue, log.evidence, question)


class _History:
    def __init__(
        self,
        journal: Journal,
        catalogue: Catalogue,
        evidence: EvidenceStore,
        question: Question,
        breathe: Callable[[], None],
    ) -> None:
        self._breathe = breathe
        self._journal = journal
        self._catalogue = catalogue
        self._evidence = evidence
        self._question = question
        self._looked_at: dict[str, dict[str, int]] = {}
        self._timelines: dict[str, Timeline] = {}

    def answer(self) -> dict[str, Any]:
        question = self._question
        for collector, (kind, _) in SUBJECTS.items():
            paired = kind in ("model", "gpu") and (question.wants("model") or question.wants("gpu"))
            if paired or question.wants(kind):
                self._timelines[kind] = self._read(collector)
        if question.wants(_PROCEDURES):
            self._timelines[_PROCEDURES] = self._read_minted()
        pairs = []
        if "model" in self._timelines:
            self._keep("model", lambda name: question.model in (None, name))
            self._keep("gpu", self._is_gpu)
            pairs = together(self._timelines["model"], self._timelines["gpu"])
        since = question.since_ms or 0
        wanted = {kind: line for kind, line in self._timelines.items() if question.wants(kind)}
        events = [event for line in wanted.values() for event in _events(line)]
        return {
            "since": question.since_ms,
            "looked_at": self._looked_at,
            "subjects": [subject for line in wanted.values() for subject in _subjects(line, since)],
            "together": [
                asdict(pair) for pair in pairs if pair.to_ms is None or pair.to_ms > since
            ],
            "procedures": self._procedures(),
            "events": sorted(
                (event for event in events if event["utc_ms"] >= since),
                key=lambda event: (event["utc_ms"], event["record"]),
            ),
        }

    def _is_gpu(self, uuid: str) -> bool:
        wanted = (self._question.gpu or "").lower()
        return uuid.lower().startswith((wanted, f"gpu-{wanted}"))

    def _keep(self, kind: str, chosen: Any) -> None:
        """Only the subjects that were asked for; where there are none, say which there are."""
        line = self._timelines[kind]
        asked = {"model": self._question.model, "gpu": self._question.gpu}[kind]
        known = sorted(line.periods)
        line.periods = {name: periods for name, periods in line.periods.items() if chosen(name)}
        if asked is not None and not line.periods:
            raise UsageError(
                f"NO_SUCH_{kind.upper()}",
                f"no {kind} {asked!r} in the readings that were looked at",
                remedy=f"there are: {', '.join(known) or 'none'}",
            )

    def _read(self, collector: str) -> Timeline:
        """All subjects of a collector, from its readings."""
        kind, states_of = SUBJECTS[collector]
        timeline = Timeline(kind)
        known: dict[str, States] = {}  # the states in the last evidence file: it is often the same
        readings = self._catalogue.records_of(Kind.EVIDENCE, collector=collector)
        for record in self._newest(timeline, readings):
            utc_ms = record.received_ns // 1_000_000
            try:
                reading = msgspec.json.decode(record.payload, type=_EvidencePayload)
                if reading.lack == "absent":
                    timeline.see({}, utc_ms, record.seq)
                elif reading.lack is not None:
                    timeline.miss(reading.code or reading.lack, utc_ms, record.seq)
                else:
                    if reading.digest not in known:
                        raw = json.loads(self._evidence.get(reading.digest))
                        known = {reading.digest: states_of(raw["claims"])}
                    timeline.see(known[reading.digest], utc_ms, record.seq)
            except JournalError as error:
                timeline.miss(error.code, utc_ms, record.seq)
            except (msgspec.MsgspecError, ValueError, KeyError, AttributeError, TypeError):
                timeline.miss("EVIDENCE_UNREADABLE", utc_ms, record.seq)
        return timeline

    def _read_minted(self) -> Timeline:
        """The verdicts of the agent's own anchors, by procedure and model."""
        timeline = Timeline(_PROCEDURES)
        place: dict[str, int] = {}  # of an anchor among those of one evidence and procedure
        evidence = -1
        for record in self._newest(timeline, self._catalogue.records_of(Kind.MINTED)):
            try:
                judged = msgspec.json.decode(record.provenance, type=_MintedProvenance)
                anchor = msgspec.json.decode(record.payload, type=_MintedPayload)
            except MALFORMED:
                continue
            if judged.evidence != evidence:
                evidence, place = judged.evidence, {}
            procedure = anchor.procedure_id
            place[procedure] = place.get(procedure, 0) + 1
            if self._question.procedure not in (None, procedure):
                continue
            name = anchor.ai_model_id if procedure.startswith("AI-MDL.") else ""
            if place[procedure] > 1 and not name and procedure.startswith("AI-MDL."):
                name = f"#{place[procedure]}"  # clearing took the model's name
            subject = f"{procedure} {name}".strip()
            state = {"verdict": judged.verdict, "reasons": sorted(set(judged.reasons))}
            timeline.see_one(subject, state, record.received_ns // 1_000_000, record.seq)
        return timeline

    def _newest(self, line: Timeline, seqs: Sequence[int]) -> Iterator[Record]:
        """The newest records, as many as are looked at.

        Not only those after ``since``: since when something has been so lies before it, and a clock
        that was wrong for a while gives no order to search by.
        """
        newest = seqs[max(0, len(seqs) - self._question.newest) :]
        self._looked_at[line.kind] = {"readings": len(newest), "of": len(seqs)}
        line.cut = len(newest) < len(seqs)
        for count, seq in enumerate(newest, 1):
            if count % _BREATH == 0:
                self._breathe()
            yield self._journal.read(seq)

    def _procedures(self) -> list[dict[str, Any]]:
        """Anchors of each procedure, minted and relayed: how many, and when the last came."""
        question = self._question
        if not question.wants(_PROCEDURES):
            return []
        found = self._catalogue.procedures()
        if question.procedure is not None and question.procedure not in found:
            raise UsageError(
                "NO_SUCH_PROCEDURE",
                f"no anchor of {question.procedure} is in this log",
                remedy=f"there are: {', '.join(sorted(found)) or 'none'}",
            )
        return [
            {
                "procedure_id": procedure,
                "count": count,
                "last_record": last,
                "last_ms": self._journal.read(last).received_ns // 1_000_000,
            }
            for procedure, (count, last) in sorted(found.items())
            if question.procedure in (None, procedure)
        ]


def _subjects(line: Timeline, since_ms: int) -> Iterator[dict[str, Any]]:
    for name, periods in sorted(line.periods.items()):
        shown = [one for one in periods if one.until_ms is None or one.until_ms > since_ms]
        yield {
            "kind": line.kind,
            "name": name,
            "present": periods[-1].state is not None,
            "periods": [asdict(one) for one in shown],
        }


def _events(line: Timeline) -> Iterator[dict[str, Any]]:
    for gap in line.gaps:
        yield _event(line, "", "unread", gap.first_ms, gap.first_record, {"code": gap.code})
    for name, periods in line.periods.items():
        before: Mapping[str, object] | None = None  # the last state in which it was there
        for number, period in enumerate(periods):
            state, what = period.state, "changed"
            if not period.begins:
                what = ""  # nothing happened: there the readings begin
            elif state is None:
                what = "left"
            elif before is None:
                what = "appeared"
            elif periods[number - 1].state is None:
                what = "returned"
            changes = {}
            if state is not None:
                old = before or {}
                keys = [key for key in state if state[key] != old.get(key)]
                changes = {key: [old.get(key), state[key]] for key in keys}
                before = state
            if what:
                yield _event(line, name, what, period.first_ms, period.first_record, changes)


def _event(
    line: Timeline, subject: str, what: str, utc_ms: int, record: int, changes: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "utc_ms": utc_ms,
        "record": record,
        "kind": line.kind,
        "subject": subject,
        "event": what,
        "changes": changes,
    }
