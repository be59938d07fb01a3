"""Frames and records: docs/formats.md, "Record and segment"."""

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.record import (
    FLAG_COMMIT_END,
    FLAG_COMMIT_START,
    KNOWN_FLAGS,
    MAX_BODY,
    RECORD_VERSION,
    Kind,
    Record,
    decode_body,
    encode_frame,
    encode_record,
    iter_frames,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "frames.json").read_text())

records = st.builds(
    Record,
    seq=st.integers(0, 2**64 - 1),
    kind=st.sampled_from(Kind),
    flags=st.integers(0, KNOWN_FLAGS),
    received_ns=st.integers(0, 2**64 - 1),
    provenance=st.binary(max_size=60),
    payload=st.binary(max_size=60),
)


def body_of(**changes: int) -> bytes:
    """A body written by hand, so that fields can be wrong."""
    fields = {"version": 1, "kind": 1, "flags": 0, "seq": 5, "ns": 7, "n": 2, "m": 3} | changes
    head = struct.pack(
        "<BBHQQI",
        *(fields[name] for name in ("version", "kind", "flags", "seq", "ns", "n")),
    )
    return head + b"{}" + struct.pack("<I", fields["m"]) + b"abc"


def frame_of(body: bytes) -> bytes:
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_frames_match_the_published_vectors(vector: dict[str, str | int]) -> None:
    record = Record(
        seq=int(vector["seq"]),
        kind=Kind(int(vector["kind"])),
        flags=int(vector["flags"]),
        received_ns=int(vector["received_ns"]),
        provenance=bytes.fromhex(str(vector["provenance"])),
        payload=bytes.fromhex(str(vector["payload"])),
    )
    frame = bytes.fromhex(str(vector["frame"]))
    assert encode_record(record) == frame
    assert list(iter_frames(frame)) == [(record, 0, len(frame))]


def test_flags_are_pinned() -> None:
    assert (FLAG_COMMIT_START, FLAG_COMMIT_END, KNOWN_FLAGS) == (1, 2, 3)


def test_kind_numbers_and_labels_are_pinned() -> None:
    assert {kind.label: kind.value for kind in Kind} == VECTORS["kinds"]


@given(st.lists(records, max_size=5), st.integers(0, 20))
def test_what_was_written_is_read_back(run: list[Record], zeros: int) -> None:
    buffer = b"".join(map(encode_record, run)) + bytes(zeros)
    read = list(iter_frames(buffer))
    assert [record for record, _, _ in read] == run
    assert [start for _, start, _ in read] == [0, *(end for _, _, end in read)][: len(read)]


@given(st.lists(records, min_size=2, max_size=4))
def test_reading_starts_at_any_frame(run: list[Record]) -> None:
    frames = [encode_record(record) for record in run]
    buffer = bytearray(b"".join(frames))
    read = list(iter_frames(memoryview(buffer), offset=len(frames[0])))
    assert [record for record, _, _ in read] == run[1:]


@given(records, st.data())
def test_a_frame_cut_anywhere_is_torn(record: Record, data: st.DataObject) -> None:
    first, second = encode_record(record), encode_record(record)
    cut = data.draw(st.integers(1, len(second) - 1))
    frames = iter_frames(first + second[:cut])
    assert next(frames)[2] == len(first)
    with pytest.raises(FormatError) as caught:
        next(frames)
    assert caught.value.code == "FRAME_TORN"


@given(records, st.data())
def test_a_changed_bit_is_seen(record: Record, data: st.DataObject) -> None:
    frame = bytearray(encode_record(record))
    bit = data.draw(st.integers(32, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError) as caught:
        list(iter_frames(bytes(frame)))
    assert caught.value.code == "FRAME_CRC"


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_format_error(buffer: bytes) -> None:
    code, end = "", 0
    try:
        for record, start, end in iter_frames(buffer):
            assert encode_record(record) == buffer[start:end]
    except FormatError as error:
        code = error.code
    at_end = not any(buffer[end : end + 4])
    assert code in ({""} if at_end else {"FRAME_TORN", "FRAME_CRC", "FRAME_FIELD"})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 2},
        {"kind": 0},
        {"kind": 15},
        {"flags": 4},
        {"flags": 0x8001},
        {"n": 3},
        {"n": 2**32 - 1},
        {"m": 2},
        {"m": 4},
    ],
    ids=str,
)
def test_a_field_that_cannot_be_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError) as caught:
        list(iter_frames(frame_of(body_of(**changes))))
    assert caught.value.code == "FRAME_FIELD"


@pytest.mark.parametrize("length", [1, 27, MAX_BODY + 1, 2**32 - 1])
def test_a_length_that_no_body_has_is_refused(length: int) -> None:
    with pytest.raises(FormatError) as caught:
        list(iter_frames(struct.pack("<II", length, 0) + bytes(64)))
    assert caught.value.code == "FRAME_FIELD"


def test_a_body_shorter_than_its_fixed_fields_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        decode_body(body_of()[:27])
    assert caught.value.code == "FRAME_FIELD"


@pytest.mark.parametrize(
    ("seq", "kind", "flags", "ns"),
    [(-1, 1, 0, 0), (2**64, 1, 0, 0), (0, 15, 0, 0), (0, 1, 4, 0), (0, 1, 0, -1), (0, 300, 0, 0)],
)
def test_what_could_not_be_read_back_is_not_written(
    seq: int, kind: int, flags: int, ns: int
) -> None:
    with pytest.raises(FormatError) as caught:
        encode_frame(seq, kind, flags, ns, b"{}", b"")
    assert caught.value.code == "FRAME_FIELD"


def test_the_largest_body_is_written_and_one_byte_more_is_not() -> None:
    room = MAX_BODY - 28
    record = Record(0, Kind.OPAQUE, 0, 0, b"", bytes(room))
    assert next(iter_frames(encode_record(record)))[0] == record
    with pytest.raises(FormatError):
        encode_frame(0, Kind.OPAQUE, 0, 0, b"", bytes(room + 1))


def test_the_version_is_the_first_byte_of_the_body() -> None:
    assert encode_frame(0, Kind.BOOT, 0, 0, b"", b"")[8] == RECORD_VERSION
