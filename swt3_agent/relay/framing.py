"""Bytes of a connection, cut into lines of bounded length."""

from collections import deque
from enum import Enum

_LINE_OVERHEAD = 64
"""Bytes that a waiting line costs besides its content: an empty one is not free."""


class Broken(Enum):
    """Stands in the place of a line that cannot be had."""

    TOO_LONG = "too long"
    UNFINISHED = "unfinished"


class LineSplitter:
    """Feed it what arrives; ``take`` complete lines.

    A line longer than ``max_bytes`` is not kept: ``Broken.TOO_LONG`` stands for it as soon as that
    is known, and the rest of it is passed over. So a splitter holds at most one unfinished line of
    ``max_bytes`` and whatever is not taken.
    """

    __slots__ = (
        "_max_bytes",
        "_partial",
        "_skipping",
        "lines",
        "unfinished_bytes",
        "waiting_bytes",
    )

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial: list[bytes] = []
        self._skipping = False
        self.lines: deque[bytes | Broken] = deque()
        self.waiting_bytes = 0
        self.unfinished_bytes = 0

    @property
    def inside_line(self) -> bool:
        """Whether a line has begun and not ended, be it kept or passed over."""
        return self._skipping or self.unfinished_bytes > 0

    @property
    def held_bytes(self) -> int:
        """What all of it costs: complete lines and the unfinished one."""
        return self.waiting_bytes + self.unfinished_bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        first, *others = data.split(b"\n")
        self._extend(first)
        for piece in others:
            self._finish()
            self._extend(piece)

    def end(self) -> None:
        """No more will come: an unfinished line is replaced by ``Broken.UNFINISHED``."""
        if self.unfinished_bytes:
            self.lines.append(Broken.UNFINISHED)
        self._forget_unfinished()
        self._skipping = False

    def take(self) -> bytes | Broken:
        """The next line, without its newline. Raises IndexError where ``lines`` is empty."""
        line = self.lines.popleft()
        if isinstance(line, bytes):
            self.waiting_bytes -= len(line) + _LINE_OVERHEAD
        return line

    def drop(self) -> None:
        """Forget everything that was not taken."""
        self.lines.clear()
        self.waiting_bytes = 0
        self._forget_unfinished()
        self._skipping = False

    def _extend(self, piece: bytes) -> None:
        if self._skipping or not piece:
            return
        self._partial.append(piece)
        self.unfinished_bytes += len(piece)
        if self.unfinished_bytes > self._max_bytes:
            self._forget_unfinished()
            self._skipping = True
            self.lines.append(Broken.TOO_LONG)

    def _finish(self) -> None:
        if self._skipping:
            self._skipping = False
            return
        line = b"".join(self._partial)
        self._forget_unfinished()
        self.lines.append(line)
        self.waiting_bytes += len(line) + _LINE_OVERHEAD

    def _forget_unfinished(self) -> None:
        self._partial = []
        self.unfinished_bytes = 0
