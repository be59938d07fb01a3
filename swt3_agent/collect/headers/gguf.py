"""The header of a GGUF file, versions 2 and 3, little endian.

    "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor descriptions | padding | tensors

A pair is a key, a type and a value; texts bear their length in front. Tokenizers stand there too,
so that an honest header may take megabytes: it is read once, in pieces, and what nobody asks for
passes by. As the reference reader does, this one wants the tensors one after the other, each
padded to the alignment.
"""

import hashlib
import struct

from swt3_agent.collect.headers.ggml import FILE_TYPES, GGML_TYPES
from swt3_agent.collect.headers.header import Header, TypeTotal, added, malformed, read_at

MOST_BYTES = 256 << 20  # of the whole header
MOST_PAIRS = 16_384
MOST_TENSORS = 65_536
MOST_ITEMS = 2_000_000  # texts in all arrays together: each takes a turn of a loop

_MOST_NAME = 1024  # bytes; nothing that exists has a tenth of it
_MOST_TEXT = 1024  # bytes of a value that is kept
_PIECE = 256 * 1024
_MOST_DIMENSIONS = 4
_LARGEST_ALIGNMENT = 1 << 20
_U32, _STRING, _ARRAY = 4, 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

_NUMBERS = {
    b"general.file_type": "file_type_code",
    b"general.quantization_version": "quantization_version",
    b"general.alignment": "alignment",
}
_TEXTS = {
    b"general.architecture": "architecture",
    b"quantize.imatrix.dataset": "calibration_dataset",
}


def read_gguf(descriptor: int, file_size: int, *, most_bytes: int = MOST_BYTES) -> Header:
    """Read the header of a file of ``file_size`` bytes.

    Raises FormatError: GGUF_MAGIC, GGUF_VERSION, GGUF_BIG_ENDIAN, GGUF_TRUNCATED, GGUF_TOO_LARGE,
    GGUF_VALUE, GGUF_DUPLICATE, GGUF_TENSOR, GGUF_LAYOUT. Raises ``OSError``.
    """
    stream = _Stream(descriptor, file_size, most_bytes)
    _check_start(stream)
    tensors, pairs = stream.u64(), stream.u64()
    if tensors > MOST_TENSORS or pairs > MOST_PAIRS:
        raise malformed("GGUF_TOO_LARGE", f"it claims {tensors} tensors and {pairs} pairs")
    metadata = _read_pairs(stream, pairs)
    alignment = metadata.pop("alignment", 32)
    if type(alignment) is not int or not _is_alignment(alignment):
        raise malformed("GGUF_VALUE", f"its alignment is {alignment}")
    if (name := FILE_TYPES.get(metadata.get("file_type_code", -1))) is not None:
        metadata["file_type"] = name
    types, parameters, needed = _read_tensors(stream, tensors, alignment)
    begin = _padded(stream.position, alignment)
    if needed and begin + needed > file_size:
        raise malformed(
            "GGUF_TRUNCATED", f"its tensors end at byte {begin + needed} of {file_size}"
        )
    return Header(
        format="gguf",
        digest=stream.digest(),
        size=stream.position,
        parameters=parameters,
        types=types,
        metadata=metadata,
    )


def _check_start(stream: "_Stream") -> None:
    if stream.take(4) != b"GGUF":
        raise malformed("GGUF_MAGIC", "it does not begin with GGUF")
    version = stream.u32()
    if version in (2 << 24, 3 << 24):
        raise malformed("GGUF_BIG_ENDIAN", "it is big endian, which is not read here")
    if version not in (2, 3):
        raise malformed("GGUF_VERSION", f"it is of version {version}; 2 and 3 are known here")


def _read_pairs(stream: "_Stream", pairs: int) -> dict[str, str | int]:
    metadata: dict[str, str | int] = {}
    seen: set[bytes] = set()
    for _ in range(pairs):
        key = stream.text(_MOST_NAME)
        if key in seen:
            raise malformed("GGUF_DUPLICATE", f"the key {key[:80]!r} stands there twice")
        seen.add(key)
        kind = stream.u32()
        if key in _NUMBERS:
            if kind != _U32:
                raise malformed("GGUF_VALUE", f"{key.decode()} is no 32-bit number")
            metadata[_NUMBERS[key]] = stream.u32()
        elif key in _TEXTS:
            if kind != _STRING:
                raise malformed("GGUF_VALUE", f"{key.decode()} is no text")
            metadata[_TEXTS[key]] = stream.text(_MOST_TEXT).decode("utf-8", "backslashreplace")
        else:
            _pass(stream, kind)
    return metadata


def _pass(stream: "_Stream", kind: int) -> None:
    """Pass one value, whatever it holds."""
    if kind == _STRING:
        stream.skip(stream.u64())
    elif kind == _ARRAY:
        item, count = stream.u32(), stream.u64()
        if item == _STRING:
            stream.skip_texts(count)
        elif item in _SIZES:
            stream.skip(count * _SIZES[item])
        else:
            raise malformed("GGUF_VALUE", f"it holds an array of type {item}")
    elif kind in _SIZES:
        stream.skip(_SIZES[kind])
    else:
        raise malformed("GGUF_VALUE", f"it holds a value of the unknown type {kind}")


def _read_tensors(
    stream: "_Stream", tensors: int, alignment: int
) -> tuple[dict[str, TypeTotal], int, int]:
    """Totals by type, elements, and the bytes that the tensors need behind the header."""
    types: dict[str, TypeTotal] = {}
    seen: set[bytes] = set()
    parameters = expected = end = 0
    for _ in range(tensors):
        name = stream.text(_MOST_NAME)
        if name in seen:
            raise malformed("GGUF_DUPLICATE", f"the tensor {name[:80]!r} stands there twice")
        seen.add(name)
        kind, elements, size, offset = _read_tensor(stream, name)
        if offset != expected:
            raise malformed(
                "GGUF_LAYOUT", f"{name[:80]!r} lies at {offset}, the one before ends at {expected}"
            )
        end = offset + size
        expected = _padded(end, alignment)
        added(types, kind, size)
        parameters += elements
    return types, parameters, end


def _read_tensor(stream: "_Stream", name: bytes) -> tuple[str, int, int, int]:
    """Type, elements, bytes and offset."""
    rank = stream.u32()
    if rank > _MOST_DIMENSIONS:
        raise malformed("GGUF_TENSOR", f"{name[:80]!r} has {rank} dimensions")
    shape = [stream.u64() for _ in range(rank)]
    code, offset = stream.u32(), stream.u64()
    if code not in GGML_TYPES:
        raise malformed("GGUF_TENSOR", f"{name[:80]!r} is of the unknown type {code}")
    kind, block, block_size = GGML_TYPES[code]
    elements = 1
    for size in shape:
        elements *= size
    if (shape[0] if shape else 1) % block:
        raise malformed("GGUF_TENSOR", f"the rows of {name[:80]!r} are no whole blocks of {block}")
    return kind, elements, elements // block * block_size, offset


def _is_alignment(value: int) -> bool:
    return 0 < value <= _LARGEST_ALIGNMENT and value & (value - 1) == 0


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


class _Stream:
    """A file from its first byte on: read in pieces, hashed as it passes, never beyond a limit."""

    def __init__(self, descriptor: int, file_size: int, limit: int) -> None:
        self._descriptor = descriptor
        self._file_size = file_size
        self._limit = limit
        self._piece = b""
        self._begin = 0  # of the piece, in the file
        self._at = 0  # in the piece
        self._items = 0
        self._hash = hashlib.sha256()

    @property
    def position(self) -> int:
        return self._begin + self._at

    def digest(self) -> str:
        """SHA-256 of everything before the position."""
        digest = self._hash.copy()
        digest.update(self._piece[: self._at])
        return digest.hexdigest()

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def text(self, longest: int) -> bytes:
        """A text with its length in front."""
        length = self.u64()
        if length > longest:
            raise malformed("GGUF_TOO_LARGE", f"a text of {length} bytes where {longest} are taken")
        return self.take(length)

    def take(self, size: int) -> bytes:
        """The next bytes; ``size`` is small, and never what the file says."""
        self._check(size)
        if self._at + size > len(self._piece):
            self._advance()
            self._piece += read_at(self._descriptor, _PIECE, self._begin + len(self._piece))
            if size > len(self._piece):
                raise malformed("GGUF_TRUNCATED", "the file ended while it was read")
        taken = self._piece[self._at : self._at + size]
        self._at += size
        return taken

    def skip(self, size: int) -> None:
        """Pass bytes, in pieces."""
        self._check(size)
        while size > len(self._piece) - self._at:
            size -= len(self._piece) - self._at
            self._at = len(self._piece)
            self._advance()
            self._piece = read_at(self._descriptor, _PIECE, self._begin)
            if not self._piece:
                raise malformed("GGUF_TRUNCATED", "the file ended while it was read")
        self._at += size

    def skip_texts(self, count: int) -> None:
        """Pass an array of texts."""
        self._items += count
        if self._items > MOST_ITEMS:
            raise malformed("GGUF_TOO_LARGE", f"more than {MOST_ITEMS} texts in arrays")
        self._check(8 * count)
        length_of = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if self._at + 8 <= len(self._piece):  # nearly always: no copy, no call
                (length,) = length_of(self._piece, self._at)
                self._at += 8
            else:
                length = self.u64()
            if self._at + length <= len(self._piece):
                self._at += length
            else:
                self.skip(length)

    def _advance(self) -> None:
        """Leave what has passed behind."""
        self._hash.update(self._piece[: self._at])
        self._begin += self._at
        self._piece = self._piece[self._at :]
        self._at = 0

    def _check(self, size: int) -> None:
        if self.position + size > self._file_size:
            raise malformed("GGUF_TRUNCATED", f"it claims {size} bytes where the file ends")
        if self.position + size > self._limit:
            raise malformed("GGUF_TOO_LARGE", f"it is longer than {self._limit} bytes")
