"""A bound on what all connections of a listener may hold in memory together."""

from typing import Protocol


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
