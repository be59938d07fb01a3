"""The one tar file that a bundle is: others read it, and nothing else is read."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.ustar import BLOCK, END, is_ustar, member_header, padding, parse_header

NAMES = st.from_regex(r"[a-z](?:[a-z0-9./-]{0,60}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.binary(max_size=2000))
def test_the_standard_library_reads_it(name: str, data: bytes) -> None:
    file = member_header(name, len(data)) + data + bytes(padding(len(data))) + END
    with tarfile.open(fileobj=io.BytesIO(file), format=tarfile.USTAR_FORMAT) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert (member.name, content.read()) == (name, data)
        assert (member.mode, member.mtime, member.uid, member.gid) == (0o644, 0, 0, 0)


@given(NAMES, st.integers(0, 8**11 - 1))
def test_a_header_is_read_as_it_was_written(name: str, size: int) -> None:
    header = member_header(name, size)
    assert len(header) == BLOCK
    assert is_ustar(header)
    assert parse_header(header) == (name, size)


@given(st.integers(0, 8 * BLOCK - 1))
def test_no_bit_of_a_header_can_differ(bit: int) -> None:
    header = bytearray(member_header("leaves", 33))
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError, match="not that of a plain file"):
        parse_header(bytes(header))


@given(st.binary(min_size=BLOCK, max_size=BLOCK))
def test_any_bytes_are_refused_or_are_the_header(block: bytes) -> None:
    with pytest.raises(FormatError):
        parse_header(block)


@pytest.mark.parametrize(("name", "size"), [("", 1), ("x" * 100, 1), ("x", -1), ("x", 8**11)])
def test_what_does_not_fit_is_not_written(name: str, size: int) -> None:
    with pytest.raises(FormatError) as refused:
        member_header(name, size)
    assert refused.value.code == "BUNDLE_TOO_LARGE"
