"""Hold what a file shows against what was seen before, and what to remember of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from swt3_agent.protocol.tpm_clock import lag_ms
from swt3_agent.verify.memory import (
    MAX_HEADS,
    MAX_KEYS,
    MEMORY_FORMAT,
    Memory,
    SeenHead,
    TpmTime,
)
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.refusal import refusal


@dataclass(frozen=True, slots=True)
class Seen:
    """What a verified file shows of a log.

    ``keys`` are the Names of its AKs, from the enrolled one to the one that signed; ``heads`` those
    that were verified, the newest last; ``tpm`` the latest that the TPM said; ``roots`` by size:
    the log whose newest head is here had them; ``span``: the records of a bundle; ``answered_ms``:
    when the reader judged the answer to his challenge, in ms UTC by his own clock.
    """

    node_id: str
    log_id: str
    keys: tuple[str, ...]
    trust: str
    enroller: str
    revoked_ms: int | None
    tpm: TpmTime
    heads: tuple[SeenHead, ...] = ()
    roots: Mapping[int, str] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    answered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """``memory`` is what to keep. ``told`` says how the file stands to what was seen, ``connected``
    whether it is shown to go on from it, or to be the same; ``unproven`` what does not follow from
    both."""

    memory: Memory
    told: str
    connected: bool
    unproven: tuple[str, ...] = ()


def recall(memory: Memory | None, seen: Seen) -> Recalled:
    """How ``seen`` stands to ``memory`` (None: of this log nothing was seen before).

    Raises FormatError: ``STATE_KEY`` and ``STATE_ENROLLER`` where that may have an honest reason;
    ``STATE_REVOKED``, ``STATE_FORK``, ``STATE_ROLLBACK``, ``STATE_COUNTER``, ``STATE_RESETS`` and
    ``STATE_CLOCK`` where there is none.
    """
    if memory is None:
        told = "nothing was seen of this log before: remembered from now on"
        return Recalled(_begun(seen), told, connected=False)
    _check_enroller(memory, seen)  # first: anybody vouches for what he likes
    _check_revocation(memory, seen)
    for known in memory.heads:
        _check_root(known, seen)
    _check_keys(memory, seen)  # before what TPMs count: another one counts anew
    for known in memory.heads:
        for head in seen.heads:
            _check_order(known, head)
    if not seen.heads and memory.tpm is not None:
        _check_tpm(memory.tpm, seen.tpm)
    told, connected = _told(memory, seen)
    return Recalled(_grown(memory, seen), told, connected, tuple(_unproven(memory, seen)))


def _check_keys(memory: Memory, seen: Seen) -> None:
    if not set(memory.keys) & set(seen.keys):
        raise refusal(
            "STATE_KEY",
            "another key speaks for this log than before, and nothing leads from the one to the"
            " other",
        )


def _check_enroller(memory: Memory, seen: Seen) -> None:
    if memory.enroller != seen.enroller:
        raise refusal("STATE_ENROLLER", "another enroller vouches for this log than before")


def _check_revocation(memory: Memory, seen: Seen) -> None:
    revoked = memory.revoked_ms
    times = [head.utc_ms for head in seen.heads]
    if seen.answered_ms is not None:
        times.append(seen.answered_ms)
    if revoked is not None and any(time >= revoked for time in times):
        raise refusal(
            "STATE_REVOKED", f"an earlier trust file revoked the key at {utc_text(revoked)}"
        )


def _check_root(known: SeenHead, seen: Seen) -> None:
    shown = {head.size: head.root for head in seen.heads} | dict(seen.roots)
    if shown.get(known.size, known.root) != known.root:
        raise refusal(
            "STATE_FORK",
            f"at {known.size} records the log had another root when it was seen before: there are"
            " two histories",
        )


def _check_order(known: SeenHead, head: SeenHead) -> None:
    """Of two heads the larger is the later one, by everything that tells time; of two of one size
    the TPM says which is. In whichever order they are shown."""
    if head.size < known.size and head.tpm.is_later_than(known.tpm):
        raise refusal(
            "STATE_ROLLBACK",
            f"the log had {known.size} records before, and {head.size} in a head that was"
            " signed later: records are gone",
        )
    earlier, later = sorted((known, head), key=_place)
    _check_tpm(earlier.tpm, later.tpm)
    if later.counter < earlier.counter:
        raise refusal(
            "STATE_COUNTER",
            f"the head of {later.size} records says counter {later.counter}, and the earlier one of"
            f" {earlier.size} says {earlier.counter}",
        )


def _place(head: SeenHead) -> tuple[int, int, int]:
    return head.size, head.tpm.resets, head.tpm.clock_ms


def _check_tpm(before: TpmTime, after: TpmTime) -> None:
    if after.resets < before.resets or (
        after.resets == before.resets and after.restarts < before.restarts
    ):
        raise refusal(
            "STATE_RESETS",
            f"the TPM was reset {before.resets} times and restarted {before.restarts} times, and"
            f" later {after.resets} and {after.restarts}: it was cleared, or is another",
        )
    if after.clock_ms + lag_ms(before.resets, after.resets) < before.clock_ms:
        raise refusal(
            "STATE_CLOCK",
            f"the TPM's clock was at {before.clock_ms} ms, and later at {after.clock_ms}: it was"
            " cleared, or is another",
        )


def _begun(seen: Seen) -> Memory:
    return Memory(
        format=MEMORY_FORMAT,
        node_id=seen.node_id,
        log_id=seen.log_id,
        keys=list(seen.keys),
        trust=seen.trust,
        enroller=seen.enroller,
        heads=_joined([], seen),
        tpm=seen.tpm,
        revoked_ms=seen.revoked_ms,
        end=seen.span[1] if seen.span is not None and seen.span[0] == 0 else 0,
    )


def _grown(memory: Memory, seen: Seen) -> Memory:
    revocations = [each for each in (memory.revoked_ms, seen.revoked_ms) if each is not None]
    end = memory.end
    if seen.span is not None and seen.span[0] <= end:
        end = max(end, seen.span[1])
    later = memory.tpm is None or seen.tpm.is_later_than(memory.tpm)
    keys = [*memory.keys, *(key for key in seen.keys if key not in memory.keys)]
    return msgspec.structs.replace(
        memory,
        keys=keys[-MAX_KEYS:],
        trust=seen.trust if later else memory.trust,
        heads=_joined(memory.heads, seen),
        tpm=seen.tpm if later else memory.tpm,
        revoked_ms=min(revocations, default=None),
        end=end,
    )


def _joined(known: list[SeenHead], seen: Seen) -> list[SeenHead]:
    """The heads to remember: without those from which the log is shown to have grown."""
    heads = {head.size: head for head in known}
    newest = seen.heads[-1] if seen.heads else None
    if newest is not None:
        heads = {size: head for size, head in heads.items() if size not in seen.roots}
        same = [head for head in known if head.size == newest.size]
        heads[newest.size] = max([newest, *same], key=_place)
    return [heads[size] for size in sorted(heads)][-MAX_HEADS:]


def _told(memory: Memory, seen: Seen) -> tuple[str, bool]:
    """How the file stands to what was seen, and whether that is shown rather than only possible."""
    if not seen.heads:
        return "the TPM's clock and resets go on from what was seen before", True
    newest = seen.heads[-1]
    largest = max((head.size for head in memory.heads), default=0)
    if newest.size in {head.size for head in memory.heads}:
        return "the same head was seen before", True
    if newest.size < largest:
        return f"older than what was seen before: the log has had {largest} records since", False
    if largest == 0:
        return "of this log only its TPM's clock was seen before: remembered from now on", False
    if largest in seen.roots:
        return f"the log grew from the {largest} records that were seen before", True
    return f"nothing here connects it with the {largest} records that were seen before", False


def _unproven(memory: Memory, seen: Seen) -> Iterator[str]:
    largest = max((head.size for head in memory.heads), default=0)
    newest = seen.heads[-1].size if seen.heads else 0
    if 0 < newest < largest and newest not in {head.size for head in memory.heads}:
        yield (
            f"That the log seen before, of {largest} records, grew out of this one: a bundle that"
            " begins here or before, and reaches to it, shows that."
        )
    if newest > largest > 0 and largest not in seen.roots:
        yield (
            f"That the log grew out of the one seen before, of {largest} records: this file does"
            " not reach back to it. A bundle that begins there or before does."
        )
    if seen.span is not None and seen.span[0] > memory.end:
        yield (
            f"What records {memory.end} to {seen.span[0] - 1} hold: no bundle that was seen here"
            " had them."
        )
