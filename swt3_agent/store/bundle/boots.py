"""Which records tell of the boots in a range, and the quotes and logs that they name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from swt3_agent.protocol.bundle_evidence import MAX_EARLIER, BootInfo
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal

PLATFORM = "platform"
"""The collector whose evidence is of the boot."""


class LogFile(msgspec.Struct, frozen=True):
    """An attachment that is to be a member: hex SHA-256, kind, and the boot it is of."""

    digest: str
    kind: str
    boot_id: str


@dataclass(slots=True)
class BootEvidence:
    """``boots`` for the manifest, the ``records`` that they name, and the ``logs`` of those;
    ``without`` are the boots whose IMA log is left out."""

    boots: list[BootInfo] = field(default_factory=list)
    records: set[int] = field(default_factory=set)
    logs: list[LogFile] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


class _Attachment(msgspec.Struct):
    digest: str = ""
    size: int = 0


class _ImaLog(msgspec.Struct):
    offset: int = 0


class _Stated(msgspec.Struct):
    ima_log: _ImaLog | None = None


class _Evidence(msgspec.Struct):
    attachments: dict[str, _Attachment] = {}
    stated: _Stated | None = None

    @property
    def ima_part(self) -> tuple[int, int] | None:
        """Where its part of the IMA log begins and ends, in bytes."""
        part = self.attachments.get("ima-log")
        if part is None:
            return None
        ima = self.stated.ima_log if self.stated is not None else None
        begin = 0 if ima is None else ima.offset
        return begin, begin + part.size


class _Boot(msgspec.Struct):
    boot_id: str = ""


def boots_in(
    journal: Journal, catalogue: Catalogue, first: int, end: int, *, ima: bool
) -> BootEvidence:
    """What tells of the boots in records ``[first, end)``, the one they begin in included.

    ``ima``: with the IMA logs, which name files. Raises JournalError.
    """
    evidence = BootEvidence()
    for boot_id, start, stop in _boots(journal, catalogue, first, end):
        seqs = catalogue.records_of(Kind.EVIDENCE, start, stop, collector=PLATFORM)
        last = next(_quoted(journal, reversed(seqs)), None)
        if last is None or (last < first and stop <= first):
            continue
        readings = sorted({next(_quoted(journal, seqs), last), last})
        parts: list[int] = []
        if ima:
            parts = _ima_parts(journal, [seq for seq in seqs if seq <= last])
        elif any(_read(journal, seq).ima_part for seq in readings):
            evidence.without.append(boot_id)
        evidence.boots.append(BootInfo(boot_id, readings, parts))
        evidence.records |= {*readings, *parts}
        evidence.logs += _logs(journal, boot_id, readings, ("quote", "boot-log"))
        evidence.logs += _logs(journal, boot_id, parts, ("ima-log",))
    return evidence


def _boots(
    journal: Journal, catalogue: Catalogue, first: int, end: int
) -> Iterator[tuple[str, int, int]]:
    """Boot id and records ``[start, stop)`` of each boot that reaches into the range."""
    starts = [(_boot_id(journal, seq), seq) for seq in _starts(journal, catalogue, first, end)]
    for place, (boot_id, seq) in enumerate(starts):
        if place and starts[place - 1][0] == boot_id:
            continue
        later = (other for name, other in starts[place:] if name != boot_id)
        yield boot_id, seq, min(next(later, end), end)


def _starts(journal: Journal, catalogue: Catalogue, first: int, end: int) -> list[int]:
    """The boot records of the range, and those before of the boot that it begins in."""
    earlier: list[int] = []
    for seq in reversed(catalogue.records_of(Kind.BOOT, 0, first)):
        if earlier and _boot_id(journal, seq) != _boot_id(journal, earlier[-1]):
            break
        earlier.append(seq)
    return [*reversed(earlier), *catalogue.records_of(Kind.BOOT, first, end)]


def _quoted(journal: Journal, seqs: Iterable[int]) -> Iterator[int]:
    """Those of ``seqs`` whose evidence holds a quote."""
    return (seq for seq in seqs if "quote" in _read(journal, seq).attachments)


def _ima_parts(journal: Journal, seqs: list[int]) -> list[int]:
    """The records whose parts make up the IMA log to the last of ``seqs``; none where one lacks."""
    parts: list[int] = []
    begin: int | None = None
    for seq in reversed(seqs):
        part = _read(journal, seq).ima_part
        if part is None or begin not in (None, part[1]):
            continue
        parts.append(seq)
        begin = part[0]
        if begin == 0 or len(parts) == MAX_EARLIER:
            break
    return parts[::-1] if begin == 0 else []


def _logs(
    journal: Journal, boot_id: str, seqs: Iterable[int], kinds: tuple[str, ...]
) -> Iterator[LogFile]:
    for seq in seqs:
        attachments = _read(journal, seq).attachments
        for kind in kinds:
            if kind in attachments:
                yield LogFile(attachments[kind].digest, kind, boot_id)


def _read(journal: Journal, seq: int) -> _Evidence:
    try:
        return msgspec.json.decode(journal.read(seq).payload, type=_Evidence)
    except MALFORMED:
        return _Evidence()


def _boot_id(journal: Journal, seq: int) -> str:
    try:
        return msgspec.json.decode(journal.read(seq).payload, type=_Boot).boot_id
    except MALFORMED:
        return ""
