import hashlib
from collections.abc import Iterator

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.tcg.ima_log import (
    Hashing,
    ImaEntry,
    Replayed,
    boot_aggregate,
    check_boot_aggregates,
    parse_ima_log,
    prefix_reaching,
    reach,
    replay,
)
from tests.support.boot_logs import ima_entry, ima_ng

PCRS = {index: bytes([index]) * 32 for index in range(10)}
AGGREGATE = ima_ng("boot_aggregate", hashlib.sha256(b"".join(PCRS.values())).digest())
DATA = [AGGREGATE, *(ima_ng(f"/bin/{number}", bytes(32)) for number in range(4))]
LOG = b"".join(ima_entry(data) for data in DATA)


def entries(log: bytes = LOG) -> Iterator[ImaEntry]:
    return parse_ima_log(log)


def register(*digests: bytes) -> bytes:
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def padded_sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest() + bytes(12)


def test_each_entry_extends_the_hash_of_its_data() -> None:
    replayed = replay(entries())
    assert replayed.value == register(*map(sha256, DATA))
    assert (replayed.entries, replayed.offset, replayed.violations) == (5, len(LOG), 0)


def test_older_kernels_pad_the_sha1() -> None:
    padded = replay(entries(), hashing=Hashing.PADDED_SHA1)
    assert padded.value == register(*map(padded_sha1, DATA))
    reached = reach(entries(), padded.value)
    assert reached is not None
    assert reached.hashing is Hashing.PADDED_SHA1


@pytest.mark.parametrize(
    ("hashing", "digest"),
    [(Hashing.SHA256, b"\xff" * 32), (Hashing.PADDED_SHA1, b"\xff" * 20 + bytes(12))],
)
def test_a_violation_extends_ones(hashing: Hashing, digest: bytes) -> None:
    replayed = replay(entries(ima_entry(DATA[1], violation=True)), hashing=hashing)
    assert (replayed.value, replayed.violations) == (register(digest), 1)


def test_what_the_log_says_a_hash_is_does_not_count() -> None:
    log = bytearray(LOG)
    log[4] ^= 1
    assert replay(entries(bytes(log))).value == replay(entries()).value


def test_entries_of_other_registers_are_passed_over() -> None:
    replayed = replay(entries(LOG + ima_entry(DATA[1], pcr=11)))
    assert (replayed.value, replayed.entries) == (register(*map(sha256, DATA)), 6)


@pytest.mark.parametrize("count", range(6))
def test_the_prefix_that_reaches_the_register_is_found(count: int) -> None:
    assert prefix_reaching(entries(), register(*map(sha256, DATA[:count]))) == count


def test_a_register_that_no_prefix_reaches_is_not_explained() -> None:
    assert prefix_reaching(entries(), b"\1" * 32) is None


def test_no_more_is_read_than_reaches_the_register() -> None:
    torn = LOG[:-3]
    assert prefix_reaching(entries(torn), register(*map(sha256, DATA[:4]))) == 4
    with pytest.raises(FormatError) as caught:
        prefix_reaching(entries(torn), register(*map(sha256, DATA)))
    assert caught.value.code == "IMA_LOG_TRUNCATED"


@pytest.mark.parametrize("hashing", list(Hashing))
def test_a_replay_goes_on_from_an_earlier_one(hashing: Hashing) -> None:
    whole = replay(entries(), hashing=hashing)
    earlier = reach(entries(), replay(list(entries())[:2], hashing=hashing).value)
    assert earlier is not None
    rest = parse_ima_log(LOG[earlier.offset :], offset=earlier.offset)
    assert reach(rest, whole.value, start=earlier) == whole


def test_nothing_new_is_reached_at_once() -> None:
    whole = replay(entries())
    assert reach(iter(()), whole.value, start=whole) == whole
    assert reach(iter(()), bytes(32)) == Replayed()


def test_the_boot_aggregate_is_that_of_the_registers() -> None:
    replayed = replay(entries())
    assert replayed.aggregates == (f"sha256:{boot_aggregate(PCRS).hex()}",)
    assert check_boot_aggregates(replayed.aggregates, PCRS) == 1


def test_a_kexec_carries_entries_over_and_adds_an_aggregate() -> None:
    assert check_boot_aggregates(replay(entries(LOG + ima_entry(AGGREGATE))).aggregates, PCRS) == 2


def test_an_aggregate_of_another_boot_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        check_boot_aggregates(replay(entries()).aggregates, {**PCRS, 4: bytes(32)})
    assert caught.value.code == "IMA_LOG_BOOT_AGGREGATE"


def test_an_aggregate_over_the_sha1_bank_says_nothing() -> None:
    sha1 = ima_ng("boot_aggregate", bytes(20), algorithm="sha1")
    assert check_boot_aggregates(replay(entries(ima_entry(sha1))).aggregates, PCRS) == 0


def test_an_aggregate_needs_all_registers() -> None:
    with pytest.raises(FormatError) as caught:
        boot_aggregate({index: PCRS[index] for index in range(8)})
    assert caught.value.code == "IMA_LOG_PCRS"


def test_a_file_that_only_has_the_name_of_the_aggregate_within_its_own_is_none() -> None:
    assert replay(entries(ima_entry(ima_ng("/boot_aggregate", bytes(32))))).aggregates == ()
