import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.ima_log import MAX_IMA_LOG, ImaEntry, parse_ima_log
from tests.support.boot_logs import BOOT_LOGS, ima_entry, ima_fields, ima_ng
from tests.unit.tcg.vectors import result_or_code

DIGEST = bytes(range(32))
LOG = b"".join(ima_entry(ima_ng(f"/bin/{number}", DIGEST)) for number in range(5))


def entries(data: bytes) -> list[ImaEntry]:
    return list(parse_ima_log(data))


def code_of(data: bytes, **options: int) -> str:
    with pytest.raises(FormatError) as caught:
        list(parse_ima_log(data, **options))
    assert caught.value.remedy
    return caught.value.code


def test_entries_of_a_binary_log_are_read() -> None:
    found = entries(LOG)
    assert [entry.path for entry in found] == [f"/bin/{number}" for number in range(5)]
    assert found[0].file_digest == f"sha256:{DIGEST.hex()}"
    assert found[0].digest("sha1") == found[0].template_hash
    assert found[-1].end == len(LOG)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_log_in_pieces_is_the_same_log(size: int) -> None:
    pieces = (LOG[start : start + size] for start in range(0, len(LOG), size))
    assert list(parse_ima_log(pieces)) == entries(LOG)


def test_a_log_is_read_on_from_where_it_was_left() -> None:
    first, second, *_ = entries(LOG)
    assert next(parse_ima_log(LOG[first.end :], offset=first.end)) == second


def test_only_what_is_asked_for_is_read() -> None:
    asked = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield LOG

    reading = parse_ima_log(pieces())
    assert next(reading).path == "/bin/0"
    assert asked == [0]


def test_an_empty_log_has_no_entries() -> None:
    assert entries(b"") == []
    assert list(parse_ima_log([b"", b""])) == []


def test_the_oldest_template_hashes_the_path_padded() -> None:
    data = struct.pack("<I20sI", 10, b"\1" * 20, 3) + b"ima" + b"\2" * 20
    data += struct.pack("<I", 5) + b"/init"
    (entry,) = entries(data)
    assert (entry.path, entry.file_digest) == ("/init", f"sha1:{'02' * 20}")
    assert entry.data == b"\2" * 20 + b"/init" + bytes(251)
    (line,) = entries(f"10 {'01' * 20} ima {'02' * 20} /init\n".encode())
    assert line.data == entry.data


@pytest.mark.parametrize("template", ["ima-sig", "ima-buf", "ima-modsig"])
def test_templates_that_begin_with_digest_and_name_are_read(template: str) -> None:
    data = ima_ng("/bin/true", DIGEST) + ima_fields(b"\3\2")
    (entry,) = entries(ima_entry(data, template=template))
    assert (entry.path, entry.file_digest) == ("/bin/true", f"sha256:{DIGEST.hex()}")


def test_an_unknown_template_is_opaque() -> None:
    (entry,) = entries(ima_entry(b"anything", template="evm-sig"))
    assert (entry.path, entry.file_digest) == (None, None)
    assert entry.data == b"anything"


def test_a_violation_is_known_by_its_zeros() -> None:
    (entry,) = entries(ima_entry(ima_ng("/var/log/x", bytes(32)), violation=True))
    assert entry.violation


def test_a_log_of_one_bank_has_longer_hashes() -> None:
    data = ima_ng("/bin/true", DIGEST)
    log = struct.pack("<I32sI", 10, b"\1" * 32, 6) + b"ima-ng" + struct.pack("<I", len(data)) + data
    (entry,) = parse_ima_log(log, hash_size=32)
    assert entry.template_hash == b"\1" * 32


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("ima-log-sha1", ["boot_aggregate", "/data"]),
        ("ima-log-sha256", ["boot_aggregate", "/data"]),
        ("ima-log-unknown", ["boot_aggregate", "/data"]),
    ],
)
def test_an_ascii_log_is_read(name: str, paths: list[str]) -> None:
    assert [entry.path for entry in entries((BOOT_LOGS / name).read_bytes())] == paths


@pytest.mark.parametrize("name", ["ima-log-sha1", "ima-log-sha256"])
def test_an_ascii_entry_is_turned_back_into_what_was_measured(name: str) -> None:
    entry = entries((BOOT_LOGS / name).read_bytes())[1]
    assert entry.digest("sha1") == entry.template_hash


def test_an_ascii_entry_may_have_no_signature() -> None:
    line = f"10 {'01' * 20} ima-sig sha256:{DIGEST.hex()} /bin/true"
    unsigned, signed = entries(f"{line} \n{line} 0302\n".encode())
    assert unsigned.data == ima_ng("/bin/true", DIGEST) + bytes(4)
    assert signed.data == ima_ng("/bin/true", DIGEST) + ima_fields(b"\3\2")


@pytest.mark.parametrize(
    "line",
    [
        "10",
        "24 " + "01" * 20 + " ima-ng sha256:00 /x",
        "10 zz ima-ng sha256:00 /x",
        "10 " + "01" * 20 + " ima-ng sha256 /x",
        "10 " + "01" * 20 + " ima-ng sha256:00 /x y",
        "10 " + "01" * 20 + " ima-sig sha256:00 /x nohex",
        "10 " + "01" * 20 + " ima 00 /x",
    ],
)
def test_a_line_that_is_no_entry_is_refused(line: str) -> None:
    assert code_of(f"{line}\n".encode()) == "IMA_LOG_ENTRY"


def test_an_ascii_entry_of_an_unknown_template_is_refused() -> None:
    line = f"10 {'01' * 20} evm-sig sha256:00 /x\n"
    assert code_of(line.encode()) == "IMA_LOG_TEMPLATE"


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I20sI", 24, bytes(20), 6) + b"ima-ng" + bytes(4),
        struct.pack("<I20sI", 10, bytes(20), 0),
        struct.pack("<I20sI", 10, bytes(20), 65) + b"x" * 65,
        struct.pack("<I20sI", 10, bytes(20), 2) + b"\n\n" + bytes(4),
        struct.pack("<I20sI", 10, bytes(20), 6) + b"ima-ng" + b"\xff" * 4,
        struct.pack("<I20sI", 10, bytes(20), 3) + b"ima" + bytes(20) + b"\xff" * 4,
    ],
)
def test_bytes_that_are_no_entry_are_refused(data: bytes) -> None:
    assert code_of(LOG + data) == "IMA_LOG_ENTRY"


def test_a_log_that_stops_within_an_entry_gives_those_before_and_says_so() -> None:
    ends = [entry.end for entry in entries(LOG)]
    for end in range(1, len(LOG)):
        if end in ends:
            continue
        found, code = until_refused(LOG[:end])
        assert code == "IMA_LOG_TRUNCATED"
        assert found == [known for known in ends if known < end]


def until_refused(data: bytes) -> tuple[list[int], str]:
    """Where the entries before the fault end, and the code of the fault."""
    found: list[int] = []
    with pytest.raises(FormatError) as caught:
        found.extend(entry.end for entry in parse_ima_log(data))
    return found, caught.value.code


def test_a_line_that_does_not_end_is_cut_off() -> None:
    assert code_of(b"10 " + b"0" * 100) == "IMA_LOG_TRUNCATED"


def test_an_endless_log_is_refused() -> None:
    entry = ima_entry(ima_fields(bytes(2**20)), template="x")
    needed = MAX_IMA_LOG // len(entry) + 2
    with pytest.raises(FormatError) as caught:
        for _ in parse_ima_log(entry for _ in range(needed)):
            pass
    assert caught.value.code == "IMA_LOG_OVERSIZED"


def read_all(data: bytes) -> list[ImaEntry] | str:
    result = result_or_code(entries, data)
    if isinstance(result, str):
        assert result.startswith("IMA_LOG_")
    else:
        for entry in result:
            str(entry.path).encode()
            str(entry.file_digest).encode()
    return result


@given(st.binary(max_size=300))
def test_any_bytes_are_a_log_or_refused(data: bytes) -> None:
    read_all(data)
    read_all(LOG + data)
    read_all(b"10 " + data)


@given(data=st.data())
def test_a_log_with_any_bytes_changed_is_a_log_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["ima-log-sha1", "ima-log-sha256", ""]))
    log = bytearray((BOOT_LOGS / name).read_bytes() if name else LOG)
    for _ in range(data.draw(st.integers(1, 4))):
        log[data.draw(st.integers(0, len(log) - 1))] = data.draw(st.integers(0, 255))
    read_all(bytes(log))
