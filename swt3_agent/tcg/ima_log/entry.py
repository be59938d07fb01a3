"""One entry of an IMA log (Linux, security/integrity/ima/ima_template.c and ima_template_lib.c)."""

import hashlib
import struct
from dataclasses import dataclass

_U32 = struct.Struct("<I")
_IMA_DIGEST = 20
_NAMED = frozenset({"ima-ng", "ima-sig", "ima-buf", "ima-modsig", "ima-ngv2", "ima-sigv2"})
"""Templates that begin with a digest and a name, whatever follows."""


@dataclass(frozen=True, slots=True)
class ImaEntry:
    """A measurement.

    ``data`` are the bytes that the template hash covers, ``template_hash`` what the log says that
    it is: nothing rests on it, except that all zeros mark a violation. ``end`` is the offset in
    the log at which the next entry begins.
    """

    pcr: int
    template_hash: bytes
    template: str
    data: bytes
    end: int

    @property
    def violation(self) -> bool:
        """The kernel could not measure what it names (a file open for writing, for instance).

        It extended 0xFF bytes, which cover nothing of ``data``.
        """
        return not any(self.template_hash)

    def digest(self, bank: str) -> bytes:
        """The template hash for ``bank``, computed from ``data``."""
        return hashlib.new(bank, self.data).digest()

    @property
    def file_digest(self) -> str | None:
        """``<algorithm>:<hex>`` of what was measured; None for a template that is not known."""
        if self.template == "ima":
            return f"sha1:{self.data[:_IMA_DIGEST].hex()}"
        if (fields := self._fields()) is None:
            return None
        algorithm, separator, digest = fields[0].partition(b":\0")
        if not separator:
            return None
        return f"{algorithm.decode('ascii', 'backslashreplace')}:{digest.hex()}"

    @property
    def path(self) -> str | None:
        """The file's path, or the name of what was measured; None for an unknown template."""
        if self.template == "ima":
            return self.data[_IMA_DIGEST:].rstrip(b"\0").decode(errors="backslashreplace")
        fields = self._fields()
        return None if fields is None else fields[1].rstrip(b"\0").decode(errors="backslashreplace")

    def _fields(self) -> tuple[bytes, bytes] | None:
        """Digest and name, each of which stands after its length."""
        if self.template not in _NAMED:
            return None
        first = _sized(self.data, 0)
        second = None if first is None else _sized(self.data, 4 + len(first))
        return None if first is None or second is None else (first, second)


def _sized(data: bytes, offset: int) -> bytes | None:
    start = offset + 4
    if start > len(data):
        return None
    end = start + _U32.unpack_from(data, offset)[0]
    return data[start:end] if end <= len(data) else None
