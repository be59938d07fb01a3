"""The way from other threads into the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """``post`` may be called from any thread; ``handle`` is given the items in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: Callable[[deque[T]], None]) -> None:
        self._loop = loop
        self._handle = handle
        self._items: deque[T] = deque()
        self._awake = False

    def post(self, item: T) -> None:
        """Hand ``item`` over; returns at once."""
        self._items.append(item)
        if not self._awake:
            self._awake = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to answer
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._awake = False  # before the items are taken, so that none can be left behind
        self._handle(self._items)
