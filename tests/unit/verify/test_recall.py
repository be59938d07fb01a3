"""What a verifier remembers, and what no later file may contradict: docs/formats.md."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.verify.memory import (
    MAX_HEADS,
    MAX_MEMORY,
    Memory,
    SeenHead,
    TpmTime,
    decode_memory,
    encode_memory,
)
from swt3_agent.verify.recall import Seen, recall

NODE, LOG = "ab" * 16, "cd" * 16
KEY, NEXT_KEY, OTHER_KEY = ("000b" + each * 32 for each in ("11", "22", "33"))
LAG = 2**22


def root(size: int, history: str = "a") -> str:
    return f"{size:062x}{ord(history):02x}"


def head(
    size: int,
    *,
    history: str = "a",
    clock: int | None = None,
    resets: int = 3,
    restarts: int = 0,
    counter: int = 5,
    utc: int | None = None,
) -> SeenHead:
    """The head of so many records; time goes by with them."""
    tpm = TpmTime(resets, restarts, 1000 * size if clock is None else clock)
    return SeenHead(size, root(size, history), utc or 10_000 * size, counter, tpm)


def seen(*heads: SeenHead, **changes: Any) -> Seen:
    shown = Seen(
        node_id=NODE,
        log_id=LOG,
        keys=(KEY,),
        trust="77" * 32,
        enroller="88" * 32,
        revoked_ms=None,
        tpm=heads[-1].tpm if heads else TpmTime(3, 0, 50_000),
        heads=heads,
        roots={each.size: each.root for each in heads},
    )
    return replace(shown, **changes)


def memory_of(*files: Seen) -> Memory:
    memory: Memory | None = None
    for each in files:
        memory = recall(memory, each).memory
    assert memory is not None
    return decode_memory(encode_memory(memory), NODE, LOG)


def refused(memory: Memory, file: Seen) -> str:
    with pytest.raises(FormatError) as caught:
        recall(memory, file)
    assert caught.value.remedy
    return caught.value.code


# ---- what goes on ---------------------------------------------------------------------------


def test_the_first_file_of_a_log_begins_the_memory() -> None:
    recalled = recall(None, seen(head(10), revoked_ms=99, span=(0, 8)))
    assert "nothing was seen" in recalled.told
    assert not recalled.connected
    memory = recalled.memory
    assert [each.size for each in memory.heads] == [10]
    assert (memory.keys, memory.revoked_ms, memory.end) == ([KEY], 99, 8)


def test_a_log_that_grew_is_known_by_the_root_that_connects() -> None:
    recalled = recall(memory_of(seen(head(10))), seen(head(10), head(20)))
    assert recalled.told == "the log grew from the 10 records that were seen before"
    assert recalled.connected
    assert [each.size for each in recalled.memory.heads] == [20]
    assert recalled.unproven == ()


def test_where_nothing_connects_both_heads_are_remembered_and_it_is_said() -> None:
    recalled = recall(memory_of(seen(head(10))), seen(head(20)))
    assert "nothing here connects" in recalled.told
    assert "does not reach back" in recalled.unproven[0]
    assert not recalled.connected
    assert [each.size for each in recalled.memory.heads] == [10, 20]
    later = recall(recalled.memory, seen(head(30), roots={10: root(10), 20: root(20)}))
    assert [each.size for each in later.memory.heads] == [30]


def test_an_older_file_is_no_lie() -> None:
    memory = memory_of(seen(head(20)))
    recalled = recall(memory, seen(head(10)))
    assert recalled.told == "older than what was seen before: the log has had 20 records since"
    assert not recalled.connected
    assert "20 records, grew out of this one" in recalled.unproven[0]
    assert [each.size for each in recalled.memory.heads] == [10, 20]
    assert recalled.memory.tpm == memory.tpm


def test_the_same_head_again_changes_nothing() -> None:
    memory = memory_of(seen(head(20)))
    recalled = recall(memory, seen(head(20)))
    assert (recalled.told, recalled.memory) == ("the same head was seen before", memory)
    assert recalled.connected


def test_a_gap_between_bundles_is_said() -> None:
    memory = memory_of(seen(head(10), span=(0, 8)))
    recalled = recall(memory, seen(head(30), span=(12, 25)))
    assert any("records 8 to 11" in each for each in recalled.unproven)
    assert recalled.memory.end == 8
    assert recall(memory, seen(head(30), span=(8, 25))).memory.end == 25


def test_after_a_reset_the_clock_may_lag() -> None:
    memory = memory_of(seen(head(10, clock=2 * LAG)))
    assert recall(memory, seen(head(20, clock=LAG, resets=4))).memory.tpm == TpmTime(4, 0, LAG)


def test_a_challenge_goes_on_from_the_newest_that_the_tpm_said() -> None:
    memory = memory_of(seen(head(10)), seen(tpm=TpmTime(3, 1, 60_000)))
    assert memory.tpm == TpmTime(3, 1, 60_000)
    # A head that was made before the challenge and comes after it is no contradiction.
    assert recall(memory, seen(head(20))).memory.tpm == TpmTime(3, 1, 60_000)


def test_a_successor_of_a_known_key_is_known() -> None:
    memory = memory_of(seen(head(10)), seen(head(20), keys=(KEY, NEXT_KEY)))
    assert memory.keys == [KEY, NEXT_KEY]
    assert recall(memory, seen(head(30), keys=(NEXT_KEY,))).memory.keys == [KEY, NEXT_KEY]


def test_of_heads_that_nothing_connects_the_newest_are_kept() -> None:
    memory = memory_of(*(seen(head(size)) for size in range(1, MAX_HEADS + 9)))
    assert [each.size for each in memory.heads] == list(range(9, MAX_HEADS + 9))
    assert len(encode_memory(memory)) < MAX_MEMORY


# ---- what contradicts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (seen(head(20, history="b")), "STATE_FORK"),
        (seen(head(30), roots={20: root(20, "b")}), "STATE_FORK"),
        (seen(head(20, history="b"), head(30)), "STATE_FORK"),
        (seen(head(10, clock=20_001)), "STATE_ROLLBACK"),
        (seen(head(10, resets=4)), "STATE_ROLLBACK"),
        (seen(head(10, counter=6)), "STATE_COUNTER"),
        (seen(head(30, counter=4, restarts=1)), "STATE_COUNTER"),
        (seen(head(30, counter=0, restarts=1)), "STATE_COUNTER"),
        (seen(head(30, resets=2)), "STATE_RESETS"),
        (seen(head(30, restarts=0)), "STATE_RESETS"),
        (seen(head(30, clock=19_999, restarts=1)), "STATE_CLOCK"),
        (seen(head(30, clock=0, resets=4)), ""),
        (seen(tpm=TpmTime(2, 1, 60_000)), "STATE_RESETS"),
        (seen(tpm=TpmTime(3, 0, 60_000)), "STATE_RESETS"),
        (seen(tpm=TpmTime(3, 1, 19_999)), "STATE_CLOCK"),
        (seen(head(30, restarts=1), keys=(OTHER_KEY,)), "STATE_KEY"),
        (seen(head(30, restarts=1), enroller="99" * 32), "STATE_ENROLLER"),
        # A stranger's enroller must not make the node a liar, nor a TPM that counts anew.
        (seen(head(20, history="b"), enroller="99" * 32), "STATE_ENROLLER"),
        (seen(head(30, clock=1, resets=1), keys=(OTHER_KEY,)), "STATE_KEY"),
        (seen(tpm=TpmTime(0, 0, 1), keys=(OTHER_KEY,)), "STATE_KEY"),
        (seen(head(20, history="b"), keys=(OTHER_KEY,)), "STATE_FORK"),
        # Two heads of one size: the TPM says which is the later one.
        (seen(head(20, clock=20_001, restarts=1, counter=4)), "STATE_COUNTER"),
        (seen(head(20, clock=19_999, restarts=1, counter=6)), "STATE_COUNTER"),
        (seen(head(20, clock=20_001)), "STATE_RESETS"),
    ],
)
def test_what_contradicts_the_memory_is_refused(file: Seen, code: str) -> None:
    memory = memory_of(seen(head(20, restarts=1)))
    if code:
        assert refused(memory, file) == code
    else:
        recall(memory, file)


def test_of_two_heads_of_one_size_the_later_is_remembered() -> None:
    later, earlier = head(20, restarts=1), head(20, clock=19_000, restarts=1)
    for order in ((later, earlier), (earlier, later)):
        assert memory_of(*map(seen, order)).heads == [later]


@pytest.mark.parametrize("first", [0, 1])
def test_what_contradicts_does_so_in_either_order(first: int) -> None:
    files = seen(head(10, clock=2 * LAG)), seen(head(20, clock=LAG - 1, resets=4))
    assert refused(memory_of(files[first]), files[1 - first]) == "STATE_CLOCK"


def test_a_clock_that_falls_further_than_a_reset_explains_is_refused() -> None:
    memory = memory_of(seen(head(20, clock=LAG + 5)))
    assert refused(memory, seen(head(30, clock=4, resets=4))) == "STATE_CLOCK"


def test_a_revocation_is_not_forgotten_with_an_older_trust_file() -> None:
    memory = memory_of(seen(head(10), revoked_ms=250_000))
    assert refused(memory, seen(head(25))) == "STATE_REVOKED"
    assert recall(memory, seen(head(24), revoked_ms=240_001)).memory.revoked_ms == 240_001
    assert refused(memory, seen(answered_ms=250_000)) == "STATE_REVOKED"
    recall(memory, seen(answered_ms=249_999))


def test_each_remembered_head_counts() -> None:
    memory = memory_of(seen(head(10)), seen(head(20)))
    assert refused(memory, seen(head(30), roots={10: root(10, "b")})) == "STATE_FORK"


@given(st.permutations(range(1, 8)), st.data())
def test_files_of_one_history_never_contradict_each_other(
    order: list[int], data: st.DataObject
) -> None:
    memory: Memory | None = None
    for size in order:
        known = data.draw(st.sets(st.integers(1, size)))
        file = seen(head(size), roots={each: root(each) for each in known | {size}})
        memory = recall(memory, file).memory
    assert memory is not None
    assert max(each.size for each in memory.heads) == 7


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 6))
def test_two_roots_of_one_size_are_never_both_accepted(sizes: list[int], forked: int) -> None:
    memory = memory_of(*(seen(head(size)) for size in sizes))
    fork = seen(head(forked, history="b"))
    if forked in sizes:
        assert refused(memory, fork) == "STATE_FORK"


# ---- the file -------------------------------------------------------------------------------

GOOD = encode_memory(memory_of(seen(head(10)), seen(head(20), revoked_ms=500_000)))


def code_of(data: bytes, node: str = NODE, log: str = LOG) -> str:
    with pytest.raises(FormatError) as caught:
        decode_memory(data, node, log)
    return caught.value.code


def changed(**changes: Any) -> bytes:
    tree = json.loads(GOOD) | changes
    return msgspec.json.encode(tree, order="sorted") + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b" " * (MAX_MEMORY + 1),
        GOOD[:-1],
        GOOD + b"\n",
        b" " + GOOD,
        changed(more=1),
        changed(keys=[]),
        changed(keys=["11"]),
        changed(end=-1),
        changed(end=2**64),
        changed(heads=json.loads(GOOD)["heads"][::-1]),
        changed(heads=json.loads(GOOD)["heads"] * 2),
        changed(heads=[{"size": 1}]),
        changed(tpm=None, trust=None),
        changed(node_id="ef" * 16),
    ],
)
def test_a_damaged_memory_is_refused(data: bytes) -> None:
    assert code_of(data) in {"STATE_DAMAGED", "STATE_FORMAT_UNKNOWN"}


def test_a_memory_of_another_version_or_log_is_refused() -> None:
    assert code_of(changed(format="swt3-agent/verify-state/2")) == "STATE_FORMAT_UNKNOWN"
    assert code_of(GOOD, log="ef" * 16) == "STATE_DAMAGED"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert code_of(data) in {"STATE_DAMAGED", "STATE_FORMAT_UNKNOWN"}


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_any_bit_flipped_is_refused_or_read_as_another_memory(bit: int) -> None:
    data = bytearray(GOOD)
    data[bit // 8] ^= 1 << bit % 8
    try:
        memory = decode_memory(bytes(data), NODE, LOG)
    except FormatError:
        return
    assert encode_memory(memory) == bytes(data)
