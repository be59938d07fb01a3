"""Custody's writer: one thread, one write and one sync for all that waited.

What cannot be kept in its place goes to the spool in the state directory. From then until it has
been moved to its place ``lack`` says why, and nothing is to be forwarded; intake goes on. Where the
spool fails too, only records from which clearing removed something are refused, for a while.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from swt3_agent.errors import JournalError
from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.custody.shelf import Shelf, adopt
from swt3_agent.store.custody.trouble import (
    SPOOLED,
    disk_error,
    disk_reason,
    stalled,
    too_much_waits,
)
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

MAX_WAITING = 64 << 20
"""Bytes that may wait for the disk before producers are told to come back."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
_MAX_GROUP = 8 << 20
_ENTRY_OVERHEAD = 128
_SETTLE_EVERY_S = 60.0
_STALLED_AFTER_S = 10.0
_CLOSE_WITHIN_S = 30.0
_ROTATE_WITHIN_S = 10.0


class _Waiting(NamedTuple):
    entries: Sequence[CustodyEntry]
    size: int
    future: "Future[None]"


@dataclass(slots=True)
class _Trouble:
    """Why the primary place is not used, and when it is tried again (monotonic seconds)."""

    reason: Reason
    retry_at: float
    delay: float


class Custody:
    """Takes entries from any thread. Close it before the journal: who waits for it goes on there.

    ``recipients`` are the ids of the custodians' keys, if there are any; ``entries`` counts what
    was kept since it was opened.
    """

    def __init__(
        self,
        primary: Shelf,
        spool: Shelf,
        *,
        recipients: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipients = tuple(recipients)
        self._primary = primary
        self._spool = spool
        self._now = now
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._retry_now = False
        self._retried = threading.Event()
        self._busy_since: float | None = None
        self._trouble: _Trouble | None = None
        self.entries = 0
        if self._spooled():
            self._trouble = _Trouble(SPOOLED, now(), FIRST_RETRY_S)
        self._thread = threading.Thread(target=self._run, name="custody-writer", daemon=True)
        self._thread.start()

    @property
    def directory(self) -> Path:
        """Where entries are kept while nothing fails."""
        return self._primary.directory

    @property
    def lack(self) -> Reason | None:
        """Why nothing may be forwarded; None where all that was removed is in its place."""
        trouble, busy_since = self._trouble, self._busy_since
        if trouble is not None:
            return trouble.reason
        if busy_since is not None and self._now() - busy_since > _STALLED_AFTER_S:
            return stalled(self._primary.directory)
        return None

    def put(self, entries: Sequence[CustodyEntry]) -> "Future[None]":
        """Queue ``entries``, which are kept all or none; the future resolves when they are durable.

        Raises JournalError ``CUSTODY_BUSY`` when too much waits. The future fails with
        ``CUSTODY_FULL``, ``CUSTODY_DENIED`` or ``CUSTODY_FAILED``, all of them retryable.
        """
        size = sum(len(entry.original) + _ENTRY_OVERHEAD for entry in entries)
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # what is queued is kept, whoever lost interest
        with self._changed:
            if self._closing or (self._queued_bytes and self._queued_bytes + size > MAX_WAITING):
                raise too_much_waits(self._queued_bytes)
            self._queue.append(_Waiting(entries, size, future))
            self._queued_bytes += size
            self._changed.notify()
        return future

    def rotate(self) -> bool:
        """Finish the open file, and try again now where its place failed; whether that was done
        within a few seconds."""
        with self._changed:
            self._retried.clear()
            self._retry_now = True
            self._changed.notify()
        return self._retried.wait(_ROTATE_WITHIN_S)

    def close(self) -> None:
        """Keep what waits and finish what is open."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_WITHIN_S)  # a dead network volume must not hold up a stop for ever

    def __enter__(self) -> "Custody":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            group = self._take()
            if group:
                self._keep(group)
            elif self._closing:
                break
            try:
                self._tend()
            except Exception:  # a bug must not end the thread that others wait for
                logger.exception("custody could not be tended to %s", fields(Event.INTERNAL_FAULT))
                self._busy_since = None
        for shelf in (self._primary, self._spool):
            shelf.close()

    def _take(self) -> list[_Waiting]:
        """What waits, up to the size of one write; empty where something else is to be done."""
        group: list[_Waiting] = []
        size = 0
        with self._changed:
            if not self._queue and not self._closing and not self._retry_now:
                self._changed.wait(self._idle_for())
            while self._queue and size < _MAX_GROUP:
                waiting = self._queue.popleft()
                group.append(waiting)
                size += waiting.size
        return group

    def _idle_for(self) -> float:
        if self._trouble is None:
            return _SETTLE_EVERY_S
        return max(0.0, self._trouble.retry_at - self._now())

    def _keep(self, group: list[_Waiting]) -> None:
        entries = [entry for waiting in group for entry in waiting.entries]
        self._busy_since = self._now()
        try:
            self._store(entries)
        except OSError as error:
            outcome: JournalError | None = disk_error(self._spool.directory, error)
        except Exception as error:  # a bug must not leave producers waiting
            logger.exception("custody failed %s", fields(Event.INTERNAL_FAULT))
            outcome = disk_error(self._primary.directory, OSError(repr(error)))
        else:
            outcome = None
            self.entries += len(entries)
        self._busy_since = None
        with self._changed:
            self._queued_bytes -= sum(waiting.size for waiting in group)
        for waiting in group:
            if outcome is None:
                waiting.future.set_result(None)
            else:  # a new error for each: one object would keep every trace
                waiting.future.set_exception(
                    JournalError(
                        outcome.code, outcome.message, remedy=outcome.remedy, retryable=True
                    )
                )

    def _store(self, entries: Sequence[CustodyEntry]) -> None:
        """Durable in one of the two places. Raises OSError of the spool."""
        if self._trouble is None:
            try:
                self._primary.keep(entries)
            except OSError as error:
                self._fail(error)
            else:
                return
        self._spool.directory.mkdir(mode=0o700, exist_ok=True)
        self._spool.keep(entries)

    def _tend(self) -> None:
        """Whatever is due besides keeping: an old file, another try."""
        with self._changed:
            at_once, self._retry_now = self._retry_now, False
        if self._trouble is not None and (at_once or self._now() >= self._trouble.retry_at):
            self._busy_since = self._now()
            self._recover()
            self._busy_since = None
        elif at_once:
            self._primary.close()
        self._primary.settle()
        self._spool.settle()
        if at_once:
            self._retried.set()

    def _recover(self) -> None:
        """Try the primary place, and move there what the spool holds."""
        try:
            self._primary.probe()
            self._spool.close()
            moved = 0
            for file in self._spooled():
                adopt(file, self._primary.directory)
                file.unlink()
                moved += 1
        except Exception as error:  # noqa: BLE001  # whatever hinders it: later, not at once again
            self._fail(error if isinstance(error, OSError) else OSError(repr(error)))
            return
        self._trouble = None
        logger.info(
            "custody is back %s",
            fields(Event.CUSTODY_BACK, directory=self._primary.directory, moved_files=moved),
        )

    def _spooled(self) -> list[Path]:
        """Files in the spool, oldest first; one that is only on its way has a name with a dot."""
        try:
            names = [path for path in self._spool.directory.iterdir() if path.name[0] != "."]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(names)

    def _fail(self, error: OSError) -> None:
        """The primary place cannot be used: say so, and try again later and later."""
        reason = disk_reason(self._primary.directory, error)
        before = self._trouble
        if before is None or before.reason.code != reason.code:
            told = fields(
                Event.CUSTODY_LACKING, code=reason.code, what=reason.detail, remedy=reason.remedy
            )
            logger.error("custody fails, nothing is forwarded %s", told)
        delay = FIRST_RETRY_S if before is None else min(2 * before.delay, LAST_RETRY_S)
        self._trouble = _Trouble(reason, self._now() + delay, delay)
