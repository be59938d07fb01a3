"""Following the log behind the acknowledgement: leaf hashes, then whoever subscribed.

A thread of the writing journal follows on its own; anyone who needs the log up to some size calls
``reach`` and does what is missing himself. Reading back what was just written comes from the page
cache and keeps memory bounded however far the follower is behind.
"""

import logging
import threading
from collections.abc import Callable

from swt3_agent.errors import AgentError
from swt3_agent.protocol.log_tree import leaf_hashes
from swt3_agent.store.frames import RecordSlice
from swt3_agent.store.segment_file import SEGMENT_RECORDS, SLICE_RECORDS
from swt3_agent.store.segment_keys import SegmentKeys
from swt3_agent.store.segments import Segments
from swt3_agent.store.tree import LogTree
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

# Hashing takes the interpreter's turns from the writer and from whoever fills its queue. So records
# gather for a moment, and while many come in hashing waits: up to a lag that is caught up with in
# two seconds when a head or a proof asks for it.
_GATHER_S = 0.02
_RETRY_S = 1.0
_MANY = SLICE_RECORDS
_MAX_LAG = 8 * SEGMENT_RECORDS

Subscriber = Callable[[RecordSlice], None]
SegmentFilled = Callable[[int, bytes], None]


class Follower:
    """Extends the tree over committed records and hands each slice on, in order."""

    def __init__(
        self, segments: Segments, keys: SegmentKeys, tree: LogTree, filled: SegmentFilled
    ) -> None:
        self.segments = segments
        self._keys = keys
        self._tree = tree
        self._filled = filled
        self._subscribers: list[Subscriber] = []
        self._following = threading.Lock()

    @property
    def size(self) -> int:
        """Records followed so far."""
        return self._tree.size

    def subscribe(self, subscriber: Subscriber) -> None:
        """Hand every slice from now on to ``subscriber`` too; it must not raise."""
        with self._following:
            self._subscribers.append(subscriber)

    def reach(self, size: int) -> None:
        """Return when the first ``size`` records are in the tree. Raises JournalError."""
        while self._tree.size < size:
            with self._following:
                position = self._tree.size
                if position >= size:
                    return
                records = next(self.segments.slices(position, size))
                number = position // SEGMENT_RECORDS
                root = self._tree.extend(
                    leaf_hashes(self._keys.get(number), position, records.contents)
                )
                for subscriber in self._subscribers:
                    subscriber(records)
            if root is not None:
                self._filled(number, root)


class FollowerThread:
    """Follows a growing log until closed."""

    def __init__(self, follower: Follower, size: Callable[[], int]) -> None:
        self._follower = follower
        self._size = size
        self._grown = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-follower", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """The log has grown."""
        if not self._grown.is_set():
            self._grown.set()

    def close(self) -> None:
        """End the thread; what is not followed yet is followed after the next start."""
        self._closing.set()
        self._grown.set()
        self._thread.join()

    def _run(self) -> None:
        trouble = ""
        while True:
            self._grown.wait()
            self._grown.clear()
            if self._closing.wait(_RETRY_S if trouble else _GATHER_S):
                return
            try:
                self._catch_up()
                trouble = ""
            except AgentError as error:
                if trouble != error.code:  # say it once, not at every attempt
                    told = fields(Event.STORE_BEHIND, what="leaves", code=error.code, why=error)
                    logger.error("log not followed %s", told)
                trouble = error.code
                self._grown.set()

    def _catch_up(self) -> None:
        paused_at = self._size()
        while not self._closing.is_set():
            followed, size = self._follower.size, self._size()
            if followed >= size:
                return
            if size - paused_at > _MANY and size - followed < _MAX_LAG:
                paused_at = size
                self._closing.wait(_GATHER_S)
            else:
                self._follower.reach(min(size, followed + SLICE_RECORDS))
