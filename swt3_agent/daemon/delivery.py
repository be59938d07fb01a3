"""Delivery as the daemon runs it: a thread that sends what the log has and its ledger has not.

It wakes for new records, a moment later so that several go at once, and after a failure when it is
time to try again. Its own thread and event loop: a slow ledger delays nothing else.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from swt3_agent.config import Ledger
from swt3_agent.daemon.settling import SettledRecords
from swt3_agent.errors import ConfigError, JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.delivery.address import Address
from swt3_agent.relay.delivery.batches import BatchLimits
from swt3_agent.relay.delivery.gate import Gate
from swt3_agent.relay.delivery.jitter import FullJitter
from swt3_agent.relay.delivery.lane import PROBE_S, Lane, LaneState, Step
from swt3_agent.store.journal import Journal
from swt3_agent.store.settlements import FORWARDABLE, Settlements
from swt3_agent.telemetry import Event, fields

if TYPE_CHECKING:
    from swt3_agent.relay.delivery.ledger import HttpLedger

logger = logging.getLogger(__name__)

LINGER_S = 1.0
"""How long the first new record waits for others to go with it."""
IDLE_S = 5.0
"""How often an idle lane looks for itself whether there is something."""

_FAULT_EVENTS = {
    LaneState.STOPPED: Event.DELIVERY_STOPPED,
    LaneState.BACKING_OFF: Event.DELIVERY_FAILED,
    LaneState.WAITING_CUSTODY: Event.CUSTODY_LACKING,
}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How delivery stands. ``fault`` is what hinders it, since ``since_ms``; times are UTC ms."""

    ledger: str
    lane: LaneState = LaneState.IDLE
    fault: Reason | None = None
    since_ms: int | None = None
    last_success_ms: int | None = None


class Delivery:
    """Sends the records of a journal to ``ledger``; any thread may call anything.

    ``lack`` says why nothing may be sent now (custody does not keep what clearing removes).
    """

    def __init__(
        self,
        ledger: Ledger,
        gate: Gate,
        journal: Journal,
        settlements: Settlements,
        lack: Callable[[], Reason | None] = lambda: None,
    ) -> None:
        self._address = address_of(ledger)
        self._journal = journal
        self._lane = Lane(
            journal,
            SettledRecords(settlements, self._address.host),
            gate,
            BatchLimits(ledger.settings.batch_records, ledger.settings.batch_bytes),
            lack=lack,
        )
        self._state = DeliveryState(self._address.host)
        self._jitter = FullJitter()  # where the log itself fails
        self._orders: deque[Callable[[], None]] = deque()
        self._ordered = asyncio.Event()
        self._news = asyncio.Event()  # an order, or records that came since the last step began
        self._wants_news = False
        self._stopping = False  # beside the cancellation, which `wait_for` may swallow before 3.12
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> DeliveryState:
        """How it stands now."""
        state = self._state
        if state.lane is LaneState.IDLE and self._lane.is_sending:
            return replace(state, lane=LaneState.SENDING)
        return state

    def start(self) -> None:
        """Begin to send."""
        self._loop = loop = asyncio.new_event_loop()
        self._work = loop.create_task(self._deliver())
        self._journal.observe_commits(self._on_commit)
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="delivery", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End. A POST under way is given up; what it held goes again after the next start."""
        if self._thread is None or self._loop is None:
            return
        self._journal.disregard_commits(self._on_commit)
        self._stopping = True
        self._tell(self._work.cancel)
        self._thread.join()
        self._loop.close()

    def resume(self) -> None:
        """Try again now: what hindered is said to be mended."""
        self._order(self._lane.resume)

    def retry(self, seqs: Sequence[int]) -> None:
        """Send these records again, which were refused."""
        self._order(lambda: self._lane.retry(seqs))

    def _order(self, order: Callable[[], None]) -> None:
        """Have ``order`` done between two steps of the lane."""
        self._orders.append(order)
        self._tell(self._ordered.set)
        self._tell(self._news.set)

    def _tell(self, callback: Callable[[], object]) -> None:
        if self._loop is None:
            return
        with suppress(RuntimeError):  # the loop is closed: nothing is sent any longer
            self._loop.call_soon_threadsafe(callback)

    def _on_commit(
        self, _first_seq: int, appends: Sequence[Sequence[tuple[Kind, bytes, bytes]]]
    ) -> None:
        """From the journal's writer, for each commit: quick."""
        if self._wants_news and any(append[0][0] in FORWARDABLE for append in appends):
            self._wants_news = False
            self._tell(self._news.set)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(self._work)

    async def _deliver(self) -> None:
        while not self._stopping:
            try:
                self._follow_orders()
                async with _ledger_at(self._address) as ledger:
                    await self._send_until_fault(ledger)
            except ConfigError as error:  # its files may be mended while the agent runs
                await self._pause(Step(LaneState.STOPPED, Reason.of(error), PROBE_S))
            except Exception as error:
                logger.exception("delivery failed %s", fields(Event.INTERNAL_FAULT))
                fault = Reason("INTERNAL", f"delivery failed: {error!r}", "see the log; report it")
                await self._pause(Step(LaneState.STOPPED, fault, PROBE_S))

    async def _send_until_fault(self, ledger: "HttpLedger") -> None:
        while not self._stopping:
            try:
                self._news.clear()
                self._wants_news = True
                self._follow_orders()
                step = await self._lane.step(ledger)
            except JournalError as error:
                step = Step(LaneState.BACKING_OFF, Reason.of(error), self._jitter.next())
            else:
                self._jitter.reset()
            await self._pause(step)
            if step.fault is not None:
                return

    def _follow_orders(self) -> None:
        self._ordered.clear()
        while self._orders:
            self._orders.popleft()()

    async def _pause(self, step: Step) -> None:
        """Wait as long as ``step`` says, or until there is something to do."""
        self._note(step)
        if step.wait_s == 0:
            await asyncio.sleep(0)
        elif step.state is LaneState.IDLE:
            await self._wait_for(self._news, IDLE_S)
            await self._wait_for(self._ordered, LINGER_S)
        else:
            await self._wait_for(self._ordered, IDLE_S if step.wait_s is None else step.wait_s)

    async def _wait_for(self, event: asyncio.Event, seconds: float) -> None:
        if not self._stopping:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)

    def _note(self, step: Step) -> None:
        now_ms = time.time_ns() // 1_000_000
        before = self._state
        changed = (step.fault and step.fault.code) != (before.fault and before.fault.code)
        if changed and step.fault is not None:
            event = _FAULT_EVENTS.get(step.state, Event.DELIVERY_FAILED)
            told = fields(
                event, code=step.fault.code, why=step.fault.detail, remedy=step.fault.remedy
            )
            logger.warning("nothing is delivered %s", told)
        elif changed:
            logger.info(
                "records are delivered again %s", fields(Event.DELIVERY_BACK, ledger=before.ledger)
            )
        since_ms = now_ms if changed else before.since_ms
        self._state = DeliveryState(
            ledger=before.ledger,
            lane=step.state,
            fault=step.fault,
            since_ms=None if step.fault is None else since_ms,
            last_success_ms=now_ms if step.delivered else before.last_success_ms,
        )


def _ledger_at(address: Address) -> "HttpLedger":
    # Importing httpx is a third of the start of verbs such as `status`, which deliver nothing.
    from swt3_agent.relay.delivery.ledger import HttpLedger

    return HttpLedger(address)


def address_of(ledger: Ledger) -> Address:
    """Where the settings say that the ledger is."""
    settings = ledger.settings
    return Address(
        endpoint=ledger.endpoint,
        api_key=ledger.api_key,
        ca=None if settings.ca is None else Path(settings.ca),
        certificate=None if settings.certificate is None else Path(settings.certificate),
        key=None if settings.key is None else Path(settings.key),
        timeout_s=settings.timeout,
    )
