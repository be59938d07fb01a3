"""What a verifier remembers of a log, and what no later file may contradict.

docs/formats.md, "Verifier state". A file alone cannot show that it is the newest, or that no second
history was shown to somebody else at another time: that takes a memory. Pure: whoever keeps it
reads and writes it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.verify.refusal import refusal

MEMORY_FORMAT = "swt3-agent/verify-state/1"
MAX_MEMORY = 1024 * 1024
MAX_HEADS = 256
"""Heads that are remembered apart: of those that nothing connects, the newest."""
MAX_KEYS = 64

_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Name = Annotated[str, Meta(pattern=r"\A000b[0-9a-f]{64}\Z")]
_U64 = Annotated[int, Meta(ge=0)]
_MAX_U64 = 2**64 - 1


class TpmTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it was by the TPM's own counts; after a reset its clock may lag."""

    resets: _U64
    restarts: _U64
    clock_ms: _U64

    def is_later_than(self, other: "TpmTime") -> bool:
        """Whether the TPM signed this after the other."""
        return (self.resets, self.clock_ms) > (other.resets, other.clock_ms)


class SeenHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head that was verified: ``root`` over the first ``size`` records."""

    size: _U64
    root: _Hash
    utc_ms: _U64
    counter: _U64
    tpm: TpmTime


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of one log.

    ``heads`` are the largest of each run of heads that connect, by size; ``tpm`` the latest that
    the TPM said; ``keys`` the Names of AKs, in order; ``trust`` and ``enroller`` digests of the
    newest trust file and of its enroller's key; ``end``: records before it were in a bundle.
    """

    format: str
    node_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    log_id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16,64}\Z")]
    keys: Annotated[list[_Name], Meta(min_length=1, max_length=MAX_KEYS)]
    trust: _Hash
    enroller: _Hash
    heads: Annotated[list[SeenHead], Meta(max_length=MAX_HEADS)] = []
    tpm: TpmTime | None = None
    revoked_ms: _U64 | None = None
    end: _U64 = 0


def encode_memory(memory: Memory) -> bytes:
    """The state file: canonical JSON and a newline."""
    return msgspec.json.encode(memory, order="sorted") + b"\n"


def decode_memory(data: bytes, node_id: str, log_id: str) -> Memory:
    """The memory of this node and log in ``data``, in its one spelling.

    Raises FormatError ``STATE_DAMAGED``, and ``STATE_FORMAT_UNKNOWN`` for one of another version.
    """
    if len(data) > MAX_MEMORY:
        raise _damaged(f"it has {len(data)} bytes")
    try:
        claimed = msgspec.json.decode(data, type=_Claim).format
        if claimed != MEMORY_FORMAT:
            raise refusal(
                "STATE_FORMAT_UNKNOWN",
                f"what the verifier remembers of this log is of format {str(claimed)[:40]!a}",
            )
        memory = msgspec.json.decode(data, type=Memory)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _damaged(str(error)[:200]) from None
    sizes = [head.size for head in memory.heads]
    if (memory.node_id, memory.log_id) != (node_id, log_id):
        raise _damaged("it is of another node or log than its name says")
    if sizes != sorted(set(sizes)) or max([memory.end, *_numbers(memory)]) > _MAX_U64:
        raise _damaged("its heads are in no order, or a number is too large")
    if encode_memory(memory) != data:
        raise _damaged("it is not in the spelling in which it was written")
    return memory


class _Claim(msgspec.Struct):
    format: object = None


def _numbers(memory: Memory) -> list[int]:
    return [
        number
        for head in memory.heads
        for number in (head.size, head.utc_ms, head.counter, *msgspec.structs.astuple(head.tpm))
    ]


def _damaged(what: str) -> FormatError:
    return refusal(
        "STATE_DAMAGED", f"what the verifier remembers of this log cannot be read: {what[:300]}"
    )
