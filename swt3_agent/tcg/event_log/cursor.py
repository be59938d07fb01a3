"""A bounds-checked cursor over the little-endian data of an event."""

import struct


class ShortData(Exception):  # noqa: N818  no fault: the data is shown as what it is not
    """The data ends before the field does: it is not of the form that was tried."""


class Cursor:
    """Takes fields off ``data`` in order. Raises ``ShortData`` where they are not there."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise ShortData
        value = self._data[self._offset : end]
        self._offset = end
        return value

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._offset)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def guid(self) -> str:
        """A GUID, as UEFI writes it (UEFI 2.10, appendix A)."""
        a, b, c, rest = struct.unpack("<IHH8s", self.take(16))
        return f"{a:08x}-{b:04x}-{c:04x}-{rest[:2].hex()}-{rest[2:].hex()}"


def utf16(data: bytes) -> str:
    """UTF-16 text without the zeros at its end; what is no character is escaped."""
    even = data[: len(data) & ~1]
    return even.decode("utf-16-le", "backslashreplace").rstrip("\0")


def ascii_text(data: bytes) -> str:
    """Text without the zeros at its end; what is not UTF-8 is escaped."""
    return data.rstrip(b"\0").decode("utf-8", "backslashreplace")
