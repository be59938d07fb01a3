"""The lane to a ledger: what is sent next, and what follows from each answer.

Every record is sent until there is a receipt or a refusal of just that record, and what came of it
is durable before the next is sent. A crash in between sends some records again, as the same bytes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from swt3_agent.errors import JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.relay.delivery.answers import Keep, Outcome, Refuse, Settled, Stop
from swt3_agent.relay.delivery.batches import Batch, BatchLimits, Item, read_again, read_batch
from swt3_agent.relay.delivery.gate import Gate
from swt3_agent.relay.delivery.interfaces import Answer, RecordSource, SettlementSink
from swt3_agent.relay.delivery.jitter import FullJitter

PROBE_S = 900.0
"""How often a stopped lane sees for itself whether it may go on."""
CUSTODY_POLL_S = 5.0
MOST_REFUSED_IN_A_ROW = 64
"""Records that a ledger may refuse one after the other as a matter of status. Beyond that it is
not the records: the lane stops instead of putting the whole backlog aside."""

_GROWTH = 64  # after a 413 each delivered batch gives back this part of the full size


class Ledger(Protocol):
    """Takes batches."""

    async def post(self, body: bytes, items: Sequence[Item]) -> Outcome:
        """Send ``body``, which holds ``items``, and say what became of it. Raises nothing."""
        ...


class LaneState(Enum):
    """What the lane is doing."""

    IDLE = "idle"
    SENDING = "sending"
    BACKING_OFF = "backing-off"
    STOPPED = "stopped"
    WAITING_CUSTODY = "waiting-custody"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to: the state, what is wrong (None: nothing), and seconds to wait before
    the next (None: until there is something new)."""

    state: LaneState
    fault: Reason | None
    wait_s: float | None
    delivered: bool = False


class Lane:
    """Sends the records of ``source`` to a ledger, in order. Not thread-safe.

    ``lack`` says why nothing may be sent now although it could be; None where it may.
    """

    def __init__(
        self,
        source: RecordSource,
        sink: SettlementSink,
        gate: Gate,
        limits: BatchLimits,
        *,
        lack: Callable[[], Reason | None] = lambda: None,
        jitter: FullJitter | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._gate = gate
        self._limits = limits
        self._size = limits.size  # of a body, at present
        self._lack = lack
        self._jitter = jitter or FullJitter()
        self._todo: deque[Batch] = deque()
        self._again: deque[int] = deque()
        self._answered: tuple[Batch, tuple[Answer, ...]] | None = None
        self._read_to = 0
        self._refused_in_a_row = 0
        self._is_sending = False

    @property
    def is_sending(self) -> bool:
        """Whether a batch is under way; any thread may ask."""
        return self._is_sending

    def resume(self) -> None:
        """Somebody says that what hindered is mended."""
        self._refused_in_a_row = 0
        self._jitter.reset()

    def retry(self, seqs: Iterable[int]) -> None:
        """Send these records, which were refused, before any that are not yet in hand."""
        in_hand = {item.seq for batch in self._todo for item in batch.items}
        self._again = deque(sorted({*self._again, *seqs} - in_hand))

    async def step(self, ledger: Ledger) -> Step:
        """Send one batch, and settle it as far as it was answered.

        Raises JournalError where the log cannot be read or what was answered cannot be kept. The
        next step goes on from there: what was answered is not sent again.
        """
        self._keep_answers()
        if (lack := self._lack()) is not None:
            return Step(LaneState.WAITING_CUSTODY, lack, CUSTODY_POLL_S)
        if not self._todo and not self._read():
            return Step(LaneState.IDLE, None, None)
        batch = self._todo[0]
        if not batch.items:
            return self._settle(())
        self._is_sending = True
        try:
            outcome = await ledger.post(batch.body(), batch.items)
        finally:
            self._is_sending = False
        if isinstance(outcome, Settled):
            self._refused_in_a_row = 0
            self._size = min(self._limits.size, self._size + self._limits.size // _GROWTH)
            return self._settle(outcome.answers)
        if isinstance(outcome, Refuse):
            return self._on_refusal(batch, outcome)
        if isinstance(outcome, Stop):
            return Step(LaneState.STOPPED, outcome.fault, PROBE_S)
        return self._keep(outcome)

    def _read(self) -> bool:
        """Take up the next records; whether there are any to send or to hold back."""
        limits = replace(self._limits, size=self._size)
        if (again := self._read_again(limits)) is not None:
            self._todo.append(again)
            return True
        start = max(self._read_to, self._sink.cursor)
        while True:
            batch = read_batch(self._source, start, self._gate, limits)
            if batch.items or batch.held:
                # What lies between the cursor and its first record is of no concern to a ledger.
                self._todo.append(replace(batch, first=self._sink.cursor))
                return True
            self._read_to = start = batch.end
            if batch.end >= self._source.size:
                return False

    def _read_again(self, limits: BatchLimits) -> Batch | None:
        try:
            return read_again(self._source, self._again, self._gate, limits)
        except JournalError:
            self._again.clear()  # such an order must not hold up what is new
            raise

    def _settle(self, answers: Sequence[Answer]) -> Step:
        self._answered = (self._todo.popleft(), tuple(answers))
        self._keep_answers()
        self._jitter.reset()
        return Step(LaneState.SENDING, None, 0.0, delivered=any(answer.ok for answer in answers))

    def _keep_answers(self) -> None:
        if self._answered is not None:
            batch, answers = self._answered
            self._sink.settle(batch.first, batch.end, answers, batch.held)
            self._answered = None

    def _on_refusal(self, batch: Batch, refusal: Refuse) -> Step:
        """Halve the batch until the record that is not liked stands alone; put that one aside."""
        if refusal.too_large:
            self._size = max(1, len(batch.body()) // 2)
        if len(batch.items) > 1:
            self._todo.popleft()
            self._todo.extendleft(reversed(batch.halves()))
            return Step(LaneState.SENDING, None, 0.0)
        if self._refused_in_a_row >= MOST_REFUSED_IN_A_ROW:
            return Step(LaneState.STOPPED, _refuses_all(refusal.fault), PROBE_S)
        self._refused_in_a_row += 1
        refused = Answer(batch.items[0].seq, ok=False, error=refusal.fault.detail)
        return self._settle((refused,))

    def _keep(self, outcome: Keep) -> Step:
        return Step(
            LaneState.BACKING_OFF, outcome.fault, self._jitter.next(at_least=outcome.retry_after_s)
        )


def _refuses_all(fault: Reason) -> Reason:
    what = f"the ledger refused {MOST_REFUSED_IN_A_ROW} records in a row; {fault.detail}"
    remedy = "find out why, then `swt3-agent queue resume`, and `queue retry all` for those refused"
    return Reason("LEDGER_REFUSES_ALL", what, remedy)
