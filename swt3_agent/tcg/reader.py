"""A bounds-checked cursor over big-endian TPM structures (TPM 2.0 Part 1, 'Marshaling')."""

import struct

from swt3_agent.errors import FormatError

_REMEDY = "Obtain the structure again from the TPM that made it; these bytes are damaged or forged."


class Reader:
    """Takes fields off ``data`` in order; every error code starts with ``prefix``."""

    __slots__ = ("_data", "_offset", "_prefix")

    def __init__(self, data: bytes, prefix: str) -> None:
        self._data = data
        self._offset = 0
        self._prefix = prefix

    def fail(self, code: str, message: str) -> FormatError:
        """The error to raise for a field that is wrong: ``<prefix>_<code>``."""
        return FormatError(f"{self._prefix}_{code}", message, remedy=_REMEDY)

    def take(self, size: int, field: str) -> bytes:
        """The next ``size`` bytes."""
        end = self._offset + size
        if end > len(self._data):
            raise self.fail(
                "TRUNCATED",
                f"{field} needs {size} bytes at offset {self._offset} of {len(self._data)}",
            )
        value = self._data[self._offset : end]
        self._offset = end
        return value

    def u8(self, field: str) -> int:
        return self.take(1, field)[0]

    def u16(self, field: str) -> int:
        return int.from_bytes(self.take(2, field), "big")

    def u32(self, field: str) -> int:
        return int.from_bytes(self.take(4, field), "big")

    def u64(self, field: str) -> int:
        return int.from_bytes(self.take(8, field), "big")

    def sized(self, limit: int, field: str) -> bytes:
        """A TPM2B: a 16-bit size, at most ``limit``, and that many bytes."""
        size = self.u16(field)
        if size > limit:
            raise self.fail("OVERSIZED", f"{field} holds {size} bytes, at most {limit} are allowed")
        return self.take(size, field)

    def yes_no(self, field: str) -> bool:
        """A TPMI_YES_NO; anything but 0 and 1 is refused."""
        value = self.u8(field)
        if value > 1:
            raise self.fail("FIELD", f"{field} is {value}, not 0 or 1")
        return value == 1

    def end(self) -> None:
        """Refuse bytes that follow the structure."""
        rest = len(self._data) - self._offset
        if rest:
            raise self.fail("TRAILING", f"{rest} bytes follow the end of the structure")


def sized(value: bytes) -> bytes:
    """Marshal a TPM2B."""
    return struct.pack(">H", len(value)) + value
