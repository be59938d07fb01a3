"""An encrypted custody file, read by whoever has a key to it: no agent, state or TPM is needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import CustodianKey
from swt3_agent.protocol.custody_file import (
    FRAME_HEAD,
    LENGTH,
    MAGIC,
    MAX_FRAME,
    MAX_HEADER,
    FrameCipher,
    FrameType,
    Header,
    KeptEntry,
    decode_end,
    decode_entries,
    open_data_key,
    read_header,
)
from swt3_agent.protocol.evidence import Reason


class CustodyFile:
    """One file, open for reading; use it as a context manager.

    ``damage`` lists what was found wrong while ``entries`` ran; ``finished`` says whether the file
    then had its last frame. One that was not finished is in use, or its agent was killed: nobody
    can say how far it once went, but each record that lacks its entry names it in the log.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError, and FormatError ``CUSTODY_HEADER`` where it is no custody file, or
        ``CUSTODY_UNBEGUN`` where it ends before its first frame could."""
        self.damage: list[Reason] = []
        self.finished = False
        self._stream: BinaryIO = path.open("rb")
        try:
            self._header = self._read_header()
            self.header: Header = read_header(self._header)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "CustodyFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def entries(self, key: CustodianKey) -> Iterator[KeptEntry]:
        """Every entry that can be read; at most one frame is in memory at a time.

        Raises FormatError where ``key`` does not open the file.
        """
        cipher = FrameCipher(open_data_key(self.header, key), self._header)
        number = count = 0
        while not self.finished and (frame := self._next_frame()) is not None:
            kind, ciphertext = frame
            try:
                plaintext = cipher.decrypt(number, kind, ciphertext)
                if kind == FrameType.END:
                    self.finished = True
                    if decode_end(plaintext) != count:
                        self._damaged("CUSTODY_COUNT", f"{count} entries are not all of them")
                else:
                    for entry in decode_entries(plaintext):
                        count += 1
                        yield entry
            except FormatError as error:
                self._damaged(error.code, error.message)
            number += 1
        if self.finished and self._stream.read(1):
            self._damaged("CUSTODY_TRAILING", "something follows the last frame")

    def _read_header(self) -> bytes:
        start = self._stream.read(len(MAGIC) + LENGTH.size)
        if start[: len(MAGIC)] != MAGIC[: len(start)]:
            raise _no_custody_file()
        if len(start) != len(MAGIC) + LENGTH.size:
            raise _unbegun()
        (length,) = LENGTH.unpack(start[len(MAGIC) :])
        if length > MAX_HEADER:
            raise _no_custody_file()
        header = self._stream.read(length)
        if len(header) != length:
            raise _unbegun()
        return header

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Type and ciphertext; None where the file ends, be it within a frame.

        A frame that was cut was being written when the agent was killed: nobody was told that it
        was kept.
        """
        head = self._stream.read(FRAME_HEAD.size)
        if len(head) < FRAME_HEAD.size:
            return None
        length, kind = FRAME_HEAD.unpack(head)
        if length > MAX_FRAME:
            self._damaged("CUSTODY_FRAME", f"a frame of {length} bytes is longer than any")
            return None
        ciphertext = self._stream.read(length)
        return (kind, ciphertext) if len(ciphertext) == length else None

    def _damaged(self, code: str, detail: str) -> None:
        self.damage.append(Reason(code, detail, "take another copy of the file"))


def _unbegun() -> FormatError:
    return FormatError(
        "CUSTODY_UNBEGUN",
        "it ends before its first entry: its agent was killed when it began the file",
        remedy="none: nothing was kept in it; if it was cut later, take another copy",
    )


def _no_custody_file() -> FormatError:
    return FormatError(
        "CUSTODY_HEADER",
        "it does not begin as a custody file of version 1 does",
        remedy="name files that end in .custody, or a directory of them",
    )
