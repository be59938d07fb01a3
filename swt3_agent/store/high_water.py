"""How far the log had come: what tells a start that the end of the journal is lost.

A journal that was cut at a commit looks like one that never went further. So the number of
committed records is kept in a small file of its own, beside the journal directory, so that it
outlives what happens in there. It is written at each head, for each full segment and at a stop, and
never before the records it counts are durable; what came after it cannot be missed.
"""

import logging
import re
import threading
from pathlib import Path

from swt3_agent.errors import JournalError
from swt3_agent.store.durable import write_durably
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

_TEXT = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class HighWater:
    """The file for the journal in ``directory``; any thread may write to it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory.with_name(f"{directory.name}.high-water")
        self._lock = threading.Lock()
        self._written = -1

    def read(self) -> int:
        """Records that were committed for sure; 0 where nothing says so.

        Raises JournalError ``HIGH_WATER_UNREADABLE``.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _unreadable(self.path, error.strerror or str(error)) from error
        if not _TEXT.fullmatch(text):
            raise _unreadable(self.path, f"it holds {text[:20]!r}")
        return int(text)

    def write(self, size: int) -> None:
        """State that ``size`` records are committed. It is left for the next time if it fails."""
        with self._lock:
            if size <= self._written:
                return
            try:
                write_durably(self.path, b"%d\n" % size)
            except OSError as error:
                told = fields(Event.STORE_BEHIND, what="journal.high-water", why=error)
                logger.warning("size of the log not stated %s", told)
                return
            self._written = size


def refuse_shorter(what: Path, size: int, committed: int) -> None:
    """Raise JournalError ``JOURNAL_SHORTER`` where fewer records are there than were committed.

    ``what`` says that ``committed`` were.
    """
    if size < committed:
        raise JournalError(
            "JOURNAL_SHORTER",
            f"the journal holds {size} records, and {what} says that {committed} were committed",
            remedy=f"restore journal/ and keys/ from a backup, or remove {what} if it is of another"
            " log. If the records are lost for good, keep this state directory for an assessor and"
            " begin a new log in another; nothing was changed",
        )


def _unreadable(path: Path, what: str) -> JournalError:
    return JournalError(
        "HIGH_WATER_UNREADABLE",
        f"{path} cannot be read: {what}",
        remedy="none: the running agent writes it again; until then a lost end is not noticed",
    )
