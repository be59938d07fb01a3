"""The gapless counter: every value follows the one before, through resets and crashes.

docs/formats.md, "Counter". A log that was put back to an earlier state would have to claim steps
that the lost history made: it lacks the certificates for them.
"""

from dataclasses import dataclass, field

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import CheckpointNote
from swt3_agent.protocol.record import Record
from swt3_agent.verify.bundle.counter_records import (
    Certificate,
    Intent,
    read_certificate,
    read_intent,
    verify_certificate,
)
from swt3_agent.verify.bundle.heads import QuotedHead
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.refusal import refusal

_MOST_HEADS = 1000  # that are remembered for the certificates of a step


@dataclass(frozen=True, slots=True)
class PinnedCounter:
    """The index and its Name, as the enroller saw them."""

    index: int
    name: bytes


@dataclass(slots=True)
class CounterChain:
    """Takes heads and counter records in order, and refuses the first that does not follow.

    ``last`` is the newest certificate; ``steps`` counts whole ones; ``stepped`` are the reset
    counts of the runs of the TPM in which one was taken; ``first_run`` is the reset count of
    the log's first head, where the range begins with the log.
    """

    pinned: PinnedCounter | None = None
    last: Certificate | None = None
    steps: int = 0
    stepped: set[int] = field(default_factory=set)
    irregularities: list[Irregularity] = field(default_factory=list)
    first_run: int | None = None
    _run: int = 0
    """The TPM's reset count at ``last``."""
    _intent: Intent | None = None
    _bare: bool = False
    """An intent since the last certificate has none itself."""
    _heads: dict[int, QuotedHead] = field(default_factory=dict)
    _defined_in: str | None = None
    _seeding: bool = False

    @property
    def value(self) -> int:
        """What the newest certificate says; 0 where there is none: ``ctr`` of the next note."""
        return 0 if self.last is None else self.last.value

    @property
    def is_used(self) -> bool:
        """Whether the log keeps a counter as far as is known, or must keep one."""
        return self.last is not None or self.pinned is not None

    def begin(self) -> None:
        """What follows lies before the range, and what came before that is not judged."""
        self._seeding = True

    def begin_range(self) -> None:
        """What follows lies in the range."""
        self._seeding = False

    def see_definition(self, boot_id: str) -> None:
        """A boot record of this boot says that the counter was defined then."""
        self._defined_in = boot_id

    def see_note(self, seq: int, note: CheckpointNote) -> None:
        """A note, recorded as ``seq``. Raises FormatError ``COUNTER_CTR``."""
        if note.counter != self.value:
            raise refusal(
                "COUNTER_CTR",
                f"the head at record {seq} says ctr={note.counter}, and the newest certificate"
                f" before it {self.value}",
            )

    def see_later_note(self, note: CheckpointNote) -> None:
        """A note after the range: certificates may lie between. Raises FormatError
        ``COUNTER_CTR``."""
        if note.counter < self.value:
            raise refusal(
                "COUNTER_CTR", f"a later head says ctr={note.counter}, less than {self.value}"
            )

    def see_quoted(self, head: QuotedHead) -> None:
        """A head whose quote holds."""
        self._heads[head.seq] = head
        if len(self._heads) > _MOST_HEADS or self._intent is None:
            del self._heads[next(iter(self._heads))]

    def see_intent(self, record: Record) -> None:
        """A counter-intent record. Raises FormatError ``RECORD_CONTENT``."""
        if self._intent is not None:
            self._left_open(self._intent)
        self._intent = read_intent(record)
        self._heads.clear()

    def see_certificate(self, record: Record) -> None:
        """A counter-cert record.

        Raises FormatError: as ``read_certificate`` and ``verify_certificate``;
        ``COUNTER_INDEX_OTHER``, ``COUNTER_NAME``, ``COUNTER_INTENT``, ``COUNTER_GAP``,
        ``COUNTER_FELL``, ``COUNTER_REPEATED`` or ``COUNTER_BEFORE_MISSING``.
        """
        certificate = read_certificate(record)
        head = self._heads.get(certificate.head)
        defined = head is not None and head.note.boot_id == self._defined_in
        self._check_index(certificate, defined=defined)
        intent = self._check_intent(certificate, head)
        attest = verify_certificate(certificate, head)
        if certificate.phase == "before":
            self._check_before(certificate, attest.reset_count, defined=defined)
        else:
            self._check_after(certificate)
        if certificate.value != intent.value - (certificate.phase == "before"):
            raise refusal(
                "COUNTER_INTENT",
                f"certificate {record.seq} says {certificate.value}, and its step is to"
                f" {intent.value}",
            )
        self.last, self._bare, self._defined_in = certificate, False, None
        self._run = attest.reset_count
        if certificate.phase == "after":
            self.stepped.add(self._run)
            self.steps += not self._seeding
            self._intent = None
            self._heads.clear()

    def finish(self, covered: int) -> None:
        """No certificate follows; a signed head covers ``covered`` records.

        Raises FormatError ``COUNTER_UNCOVERED``.
        """
        if self.last is not None and self.last.seq >= covered:
            raise refusal(
                "COUNTER_UNCOVERED", f"no head covers certificate {self.last.seq} of the counter"
            )
        if self._intent is not None:
            self._left_open(self._intent)
            self._intent = None

    def _left_open(self, intent: Intent) -> None:
        """Nothing says whether the step was taken."""
        certified = self.last is not None and self.last.intent == intent.seq
        how = "is certified before and not after" if certified else "has no certificate"
        detail = f"the step to {intent.value} that record {intent.seq} announces {how}"
        self.irregularities.append(Irregularity("COUNTER_OPEN", detail))
        self._bare = self._bare or not certified

    def _check_index(self, certificate: Certificate, *, defined: bool) -> None:
        public, pinned, seq = certificate.public, self.pinned, certificate.seq
        if pinned is not None and public.index != pinned.index:
            raise refusal(
                "COUNTER_INDEX_OTHER",
                f"certificate {seq} is of NV index {public.index:08x}, and the trust file names"
                f" {pinned.index:08x}",
            )
        if pinned is not None and public.name() != pinned.name:
            raise refusal("COUNTER_NAME", f"certificate {seq} is of an index of another Name")
        if not defined and self.last is not None and public.name() != self.last.public.name():
            raise refusal(
                "COUNTER_NAME",
                f"certificate {seq} is of another index than the one before, and no boot record"
                " says that it was defined",
            )

    def _check_intent(self, certificate: Certificate, head: QuotedHead | None) -> Intent:
        intent, seq = self._intent, certificate.seq
        if intent is None or certificate.intent != intent.seq:
            if intent is None and self.last is not None and self.last.intent == certificate.intent:
                raise refusal("COUNTER_REPEATED", f"certificate {seq} repeats {self.last.seq}")
            raise refusal("COUNTER_INTENT", f"no step under way is that of certificate {seq}")
        if intent.index != certificate.public.index:
            raise refusal("COUNTER_INTENT", f"certificate {seq} is of another index than its step")
        if head is not None and head.note.size <= intent.seq:
            raise refusal(
                "COUNTER_INTENT", f"the head of certificate {seq} does not cover its step"
            )
        return intent

    def _check_before(self, certificate: Certificate, run: int, *, defined: bool) -> None:
        """``run`` is the TPM's reset count, ``defined`` whether the index was defined in this
        boot."""
        last, seq, value = self.last, certificate.seq, certificate.value
        if last is None:
            self._check_beginning(certificate, run, defined=defined)
        elif last.phase == "before" and last.intent == certificate.intent:
            raise refusal("COUNTER_REPEATED", f"certificate {seq} repeats that before the step")
        elif value < last.value:
            raise refusal("COUNTER_FELL", f"the counter fell from {last.value} to {value}")
        elif defined:
            # Root can say so of a step that another history took: it may be the next value too.
            detail = f"the counter was defined anew and went from {last.value} to {value}"
            self.irregularities.append(
                Irregularity("COUNTER_REDEFINED", detail, decides=True, size=seq + 1)
            )
        elif value == last.value + 1 and last.phase == "before":
            self._interrupted(certificate, run)
        elif value > last.value:
            raise self._gap(last, value)

    def _interrupted(self, certificate: Certificate, run: int) -> None:
        """The step before was taken: in its own run, whose heads are all here, or in a later one.

        A run in between without a certificate is one that another history, which took the step, can
        have had to itself.
        """
        value, seq = certificate.value, certificate.seq
        detail = f"the step to {value} was interrupted: its outcome shows in certificate {seq}"
        self.irregularities.append(Irregularity("COUNTER_CRASH", detail))
        if (resets := run - self._run) > 1:
            detail = f"the TPM was reset {resets} times in the middle of the step to {value}:"
            detail += " another history of this log could have had a boot in between to itself"
            self.irregularities.append(
                Irregularity("COUNTER_NOT_STEPPED", detail, decides=True, size=seq + 1)
            )
        else:
            self.stepped.add(self._run)

    def _gap(self, last: Certificate, value: int) -> FormatError:
        if value == last.value + 1 and self._bare:
            return refusal(
                "COUNTER_INTENT",
                f"the counter went from {last.value} to {value}, and the step that was announced"
                " has no certificate before it",
            )
        return refusal(
            "COUNTER_GAP",
            f"the counter went from {last.value} to {value}, and the log holds no such steps: a"
            " history of this log was lost or is kept back",
        )

    def _check_beginning(self, certificate: Certificate, run: int, *, defined: bool) -> None:
        """The first certificate that is known follows none."""
        if self._seeding or run == self.first_run:  # the log PCR has shown all of this run
            return
        if defined and certificate.value == 1:  # no counter of this TPM ever had a value
            return
        detail = f"the counter stood at {certificate.value} when the log first certified it, in"
        detail += f" record {certificate.seq}: what was certified before is not here"
        self.irregularities.append(
            Irregularity("COUNTER_START", detail, decides=True, size=certificate.seq + 1)
        )

    def _check_after(self, certificate: Certificate) -> None:
        last, seq = self.last, certificate.seq
        if (
            last is None
            or last.phase != "before"
            or (last.intent, last.head) != (certificate.intent, certificate.head)
        ):
            raise refusal(
                "COUNTER_BEFORE_MISSING", f"certificate {seq} has none before its step at its side"
            )
        step = certificate.value - last.value
        if step < 0:
            raise refusal("COUNTER_FELL", f"certificate {seq} says less than that before the step")
        if step == 0:
            raise refusal("COUNTER_REPEATED", f"certificate {seq} says that no step was taken")
        if step > 1:
            raise refusal("COUNTER_GAP", f"certificate {seq} says that {step} steps were taken")
