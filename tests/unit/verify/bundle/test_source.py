"""Reading the records of a judged bundle, as an importer does."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.record import Kind
from swt3_agent.verify import BundleSource, verify_bundle

BUNDLE = (Path(__file__).parents[3] / "vectors" / "bundle-1" / "second.tar").read_bytes()
MANIFEST = verify_bundle(io.BytesIO(BUNDLE)).hashes["manifest.json"]


@given(st.integers(0, 40), st.integers(0, 40))
def test_any_range_is_read_in_order_without_a_gap(start: int, more: int) -> None:
    source = BundleSource(io.BytesIO(BUNDLE), MANIFEST)
    start += source.first
    seqs = [record.seq for record in source.scan(start, start + more)]
    assert seqs == list(range(start, min(start + more, source.size)))


def test_what_is_withheld_is_an_empty_tombstone() -> None:
    source = BundleSource(io.BytesIO(BUNDLE), MANIFEST)
    empty = [record for record in source.scan(source.first) if not record.payload]
    assert [record.kind for record in empty] == [Kind.TOMBSTONE]


def test_another_bundle_than_the_judged_one_is_refused() -> None:
    with pytest.raises(FormatError, match="not the one that was judged"):
        BundleSource(io.BytesIO(BUNDLE), "00" * 32)
