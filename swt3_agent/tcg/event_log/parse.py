"""Boot logs as firmware writes them: crypto-agile, or with SHA-1 only (TCG PFP 1.06, 10.2).

    SHA-1 event         u32 PCR | u32 type | 20 bytes SHA-1 | u32 size | data
    crypto-agile event  u32 PCR | u32 type | u32 count | count × (u16 algorithm | digest)
                        | u32 size | data

All numbers are little-endian. A crypto-agile log begins with one SHA-1 event, EV_NO_ACTION, whose
data ("Spec ID Event03") names all algorithms with the size of their digests.
"""

import struct

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.event_log.events import Event, EventType
from swt3_agent.tcg.event_log.log import EventLog
from swt3_agent.tcg.pcr import PCR_COUNT

MAX_LOG = 16 * 2**20
MAX_EVENTS = 100_000
MAX_ALGORITHMS = 16
MAX_DIGEST = 128

_SHA1_SIZE = 20
_SHA1_HEAD = struct.Struct("<II20sI")
_AGILE_HEAD = struct.Struct("<III")
_SPEC_ID = struct.Struct("<16sIBBBBI")  # signature, class, minor, major, errata, uintn, algorithms
_AGILE_SIGNATURE = b"Spec ID Event03\0"
_LOCALITY_SIGNATURE = b"StartupLocality\0"
_LOCALITIES = (0, 3, 4)


def parse_event_log(data: bytes) -> EventLog:
    """The boot log that ``data`` holds, as far as it goes.

    Zeros or 0xFF bytes after the last event are the unused rest of the firmware's buffer. Anything
    else that is no event makes the log ``truncated``: what precedes it is kept.

    Raises FormatError: EVENT_LOG_OVERSIZED beyond 16 MiB or 100,000 events, EVENT_LOG_HEADER where
    it does not begin as a boot log, EVENT_LOG_LOCALITY where it contradicts itself about the value
    that PCR 0 started from.
    """
    if len(data) > MAX_LOG:
        raise _oversized(f"{len(data)} bytes, at most {MAX_LOG} are read")
    first = _sha1_event(data, 0, 0)
    if first is None or not _is_plausible_first(first[0]):
        raise _no_log("its first event is none that firmware writes")
    event, offset = first
    algorithms = _algorithms(event)
    events = [event]
    while offset < len(data):
        if len(events) == MAX_EVENTS:
            raise _oversized(f"more than {MAX_EVENTS} events")
        if algorithms is None:
            found = _sha1_event(data, offset, len(events))
        else:
            found = _agile_event(data, offset, len(events), algorithms)
        if found is None:
            break
        event, offset = found
        events.append(event)
    rest = data[offset:]
    padded = not rest.strip(b"\0") or not rest.strip(b"\xff")
    return EventLog(
        algorithms={int(Algorithm.SHA1): _SHA1_SIZE} if algorithms is None else algorithms,
        events=tuple(events),
        startup_locality=_startup_locality(events),
        truncated=not padded,
        unread=len(rest),
    )


def _sha1_event(data: bytes, offset: int, number: int) -> tuple[Event, int] | None:
    if len(data) - offset < _SHA1_HEAD.size:
        return None
    pcr, kind, digest, size = _SHA1_HEAD.unpack_from(data, offset)
    start = offset + _SHA1_HEAD.size
    end = start + size
    if end > len(data) or not _is_pcr(pcr, kind) or not any(data[offset:end]):
        return None
    return Event(number, pcr, kind, ((int(Algorithm.SHA1), digest),), data[start:end]), end


def _agile_event(
    data: bytes, offset: int, number: int, sizes: dict[int, int]
) -> tuple[Event, int] | None:
    if len(data) - offset < _AGILE_HEAD.size:
        return None
    pcr, kind, count = _AGILE_HEAD.unpack_from(data, offset)
    if not _is_pcr(pcr, kind) or not 0 < count <= len(sizes):
        return None
    offset += _AGILE_HEAD.size
    digests: list[tuple[int, bytes]] = []
    for _ in range(count):
        algorithm = int.from_bytes(data[offset : offset + 2], "little")
        size = sizes.get(algorithm)
        if size is None or any(algorithm == known for known, _ in digests):
            return None
        digests.append((algorithm, data[offset + 2 : offset + 2 + size]))
        offset += 2 + size
    size = int.from_bytes(data[offset : offset + 4], "little")
    start = offset + 4
    end = start + size
    if end > len(data):
        return None
    return Event(number, pcr, kind, tuple(digests), data[start:end]), end


def _is_pcr(pcr: int, kind: int) -> bool:
    """Whether an event of type ``kind`` may name ``pcr``; informative ones may name none."""
    return pcr < PCR_COUNT or (pcr == 0xFFFFFFFF and kind == EventType.EV_NO_ACTION)


def _is_plausible_first(event: Event) -> bool:
    """Every log begins with a specification event, or, of a TPM 1.2 era BIOS, in PCRs 0 to 7."""
    if event.type == EventType.EV_NO_ACTION:
        return event.pcr == 0 and not any(event.digests[0][1])
    return event.pcr <= 7 and event.type <= EventType.EV_POST_CODE2


def _algorithms(event: Event) -> dict[int, int] | None:
    """Sizes of digests by algorithm, as the header of a crypto-agile log has them; None: SHA-1."""
    if event.type != EventType.EV_NO_ACTION or not event.data.startswith(_AGILE_SIGNATURE):
        return None
    if len(event.data) < _SPEC_ID.size:
        raise _no_log("its specification event is cut off")
    count = _SPEC_ID.unpack_from(event.data)[-1]
    if not 0 < count <= MAX_ALGORITHMS:
        raise _no_log(f"its header names {count} algorithms, not 1 to {MAX_ALGORITHMS}")
    listed = event.data[_SPEC_ID.size : _SPEC_ID.size + 4 * count]
    if len(listed) != 4 * count:
        raise _no_log("its list of algorithms is cut off")
    sizes: dict[int, int] = {}
    for algorithm, size in struct.iter_unpack("<HH", listed):
        if algorithm in sizes or not 0 < size <= MAX_DIGEST:
            raise _no_log(f"algorithm {algorithm:#06x} is named twice or has {size} bytes")
        if _SIZES.get(algorithm, size) != size:
            raise _no_log(f"algorithm {algorithm:#06x} has digests of {size} bytes")
        sizes[algorithm] = size
    return sizes


_SIZES = {
    int(Algorithm.SHA1): 20,
    int(Algorithm.SHA256): 32,
    int(Algorithm.SHA384): 48,
    int(Algorithm.SHA512): 64,
}


def _startup_locality(events: list[Event]) -> int:
    """The locality of TPM2_Startup, which PCR 0 starts from (TCG PFP 1.06, 10.4.5.3)."""
    localities = []
    for event in events:
        if event.pcr != 0:
            continue
        if event.extended:
            break
        if event.data.startswith(_LOCALITY_SIGNATURE):
            localities.append(event.data[len(_LOCALITY_SIGNATURE) :])
    if not localities:
        return 0
    if len(localities) > 1 or len(localities[0]) != 1 or localities[0][0] not in _LOCALITIES:
        raise FormatError(
            "EVENT_LOG_LOCALITY",
            "the boot log does not say from one locality, 0, 3 or 4, that the TPM was started",
            remedy="take the log again; if it stays so, update the firmware",
        )
    return localities[0][0]


def _oversized(what: str) -> FormatError:
    return FormatError(
        "EVENT_LOG_OVERSIZED",
        f"the boot log has {what}",
        remedy="give the log that the kernel shows in binary_bios_measurements",
    )


def _no_log(what: str) -> FormatError:
    return FormatError(
        "EVENT_LOG_HEADER",
        f"not a TCG boot log: {what}",
        remedy="give the log that the kernel shows in binary_bios_measurements",
    )
