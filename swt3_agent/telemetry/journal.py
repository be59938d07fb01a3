"""The journal's native protocol: one datagram an entry, every field by its name.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. The agent never waits for the journal: what it does
not take at once is dropped, counted, and said when it takes entries again.
"""

import logging
import re
import socket
import struct
from pathlib import Path

from swt3_agent.telemetry.lines import PRIORITY, fields_of

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "swt3-agent"
PREFIX = "SWT3_"

MAX_FIELD_BYTES = 4096
MAX_TRACE_BYTES = 16 * 1024

_NAME = re.compile("[A-Z0-9][A-Z0-9_]{0,63}")


class JournalHandler(logging.Handler):
    """Sends records to the journal at ``path``; to ``fallback`` where none listens there."""

    def __init__(self, path: Path, fallback: logging.Handler) -> None:
        super().__init__()
        self._path = str(path)
        self._fallback = fallback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send ``record``, without waiting. Raises nothing."""
        try:
            if self._dropped:
                self._send(encode_entry({"MESSAGE": self._loss(), "PRIORITY": "4"}))
                self._dropped = 0
            self._send(encode_entry(entry_fields(record)))
        except BlockingIOError:  # the journal is behind; so would standard error be
            self._dropped += 1
        except OSError:
            self._fallback.handle(record)
        except Exception:  # noqa: BLE001  a fault in a log line must harm nobody
            self.handleError(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        self._fallback.close()
        super().close()

    def _send(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, self._path)

    def _loss(self) -> str:
        return f"{self._dropped} log entries were dropped: the journal did not take them"


def entry_fields(record: logging.LogRecord) -> dict[str, str]:
    """The journal fields of ``record``: MESSAGE, PRIORITY, MESSAGE_ID, SWT3_* and where it is from.

    ``code`` of an error is SWT3_CODE; a field ``tpm`` is SWT3_TPM, and so on.
    """
    entry = {
        "MESSAGE": record.getMessage().strip(),
        "PRIORITY": str(PRIORITY.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": str(record.funcName),
        "LOGGER": record.name,
        "THREAD_NAME": str(record.threadName),
    }
    told = fields_of(record)
    if told is not None:
        if told.event is not None:
            entry["MESSAGE_ID"] = told.event.message_id
            entry[f"{PREFIX}EVENT"] = told.event.name
        for key, value in told.values.items():
            entry[PREFIX + key.upper()] = value
    if record.exc_info:
        entry[f"{PREFIX}TRACEBACK"] = logging.Formatter().formatException(record.exc_info)
    return entry


def encode_entry(entry: dict[str, str]) -> bytes:
    """One datagram. A name that the journal would refuse is left out; long values are cut."""
    parts = []
    for name, text in entry.items():
        if _NAME.fullmatch(name) is None:
            continue
        limit = MAX_TRACE_BYTES if name.endswith("TRACEBACK") else MAX_FIELD_BYTES
        value = text.encode("utf-8", "backslashreplace")[:limit]
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)
