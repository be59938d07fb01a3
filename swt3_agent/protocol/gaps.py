"""Gap records: what did not make it into the log, by listener (docs/formats.md, "Payloads").

{"listener", "from_ms", "to_ms", "refused": {code: count}, "dropped", "evicted"}
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.strict_json import MALFORMED


@dataclass(frozen=True, slots=True)
class Gap:
    """What ``listener`` did not take between two moments (UTC ms).

    ``refused`` counts answers that refused a request or a record, by code; ``dropped`` records that
    were answered and not kept, of which there are none any more: custody has them; ``evicted``
    connections that had to make room.
    """

    listener: str
    from_ms: int
    to_ms: int
    refused: Mapping[str, int]
    dropped: int
    evicted: int

    def payload(self) -> bytes:
        """The payload of the record: RFC 8785, for names and whole numbers."""
        payload = _Payload(
            listener=self.listener,
            from_ms=self.from_ms,
            to_ms=self.to_ms,
            refused=dict(self.refused),
            dropped=self.dropped,
            evicted=self.evicted,
        )
        return msgspec.json.encode(payload, order="sorted")


class _Payload(msgspec.Struct):
    listener: str
    from_ms: int
    to_ms: int
    refused: dict[str, int]
    dropped: int
    evicted: int


def parse_gap(payload: bytes) -> Gap:
    """The gap in a record's payload. Raises FormatError ``GAP_RECORD``."""
    try:
        read = msgspec.json.decode(payload, type=_Payload)
    except MALFORMED as error:
        raise FormatError(
            "GAP_RECORD", f"not a gap record: {error}", remedy="run `swt3-agent fsck`"
        ) from None
    return Gap(read.listener, read.from_ms, read.to_ms, read.refused, read.dropped, read.evicted)


@dataclass(slots=True)
class ListenerSums:
    """Sums over the gap records of one listener; ``gaps`` is how many there were."""

    refused: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    evicted: int = 0
    gaps: int = 0


@dataclass(slots=True)
class GapSums:
    """Sums over gap records, by listener."""

    by_listener: dict[str, ListenerSums] = field(default_factory=dict)

    def add(self, payload: bytes) -> None:
        """Add one record. Raises FormatError ``GAP_RECORD``."""
        gap = parse_gap(payload)
        sums = self.by_listener.setdefault(gap.listener, ListenerSums())
        sums.refused.update(gap.refused)
        sums.dropped += gap.dropped
        sums.evicted += gap.evicted
        sums.gaps += 1
