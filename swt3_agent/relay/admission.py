"""How many connections a listener keeps, and which one goes when there is one too many."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Guest(Protocol):
    """A connection, as far as its place is concerned."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is under way or has begun to arrive."""
        ...


GuestT = TypeVar("GuestT", bound=Guest)


class Admission(Generic[GuestT]):
    """Keeps up to ``places`` guests.

    Sentinel clients connect and say nothing before they close (docs/protocol.md 15), and anyone
    may connect a thousand times and stay silent; so those who never sent anything go first, the
    longest silent of them before others, then whoever has been idle the longest.
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
