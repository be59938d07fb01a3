"""The IMA log: read from where the last reading ended, and replayed to the quoted PCR 10.

The kernel adds to its list before it extends the register, and goes on while the quote is taken:
the log is read again after the quote, and a prefix of it that leads to the quoted value is what
counts (docs/formats.md, "Attachments").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swt3_agent.collect.measurement_logs import MeasurementLogs, lack_of
from swt3_agent.errors import AgentError, FormatError
from swt3_agent.tcg.ima_log import Replayed, check_boot_aggregates, parse_ima_log, reach

IMA_PCR = 10


@dataclass(frozen=True, slots=True)
class ImaReading:
    """What the log told. ``part`` are the bytes of it from ``offset`` on that no reading before
    had: as far as they lead to what was quoted, or all there are where nothing leads there."""

    claims: Mapping[str, object]
    part: bytes = b""
    offset: int = 0

    @property
    def place(self) -> Mapping[str, object]:
        """``stated.ima_log`` of the record (docs/formats.md, "Attachments")."""
        return {"offset": self.offset, "entries": self.claims.get("entries")}


class ImaLog:
    """One kernel's list, over many readings: only what is new is read, hashed and kept.

    ``begin`` before the quote, ``end`` after it, from one thread at a time.
    """

    def __init__(self, logs: MeasurementLogs, kept: Callable[[], int] = lambda: 0) -> None:
        """``kept``: bytes of this boot's list that were handed on before; asked once, at the first
        reading."""
        self._logs = logs
        self._known: Replayed | None = None  # what the last reading led to
        self._kept_before: Callable[[], int] | None = kept
        self._kept = 0  # bytes of the list that readings before have handed on
        self._new = b""

    def begin(self) -> Mapping[str, object] | None:
        """Read what is new; None where there is a log to be quoted with, else why there is none."""
        if self._kept_before is not None:
            self._kept, self._kept_before = self._kept_before(), None
        try:
            self._new = self._read_new()
        except AgentError as error:
            return lack_of(error)
        return None

    def end(self, pcrs: Mapping[int, bytes]) -> ImaReading:
        """Replay to the quoted registers, of which PCR 10 is one."""
        log, self._new = self._new, b""
        try:
            log += self._logs.ima_log(self._offset + len(log))
            reached = _reached(log, pcrs, self._known)
            if reached is None and self._known is not None:  # perhaps it is another list by now
                self._forget()
                log = self._logs.ima_log()
                reached = _reached(log, pcrs, None)
        except AgentError as error:
            self._known = None
            return ImaReading(lack_of(error))
        begin, end = self._offset, self._offset + len(log)
        self._known = reached
        if reached is not None:
            end = reached.offset
        if not begin <= self._kept <= end:
            self._kept = 0
        offset, self._kept = self._kept, end
        claims = _unexplained(end) if reached is None else _explained(reached, pcrs)
        return ImaReading(claims, log[offset - begin : end - begin], offset)

    @property
    def _offset(self) -> int:
        return 0 if self._known is None else self._known.offset

    def _read_new(self) -> bytes:
        try:
            return self._logs.ima_log(self._offset)
        except AgentError as error:
            if self._known is None or error.code != "LOG_SHORTER":
                raise
            self._forget()
            return self._logs.ima_log()

    def _forget(self) -> None:
        self._known, self._kept = None, 0


def _reached(log: bytes, pcrs: Mapping[int, bytes], known: Replayed | None) -> Replayed | None:
    """The prefix that leads to the quoted PCR 10, going on from ``known``; None: none does.

    Raises FormatError for a log that is none; not where it may only be that ``known`` is another's.
    """
    entries = parse_ima_log(log, offset=0 if known is None else known.offset)
    try:
        return reach(entries, pcrs[IMA_PCR], start=known)
    except FormatError:
        if known is None:
            raise
        return None


def _explained(reached: Replayed, pcrs: Mapping[int, bytes]) -> Mapping[str, object]:
    aggregates, problems = 0, []
    try:
        aggregates = check_boot_aggregates(reached.aggregates, pcrs)
    except FormatError as error:
        problems.append({"code": error.code, "detail": error.message, "remedy": error.remedy})
    return {
        "lack": None,
        "replayed": True,
        "entries": reached.entries,
        "bytes": reached.offset,
        "violations": reached.violations,
        "boot_aggregate": not problems if aggregates or problems else None,
        "hashing": reached.hashing.value,
        "problems": problems,
    }


def _unexplained(size: int) -> Mapping[str, object]:
    problem = {
        "code": "IMA_LOG_UNEXPLAINED",
        "detail": f"no prefix of the IMA log ({size} bytes) leads to the quoted PCR 10",
        "remedy": "boot anew where the kernel was replaced by kexec; else find out what extended"
        " PCR 10, or who changed the log",
    }
    return {"lack": None, "replayed": False, "bytes": size, "problems": [problem]}
