"""TPMS_NV_PUBLIC: what an NV index is, its Name, and what the log's counter must be.

TPM 2.0 Part 2, 13.4 (attributes) and 13.5 (public area); Part 1, 16 (Names).
"""

from dataclasses import dataclass
from enum import IntFlag

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import HASH_NAMES, Algorithm
from swt3_agent.tcg.names import name_of
from swt3_agent.tcg.reader import Reader

MAX_NV_PUBLIC = 256
MAX_DIGEST = 64
COUNTER_SIZE = 8  # an unsigned big-endian integer

_NV_INDICES = 0x01  # TPM_HT_NV_INDEX, the first byte of every index
_TYPE_MASK = 0xF0
_COUNTER = 1 << 4  # TPM_NT_COUNTER


class NvAttribute(IntFlag):
    """TPMA_NV bits (TPM 2.0 Part 2, 13.4) that a counter's public area can show."""

    OWNER_WRITE = 1 << 1
    AUTH_WRITE = 1 << 2
    POLICY_WRITE = 1 << 3
    POLICY_DELETE = 1 << 10
    OWNER_READ = 1 << 17
    AUTH_READ = 1 << 18
    POLICY_READ = 1 << 19
    NO_DA = 1 << 25
    ORDERLY = 1 << 26
    CLEAR_STCLEAR = 1 << 27
    WRITTEN = 1 << 29
    PLATFORM_CREATE = 1 << 30
    READ_STCLEAR = 1 << 31


COUNTER_ATTRIBUTES = int(
    _COUNTER | NvAttribute.AUTH_READ | NvAttribute.AUTH_WRITE | NvAttribute.NO_DA
)
"""Of the log's counter, as it is defined; WRITTEN joins them at the first increment."""


@dataclass(frozen=True, slots=True)
class NvPublic:
    """One NV index. ``attributes`` are TPMA_NV bits, ``size`` is in bytes."""

    encoded: bytes
    index: int
    name_algorithm: Algorithm
    attributes: int
    policy: bytes
    size: int

    @property
    def is_counter(self) -> bool:
        """Whether the index only ever counts up (TPM_NT_COUNTER)."""
        return self.attributes & _TYPE_MASK == _COUNTER

    @property
    def is_written(self) -> bool:
        """Whether it has a value yet."""
        return bool(self.attributes & NvAttribute.WRITTEN)

    def name(self) -> bytes:
        """The TPM's Name of the index: nameAlg ‖ H(TPMS_NV_PUBLIC)."""
        return name_of(self.name_algorithm, self.encoded)


def parse_nv_public(data: bytes) -> NvPublic:
    """Read a whole TPMS_NV_PUBLIC, and nothing around it.

    Raises ``FormatError``: NV_PUBLIC_INDEX for a handle that is no NV index, NV_PUBLIC_NAME_ALG
    for a hash unknown here, NV_PUBLIC_TRUNCATED, NV_PUBLIC_OVERSIZED, NV_PUBLIC_TRAILING for
    damaged bytes.
    """
    data = bytes(data)
    reader = Reader(data, "NV_PUBLIC")
    if len(data) > MAX_NV_PUBLIC:
        raise reader.fail("OVERSIZED", f"a public area of {len(data)} bytes is too long")
    index = reader.u32("nvIndex")
    if index >> 24 != _NV_INDICES:
        raise reader.fail("INDEX", f"{index:#010x} is not the handle of an NV index")
    name_algorithm = reader.u16("nameAlg")
    if name_algorithm not in HASH_NAMES:
        raise reader.fail("NAME_ALG", f"nameAlg {name_algorithm:#06x} is not supported")
    attributes = reader.u32("attributes")
    policy = reader.sized(MAX_DIGEST, "authPolicy")
    size = reader.u16("dataSize")
    reader.end()
    return NvPublic(data, index, Algorithm(name_algorithm), attributes, policy, size)


def check_counter(public: NvPublic) -> None:
    """Refuse an index that is not a counter such as the agent defines, with a value
    (docs/formats.md, "Counter").

    Raises ``FormatError``: COUNTER_INDEX_TYPE for an index that does not only count up,
    COUNTER_INDEX_UNWRITTEN for one without a value, COUNTER_INDEX_ATTRIBUTES, COUNTER_INDEX_SIZE,
    COUNTER_INDEX_NAME_ALG and COUNTER_INDEX_POLICY for a counter of another make, one that is
    kept in volatile memory (ORDERLY) or that a platform can delete among them.
    """
    if not public.is_counter:
        raise _no_counter("TYPE", "its value can be set at will")
    if not public.is_written:
        raise _no_counter("UNWRITTEN", "it was never incremented")
    if public.attributes & ~NvAttribute.WRITTEN != COUNTER_ATTRIBUTES:
        raise _no_counter("ATTRIBUTES", f"its attributes are {public.attributes:#010x}")
    if public.size != COUNTER_SIZE:
        raise _no_counter("SIZE", f"it holds {public.size} bytes, not {COUNTER_SIZE}")
    if public.name_algorithm is not Algorithm.SHA256:
        raise _no_counter("NAME_ALG", f"its Name uses {public.name_algorithm.name}, not SHA-256")
    if public.policy:
        raise _no_counter("POLICY", "it has a policy of its own")


def _no_counter(word: str, message: str) -> FormatError:
    return FormatError(
        f"COUNTER_INDEX_{word}",
        f"not the log's counter: {message}",
        remedy="Trust no counter value of this index; give the agent an index of its own.",
    )
