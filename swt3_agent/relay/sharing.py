"""Places, memory and turns: what connections share, so that none is hurt by another."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from swt3_agent.telemetry import Event, fields

_log = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection, as far as its place is concerned."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is under way or has begun to arrive."""
        ...


GuestT = TypeVar("GuestT", bound=Guest)


class Admission(Generic[GuestT]):
    """Keeps up to ``places`` guests.

    Sentinel clients connect and say nothing before they close, and anyone may connect a thousand
    times and stay silent; so those who never sent anything go first, the longest silent of them
    before others, then whoever has been idle the longest.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._silent: OrderedDict[GuestT, None] = OrderedDict()
        self._heard: OrderedDict[GuestT, None] = OrderedDict()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._silent) + len(self._heard)

    def __iter__(self) -> Iterator[GuestT]:
        yield from self._silent
        yield from self._heard

    def admit(self, guest: GuestT) -> GuestT | None:
        """Give ``guest`` a place; returns who has to leave for it, if anyone."""
        leaves = self._most_dispensable() if len(self) >= self._places else None
        if leaves is not None:
            self.left(leaves)
        self._silent[guest] = None
        return leaves

    def heard(self, guest: GuestT) -> None:
        """``guest`` sent something."""
        self._silent.pop(guest, None)
        self._heard[guest] = None
        self._heard.move_to_end(guest)

    def left(self, guest: GuestT) -> None:
        """``guest`` is gone."""
        self._silent.pop(guest, None)
        self._heard.pop(guest, None)
        if not len(self):
            self._empty.set()

    async def until_empty(self) -> None:
        """Return once every guest has left."""
        if len(self):
            self._empty.clear()
            await self._empty.wait()

    def _most_dispensable(self) -> GuestT | None:
        if self._silent:
            return next(iter(self._silent))
        idle = (guest for guest in self._heard if not guest.busy)
        return next(idle, None) or next(iter(self._heard), None)


class Holder(Protocol):
    """A connection, as far as its input is concerned."""

    @property
    def unfinished_bytes(self) -> int:
        """Size of the line whose end has not come yet."""
        ...

    def steer(self) -> None:
        """Stop or go on reading, as the pool and its own state say."""
        ...

    def cut_off(self) -> None:
        """Give up the unfinished line, telling the peer why."""
        ...


class InputPool:
    """When it is ``full`` nobody reads on until half of it is free again.

    Complete lines become free by being handled. Unfinished ones might stay for ever, so the
    largest of them are cut off until they fill no more than that half.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._holders: set[Holder] = set()
        self.full = False

    def join(self, holder: Holder) -> None:
        """``holder`` will be steered and may be cut off."""
        self._holders.add(holder)

    def leave(self, holder: Holder) -> None:
        """``holder`` is gone; it has accounted for its bytes already."""
        self._holders.discard(holder)

    def account(self, more: int) -> None:
        """``more`` bytes are held than before; negative for less."""
        self._held += more
        if not self.full and self._held > self._limit:
            self.full = True
            self._relieve()
            self._steer_all()
        elif self.full and self._held <= self._limit // 2:
            self.full = False
            self._steer_all()

    def _relieve(self) -> None:
        by_size = sorted(self._holders, key=lambda holder: holder.unfinished_bytes)
        unfinished = sum(holder.unfinished_bytes for holder in by_size)
        while unfinished > self._limit // 2:
            largest = by_size.pop()
            unfinished -= largest.unfinished_bytes
            largest.cut_off()

    def _steer_all(self) -> None:
        for holder in list(self._holders):
            holder.steer()


class Worker(Protocol):
    """Something that works in portions."""

    @property
    def midway(self) -> bool:
        """Whether a request has been taken up and is not finished."""
        ...

    @property
    def next_is_small(self) -> bool:
        """Whether what is to be done next fits one portion."""
        ...

    def take_turn(self) -> bool:
        """Do one portion; whether there is more to do now."""
        ...

    def abort(self) -> None:
        """Give up: a turn failed in a way nobody foresaw."""
        ...


class Turns:
    """Serves connections with work to do a bounded portion at a time, in the event loop, which is
    given a breath every ``budget_s``.

    Without this, sixty-four producers that always have more to send make a single small request
    wait for hundreds of milliseconds. Small requests are handled as they arrive. Large ones are
    taken up one after the other, a connection at a time, because working on all of them at once
    would only make each of them as late as the last.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_s: float) -> None:
        self._loop = loop
        self._budget_s = budget_s
        self._waiting: deque[Worker] = deque()
        self._members: set[Worker] = set()
        self._scheduled = False

    def add(self, worker: Worker) -> None:
        """``worker`` has work; adding it again before its turn changes nothing."""
        if worker in self._members:
            return
        self._members.add(worker)
        if worker.midway:
            self._waiting.appendleft(worker)
        else:
            self._waiting.append(worker)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._serve)

    def arrived(self, worker: Worker) -> None:
        """``worker`` received something: a small request is handled at once."""
        if worker in self._members:
            return
        if (self._waiting and not worker.next_is_small) or self._serve_one(worker):
            self.add(worker)

    def _serve(self) -> None:
        until = self._loop.time() + self._budget_s
        while self._waiting:
            worker = self._waiting.popleft()
            self._members.discard(worker)
            if self._serve_one(worker):
                self.add(worker)
            if self._loop.time() >= until:
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._loop.call_soon(self._serve)

    def _serve_one(self, worker: Worker) -> bool:
        try:
            return worker.take_turn()
        except Exception:  # noqa: BLE001  # a bug met by one connection must not stop the others
            told = fields(Event.INTERNAL_FAULT)
            _log.exception("a connection was given up: handling its input failed %s", told)
            worker.abort()
            return False
