"""The records of a bundle that was judged, for whoever takes them over."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import BinaryIO

import msgspec

from swt3_agent.protocol.bundle import (
    MANIFEST,
    NO_SALT,
    Manifest,
    decode_text,
    entry_offsets,
    iter_entries,
)
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.verify.bundle.archive import Archive, decompress
from swt3_agent.verify.refusal import refusal


class BundleSource:
    """Reads records by sequence number; one portion is in memory."""

    def __init__(self, stream: BinaryIO, manifest: str) -> None:
        """``manifest`` is the hex SHA-256 in the report of the judgement.

        Raises FormatError where ``stream`` is not the bundle that was judged.
        """
        self._archive = Archive(stream)
        data = self._archive.read(MANIFEST)
        if sha256(data).hexdigest() != manifest:
            raise refusal("BUNDLE_DIGEST", "the bundle is not the one that was judged")
        read = decode_text(data, Manifest)
        self.first, self.size = read.first, read.end
        self._provenance = msgspec.json.encode({"applied_level": read.level, "tenant": read.tenant})
        _, self._portions = self._archive.portions(read)
        self._ends = [portion.end for portion in self._portions]
        self._loaded = -1
        self._entries = b""
        self._seqs, self._offsets = array("Q"), array("Q")

    def scan(self, start: int, stop: int | None = None) -> Iterator[Record]:
        """Records from ``start`` to before ``stop``, in order. Raises FormatError.

        A withheld one is an empty tombstone, so that a reader sees how far he came.
        """
        end = self.size if stop is None else min(stop, self.size)
        seq = start
        for record in self._shown(start, end):
            yield from map(_withheld, range(seq, record.seq))
            yield record
            seq = record.seq + 1
        yield from map(_withheld, range(seq, end))

    def _shown(self, start: int, end: int) -> Iterator[Record]:
        number = bisect_left(self._ends, start + 1)
        while number < len(self._portions) and self._portions[number].first < end:
            self._load(number)
            place = bisect_left(self._seqs, start)
            if place < len(self._offsets):
                for _, salt_v, record in iter_entries(self._entries, self._offsets[place]):
                    if record.seq >= end:
                        return
                    hidden = salt_v == NO_SALT  # then what the judgement found holds of it
                    yield replace(record, provenance=self._provenance) if hidden else record
            number += 1

    def _load(self, number: int) -> None:
        if number == self._loaded:
            return
        member = self._portions[number].entries
        self._entries = decompress(member, self._archive.listed(member))
        self._offsets = entry_offsets(self._entries)
        self._seqs = array("Q", (record.seq for _, _, record in iter_entries(self._entries)))
        self._loaded = number


def _withheld(seq: int) -> Record:
    return Record(seq, Kind.TOMBSTONE, 0, 0, b"", b"")
