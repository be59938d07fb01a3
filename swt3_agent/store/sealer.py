"""Sealing full segments in the background, oldest first."""

import logging
from queue import SimpleQueue
from threading import Thread

from swt3_agent.errors import JournalError
from swt3_agent.store.sealed import seal
from swt3_agent.store.segments import Segments

logger = logging.getLogger(__name__)


class Sealer:
    """Compresses each full segment it is told of. One that cannot be sealed is tried again with
    the next, and stays readable as it is."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._roots: dict[int, bytes] = {}
        self._filled: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="journal-sealer", daemon=True)
        self._thread.start()

    def filled(self, number: int, root: bytes) -> None:
        """Segment ``number`` is full, and ``root`` is its subtree root."""
        self._filled.put((number, root))

    def close(self) -> None:
        """Finish the segment in hand and end; the others are sealed after the next start."""
        self._filled.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (filled := self._filled.get()) is not None:
            number, root = filled
            self._roots[number] = root
            try:
                self._seal_waiting()
            except (OSError, JournalError) as error:
                logger.warning("segment not sealed: %s", error)

    def _seal_waiting(self) -> None:
        for segment in self._segments.raw:
            root = self._roots.get(segment.number)
            if root is None:
                return
            self._segments.replace(seal(segment, root))
            del self._roots[segment.number]
