"""What the agent says about itself: log lines for the service manager, one event a line.

Under systemd a line goes to the journal with its fields, by the journal's own protocol; else to
standard error as ``message key=value ... event=NAME``. Secrets and payloads are never given to it.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from swt3_agent.telemetry.events import Event
from swt3_agent.telemetry.journal import JOURNAL_SOCKET, JournalHandler
from swt3_agent.telemetry.lines import Fields, LineFormatter, fields

__all__ = ["Event", "Fields", "configure_logging", "fields"]


def configure_logging(environ: Mapping[str, str] = os.environ, level: int = logging.INFO) -> None:
    """Send the agent's log lines where they are read, once, in the form that the reader wants."""
    under_journal = _is_journal(environ.get("JOURNAL_STREAM", ""), sys.stderr)
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LineFormatter(for_journal=under_journal))
    root = logging.getLogger()
    root.handlers[:] = [JournalHandler(JOURNAL_SOCKET, lines) if under_journal else lines]
    root.setLevel(level)
    # Below that it tells of its own inner life; what concerns ours we say ourselves.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    for chatty in ("httpx", "httpcore"):  # a line for each request, with its address
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _is_journal(stream: str, file: TextIO) -> bool:
    """Whether ``file`` is the stream that the service manager connected to the journal.

    ``stream`` is $JOURNAL_STREAM (systemd.exec(5)): children inherit it wherever they write to.
    """
    try:
        status = os.fstat(file.fileno())
    except OSError:  # closed, or not a file at all
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
