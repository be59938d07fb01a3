"""What the agent says about itself: log lines for the service manager, one event a line.

A line is ``message key=value ...``; under systemd it carries the priority prefix that the
journal reads (sd-daemon(3)). Secrets and payloads are never given to it.
"""

import logging
import os
import sys
from collections.abc import Mapping

_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class _LineFormatter(logging.Formatter):
    def __init__(self, *, for_journal: bool) -> None:
        super().__init__("%(message)s" if for_journal else "%(asctime)s %(levelname)s %(message)s")
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace("\n", " | ")
        if self._for_journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        return line


def configure_logging(environ: Mapping[str, str] = os.environ, level: int = logging.INFO) -> None:
    """Send the agent's log lines to standard error, once, in the form that its reader wants."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(for_journal="JOURNAL_STREAM" in environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Below that it tells of its own inner life; what concerns ours we say ourselves.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def fields(**values: object) -> str:
    """``key=value`` pairs for the end of a log line; a value with a space is quoted."""
    return " ".join(f"{key}={_quoted(value)}" for key, value in values.items())


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
