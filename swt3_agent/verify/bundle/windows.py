"""What a reset leaves open: the records after the last certificate of the counter before it.

The log PCR holds a boot's heads together until the TPM is reset, the counter holds boots together.
What was recorded after the last certificate of a boot a log that was put back to just there lacks
without a trace; so every reset has its window, and every boot needs a step of its own.
"""

from dataclasses import dataclass, field

from swt3_agent.verify.bundle.counter import CounterChain
from swt3_agent.verify.bundle.heads import QuotedHead
from swt3_agent.verify.bundle.irregularity import Irregularity


@dataclass(frozen=True, slots=True)
class Window:
    """The TPM was reset ``resets`` times, and ``boot_id`` came. Records from ``first`` to before
    ``end``, the boot record, came after the last certificate (None: there was none), and more may
    have followed them, which nothing shows. Times are the node's, UTC ms, of the last head
    before and the first after the reset."""

    boot_id: str
    resets: int
    first: int | None
    end: int
    from_ms: int
    to_ms: int

    def to_json(self) -> dict[str, object]:
        """JSON-able form."""
        return {
            "boot_id": self.boot_id,
            "resets": self.resets,
            "first": self.first,
            "end": self.end,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
        }


@dataclass(slots=True)
class Windows:
    """Takes boot records and signed heads in order."""

    all: list[Window] = field(default_factory=list)
    irregularities: list[Irregularity] = field(default_factory=list)
    _starts: dict[str, int] = field(default_factory=dict)
    _last: QuotedHead | None = None
    _unstepped: list[QuotedHead] = field(default_factory=list)
    _in_range: frozenset[str] | None = None

    def see_boot(self, seq: int, boot_id: str) -> None:
        """The boot record ``seq``."""
        self._starts.setdefault(boot_id, seq)

    def see_quoted(self, head: QuotedHead, counter: CounterChain) -> None:
        """The next signed head; ``counter`` is as it was before it."""
        last, self._last = self._last, head
        if not head.resets or last is None:
            return
        certified = counter.last
        self.all.append(
            Window(
                boot_id=head.note.boot_id,
                resets=head.resets,
                first=None if certified is None else certified.seq + 1,
                end=self._starts.get(head.note.boot_id, head.seq),
                from_ms=last.note.utc_ms,
                to_ms=head.note.utc_ms,
            )
        )
        self._starts.clear()
        self._check_stepped(last, counter)

    def end_range(self, boots: frozenset[str]) -> None:
        """What follows lies after the range, which has records of these boots. Steps of others are
        not here, and nothing in the range rests on them."""
        self._in_range = boots

    def finish(self, counter: CounterChain) -> None:
        """No head follows. Every boot has a step, else another history could have had it to
        itself; whether an interrupted one was taken shows only in the next certificate."""
        if self._last is not None:
            self._check_stepped(self._last, counter)
        for head in self._unstepped:
            if head.attest.reset_count not in counter.stepped:
                detail = f"the counter took no step in boot {head.note.boot_id}: another history of"
                detail += " this log could have had that boot to itself"
                self.irregularities.append(
                    Irregularity("COUNTER_NOT_STEPPED", detail, decides=True, size=head.note.size)
                )

    def _check_stepped(self, head: QuotedHead, counter: CounterChain) -> None:
        if self._in_range is not None and head.note.boot_id not in self._in_range:
            return
        if counter.is_used and head.attest.reset_count not in counter.stepped:
            self._unstepped.append(head)
