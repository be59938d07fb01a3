"""From a submission to its answer: judged, stored once, answered in time."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from swt3_agent.errors import JournalError
from swt3_agent.relay.answers import Code, Exchange, Outlet, Rejection, refused, submitted
from swt3_agent.relay.batches import (
    BatchJudgement,
    BatchKey,
    BatchMemory,
    PendingBatch,
    answer_from_store,
)
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.judgement import Rules
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.mailbox import Mailbox
from swt3_agent.relay.origin import Origin
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sink import Commit, RecordSink, StoredRecord
from swt3_agent.telemetry import Event, fields

StoreAnswer = tuple[int | None, Sequence[StoredRecord]]
"""The client's highest batch, and the records of the one that was asked for."""

_NOT_STORED = {
    "BUSY": Code.BUSY,
    "CUSTODY_BUSY": Code.BUSY,
    "CUSTODY_DENIED": Code.BUSY,
    "CUSTODY_FAILED": Code.BUSY,
    "CUSTODY_FULL": Code.DISK_FULL,
    "DISK_FULL": Code.DISK_FULL,
    "JOURNAL_UNWRITABLE": Code.BUSY,
    "RECORD_TOO_LARGE": Code.TOO_LARGE,
}
"""What a producer is told for a JournalError after which nothing was stored."""

_RETRYABLE = frozenset({Code.BUSY, Code.DISK_FULL, Code.RATE_LIMITED, Code.OUTCOME_UNKNOWN})

Respond = Callable[[BatchJudgement, int | None, Sequence[Rejection]], bytes]
"""The answer to a batch that is stored: its judgement, the number of its first record, and what was
not accepted of it."""

_log = logging.getLogger(__name__)


def answer_to_submit(
    judgement: BatchJudgement, first_seq: int | None, rejections: Sequence[Rejection]
) -> bytes:
    """The answer that docs/formats.md, "Intake", gives to ``submit``."""
    return submitted(
        len(judgement.request.payloads),
        first_seq if judgement.accepted else None,
        judgement.accepted,
        rejections,
    )


@dataclass(slots=True)
class Work:
    """A batch on its way to the store. ``respond`` makes its answer once it is there.

    ``blocked``: whether the store has it already is being looked up. ``over``: there is nothing
    more to judge, because it was answered or is the store's now.
    """

    pending: PendingBatch
    judgement: BatchJudgement
    respond: Respond
    blocked: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class _Barrier:
    """An answer that waits for all commits before number ``before``, whatever becomes of them."""

    before: int
    exchange: Exchange
    answer: Callable[[], bytes]


class Submissions:
    """All submissions of one listener. Everything but the store's own work runs in the loop."""

    def __init__(self, sink: RecordSink, rules: Rules, counters: IntakeCounters) -> None:
        self._sink = sink
        self._rules = rules
        self._counters = counters
        self._memory = BatchMemory(rules.limits)
        self._loop = asyncio.get_running_loop()
        self._mailbox: Mailbox[Callable[[], None]] = Mailbox(self._loop, self._deliver)
        self._lookups = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake-lookup")
        self._due: deque[tuple[float, Exchange]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._touched: set[Outlet] = set()
        self._appends = 0
        self._uncommitted: dict[int, None] = {}  # in order: the first is the oldest
        self._barriers: deque[_Barrier] = deque()

    @property
    def limits(self) -> IntakeLimits:
        """What the listener takes."""
        return self._rules.limits

    def raise_level(self, level: int) -> None:
        """Hold records to clearing ``level``, if not to a higher one, from the next batch on."""
        self._rules = replace(self._rules, level=max(level, self._rules.level))

    def close(self) -> None:
        """Let go of timers and threads; commits under way still reach the store."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._lookups.shutdown(wait=False)

    def begin(
        self,
        request: SubmitRequest,
        outlet: Outlet,
        origin: Callable[[], Origin],
        respond: Respond = answer_to_submit,
        judging: type[BatchJudgement] = BatchJudgement,
    ) -> tuple[Exchange, Work | None]:
        """Take a batch: its exchange, and what is still to be judged for it, if anything."""
        exchange = Exchange(request.request_id, outlet)
        key = request.batch_key
        if key is not None and (answer := self._memory.answer(key)) is not None:
            exchange.answer(answer)
            return exchange, None
        self._expect(exchange)
        if key is not None and (pending := self._memory.pending(key)) is not None:
            pending.waiting.append(exchange)
            return exchange, None
        pending = self._memory.start(key, exchange)
        work = Work(pending, judging(request, self._rules, origin()), respond)
        if key is not None and not self._memory.is_new(key):
            work.blocked = True
            lookup = self._lookups.submit(self._ask_store, key)
            lookup.add_done_callback(
                lambda done: self._mailbox.post(partial(self._looked_up, work, key, done))
            )
        return exchange, work

    def when_durable(
        self, request_id: str, outlet: Outlet, answer: Callable[[], bytes]
    ) -> Exchange:
        """An exchange that is answered when all that was handed to the store so far is durable."""
        exchange = Exchange(request_id, outlet)
        if not self._uncommitted:
            exchange.answer(answer())
            return exchange
        self._expect(exchange)
        self._barriers.append(_Barrier(self._appends, exchange, answer))
        return exchange

    def refuse(self, request_id: str, outlet: Outlet, code: Code, error: str) -> Exchange:
        """An exchange that is answered with an error already."""
        exchange = Exchange(request_id, outlet)
        self._counters.rejected[code] += 1
        exchange.answer(refused(code, error, retryable=code in _RETRYABLE))
        return exchange

    def submit(self, work: Work) -> None:
        """Hand a batch that is judged to the store; its answer follows when it is durable."""
        drafts = work.judgement.drafts()
        if not drafts:
            self._settle(work, None)
            self._flush_touched()
            return
        try:
            future = self._sink.append(drafts, work.judgement.withheld)
        except JournalError as error:
            self._fail(work, _NOT_STORED.get(error.code, Code.BUSY), error.message)
            self._flush_touched()
            return
        number = self._appends
        self._appends += 1
        self._uncommitted[number] = None
        future.add_done_callback(
            lambda done: self._mailbox.post(partial(self._committed, work, number, done))
        )

    def _ask_store(self, key: BatchKey) -> StoreAnswer:
        tenant, (client, batch) = self._rules.tenant, key
        highest = self._sink.last_batch(tenant, client)
        if highest is None or batch > highest:
            return highest, ()
        return highest, self._sink.find_batch(tenant, client, batch)

    def _looked_up(self, work: Work, key: BatchKey, lookup: "Future[StoreAnswer]") -> None:
        work.blocked = False
        try:
            highest, records = lookup.result()
        except Exception as error:  # noqa: BLE001  # a bug must not leave producers waiting
            told = fields(Event.INTERNAL_FAULT)
            _log.error("a batch could not be looked up %s", told, exc_info=error)
            self._fail(work, Code.BUSY, "the store's index does not answer; nothing was stored")
        else:
            self._memory.learn_highest(key[0], highest)
            if records:
                self._tell(work, answer_from_store(records))
        for exchange in work.pending.waiting:
            exchange.outlet.resume()

    def _committed(self, work: Work, number: int, future: "Future[Commit]") -> None:
        try:
            commit = future.result()
        except JournalError as error:
            code = _NOT_STORED.get(error.code, Code.OUTCOME_UNKNOWN)
            self._fail(work, code, error.message)
        except (Exception, CancelledError) as error:  # noqa: BLE001  # as above
            told = fields(Event.INTERNAL_FAULT)
            _log.error("a commit ended in an unforeseen way %s", told, exc_info=error)
            self._fail(work, Code.OUTCOME_UNKNOWN, "the store failed; send the same batch again")
        else:
            self._settle(work, commit.first_seq)
        del self._uncommitted[number]
        if self._barriers:
            self._pass_barriers()

    def _pass_barriers(self) -> None:
        oldest = next(iter(self._uncommitted), self._appends)
        while self._barriers:
            barrier = self._barriers[0]
            if barrier.exchange.line is None:
                if barrier.before > oldest:
                    break
                barrier.exchange.answer(barrier.answer())
                self._touched.add(barrier.exchange.outlet)
            self._barriers.popleft()

    def _settle(self, work: Work, first_seq: int | None) -> None:
        judgement = work.judgement
        rejections = judgement.rejections()
        self._counters.relayed += judgement.accepted
        self._counters.quarantined += len(rejections)
        self._counters.cleared += len(judgement.withheld)
        for rejection in rejections:
            self._counters.rejected[Code(rejection.code)] += 1
        self._tell(work, work.respond(judgement, first_seq, rejections))

    def _tell(self, work: Work, answer: bytes) -> None:
        work.over = True
        self._memory.settle(work.pending, answer)
        for exchange in work.pending.waiting:
            exchange.answer(answer)
            self._touched.add(exchange.outlet)

    def _fail(self, work: Work, code: Code, error: str) -> None:
        work.over = True
        self._memory.forget(work.pending)
        for exchange in work.pending.waiting:
            self._refuse(exchange, code, error)

    def _refuse(self, exchange: Exchange, code: Code, error: str) -> None:
        if exchange.line is None:
            self._counters.rejected[code] += 1
            exchange.answer(refused(code, error, retryable=code in _RETRYABLE))
            self._touched.add(exchange.outlet)

    def _expect(self, exchange: Exchange) -> None:
        self._due.append((self._loop.time() + self._rules.limits.answer_within_s, exchange))
        if self._alarm is None:
            self._alarm = self._loop.call_at(self._due[0][0], self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        while self._due and (self._due[0][1].line is not None or self._due[0][0] <= now):
            _, exchange = self._due.popleft()
            self._refuse(
                exchange,
                Code.OUTCOME_UNKNOWN,
                "the answer is due and the store has not committed; send the same batch again",
            )
        self._alarm = self._loop.call_at(self._due[0][0], self._ring) if self._due else None
        if self._barriers:
            self._pass_barriers()
        self._flush_touched()

    def _deliver(self, arrived: deque[Callable[[], None]]) -> None:
        while arrived:
            arrived.popleft()()
        self._flush_touched()

    def _flush_touched(self) -> None:
        touched, self._touched = self._touched, set()
        for outlet in touched:
            outlet.flush()
