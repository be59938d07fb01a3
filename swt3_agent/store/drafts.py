"""What goes into the journal and what comes back when it is durable."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from swt3_agent.errors import JournalError
from swt3_agent.protocol.record import MAX_BODY, Kind

_FRAME_OVERHEAD = 36
_provenance_of, _payload_of = itemgetter(1), itemgetter(2)


class Draft(NamedTuple):
    """A record before it has a number: ``provenance`` is RFC 8785 JSON, ``payload`` exact bytes."""

    kind: Kind
    provenance: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Durable records ``first_seq`` .. ``first_seq + count - 1``, received at ``received_ns``."""

    first_seq: int
    count: int
    received_ns: int


def size_of(drafts: Sequence[tuple[Kind, bytes, bytes]]) -> int:
    """Bytes that ``drafts`` take in a segment. Raises JournalError ``RECORD_TOO_LARGE``."""
    if not drafts:
        raise ValueError("an append needs at least one draft")
    size = len(drafts) * _FRAME_OVERHEAD
    size += sum(map(len, map(_provenance_of, drafts))) + sum(map(len, map(_payload_of, drafts)))
    if size > MAX_BODY:  # then one of them may be larger than a frame can hold
        for _, provenance, payload in drafts:
            if len(provenance) + len(payload) + _FRAME_OVERHEAD > MAX_BODY:
                raise JournalError(
                    "RECORD_TOO_LARGE",
                    f"a record of {len(payload)} bytes is larger than {MAX_BODY}",
                    remedy="send less in one record",
                )
    return size
