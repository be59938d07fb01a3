"""Replay of an IMA log, from the beginning or on from an earlier one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha1, sha256

from swt3_agent.tcg.ima_log.entry import ImaEntry

IMA_PCR = 10
_SIZE = 32
_SHA1_PADDING = bytes(_SIZE - 20)
_AGGREGATE = "boot_aggregate"


class Hashing(Enum):
    """What a kernel extends into the SHA-256 bank for an entry."""

    SHA256 = "sha256"  # the SHA-256 of the template data (Linux 5.8 and later)
    PADDED_SHA1 = "padded-sha1"  # its SHA-1, with zeros up to 32 bytes


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay has come, and all that is needed to go on from there.

    ``value`` is that of PCR 10 in the SHA-256 bank after ``entries`` entries, ``offset`` where the
    next one begins in the log. ``violations`` counts entries that cover nothing. ``aggregates`` are
    the digests of the boot_aggregate entries: one at boot, and one more after each kexec that
    carried the log over.
    """

    value: bytes = bytes(_SIZE)
    entries: int = 0
    offset: int = 0
    violations: int = 0
    aggregates: tuple[str, ...] = ()
    hashing: Hashing = Hashing.SHA256


def replay(
    entries: Iterable[ImaEntry], *, start: Replayed | None = None, hashing: Hashing = Hashing.SHA256
) -> Replayed:
    """Where all of ``entries`` lead to, from ``start`` (by its hashing) or from the beginning."""
    state = _State(start or Replayed(hashing=hashing))
    for entry in entries:
        state.advance(entry)
    return state.frozen()


def reach(
    entries: Iterable[ImaEntry], pcr10: bytes, *, start: Replayed | None = None
) -> Replayed | None:
    """The shortest prefix of ``entries`` after which PCR 10 is ``pcr10``; None: none reaches it.

    Reads no further than that. From the beginning both ways of hashing are tried.
    """
    beginnings = [Replayed(), Replayed(hashing=Hashing.PADDED_SHA1)] if start is None else [start]
    states = [_State(beginning) for beginning in beginnings]
    for state in states:
        if state.value == pcr10:
            return state.frozen()
    for entry in entries:
        for state in states:
            state.advance(entry)
            if state.value == pcr10:
                return state.frozen()
    return None


def prefix_reaching(entries: Iterable[ImaEntry], pcr10: bytes) -> int | None:
    """How many of the first ``entries`` lead to ``pcr10``; None: the log does not explain it."""
    reached = reach(entries, pcr10)
    return None if reached is None else reached.entries


class _State:
    """A replay under way."""

    __slots__ = (
        "_aggregates",
        "_entries",
        "_hash",
        "_hashing",
        "_offset",
        "_violation",
        "_violations",
        "value",
    )

    def __init__(self, start: Replayed) -> None:
        self.value = start.value
        self._entries = start.entries
        self._offset = start.offset
        self._violations = start.violations
        self._aggregates = list(start.aggregates)
        self._hashing = start.hashing
        self._hash, self._violation = _RULES[start.hashing]

    def advance(self, entry: ImaEntry) -> None:
        self._entries += 1
        self._offset = entry.end
        if entry.pcr != IMA_PCR:
            return
        if entry.violation:
            self._violations += 1
            self.value = sha256(self.value + self._violation).digest()
            return
        self.value = sha256(self.value + self._hash(entry.data)).digest()
        if _MARK in entry.data and entry.path == _AGGREGATE:
            self._aggregates.append(entry.file_digest or "")

    def frozen(self) -> Replayed:
        return Replayed(
            value=self.value,
            entries=self._entries,
            offset=self._offset,
            violations=self._violations,
            aggregates=tuple(self._aggregates),
            hashing=self._hashing,
        )


_MARK = _AGGREGATE.encode()


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _padded_sha1(data: bytes) -> bytes:
    return sha1(data, usedforsecurity=False).digest() + _SHA1_PADDING


_RULES: dict[Hashing, tuple[Callable[[bytes], bytes], bytes]] = {
    Hashing.SHA256: (_sha256, b"\xff" * _SIZE),
    Hashing.PADDED_SHA1: (_padded_sha1, b"\xff" * 20 + _SHA1_PADDING),
}
