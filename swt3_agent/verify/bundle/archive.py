"""The bundle as a file: which members it has, each read whole and within bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

import zstandard

from swt3_agent.protocol.bundle import (
    BOOT_HEADS,
    MANIFEST,
    MAX_ENTRIES,
    MAX_MEMBER,
    MAX_MEMBERS,
    MAX_PORTION,
    MEMBER_NAME,
    PROOF,
    TAIL,
    Manifest,
    Member,
    entries_name,
    leaves_name,
)
from swt3_agent.protocol.ustar import BLOCK, END, padding, parse_header
from swt3_agent.verify.refusal import refusal

_REQUIRED = (MANIFEST, PROOF, TAIL)
_LOGS = "logs/"
_READ = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Portion:
    """Records ``[first, end)``: their entries and their leaves."""

    first: int
    end: int
    entries: Member
    leaves: Member


class Archive:
    """A bundle that is open: a seekable stream from its beginning."""

    def __init__(self, stream: BinaryIO) -> None:
        """Raises FormatError ``BUNDLE_TRUNCATED``, ``BUNDLE_HEADER``, ``BUNDLE_NAME``,
        ``BUNDLE_ORDER``, ``BUNDLE_PADDING``, ``BUNDLE_TRAILING``, ``BUNDLE_TOO_LARGE`` or
        ``BUNDLE_MEMBERS``."""
        self._stream = stream
        self._places = dict(_index(stream))
        for name in _REQUIRED:
            if name not in self._places:
                raise refusal("BUNDLE_MEMBERS", f"the bundle has no {name}")

    def read(self, name: str) -> bytes:
        """The member ``name``, which must be there."""
        place = self._places[name]
        self._stream.seek(place.offset)
        return _exactly(self._stream, place.size)

    def listed(self, member: Member) -> bytes:
        """A member that the manifest lists. Raises FormatError ``BUNDLE_DIGEST``."""
        data = self.read(member.name)
        if sha256(data).hexdigest() != member.sha256:
            raise refusal("BUNDLE_DIGEST", f"{member.name} is not what the manifest says")
        return data

    def portions(self, manifest: Manifest) -> tuple[Member | None, list[Portion]]:
        """The member of boot heads, if there is one, and the portions, in order.

        Raises FormatError ``BUNDLE_MEMBERS`` where the manifest does not list exactly the members
        that are there, of exactly the range.
        """
        members = list(manifest.members)
        found = {name: place.size for name, place in self._places.items() if name not in _REQUIRED}
        if [(member.name, member.size) for member in members] != list(found.items()):
            raise refusal("BUNDLE_MEMBERS", "the manifest lists other members than are there")
        logs = [member for member in members if member.name.startswith(_LOGS)]
        for log in logs:
            if log.name[len(_LOGS) :].split(".")[0] != log.sha256 or (log.first, log.end) != (0, 0):
                raise refusal("BUNDLE_MEMBERS", f"{log.name} is not what it is called")
        members = members[: len(members) - len(logs)]
        boot_heads = members.pop(0) if members and members[0].name == BOOT_HEADS else None
        portions, at = [], manifest.first
        for number, (entries, leaves) in enumerate(zip(members[::2], members[1::2], strict=False)):
            names = entries.name, leaves.name
            runs = (entries.first, entries.end), (leaves.first, leaves.end)
            if (
                names != (entries_name(number), leaves_name(number))
                or runs[0] != runs[1]
                or entries.first != at
                or not 0 < entries.end - at <= MAX_PORTION
            ):
                raise refusal("BUNDLE_MEMBERS", f"portion {number} is not the one that follows")
            portions.append(Portion(at, entries.end, entries, leaves))
            at = entries.end
        if 2 * len(portions) != len(members) or at != manifest.end:
            raise refusal("BUNDLE_MEMBERS", "the portions do not make up the range")
        return boot_heads, portions


def digest_of(stream: BinaryIO) -> str:
    """SHA-256 of the whole file, in hex."""
    stream.seek(0)
    digest = sha256()
    while block := stream.read(_READ):
        digest.update(block)
    return digest.hexdigest()


def decompress(member: Member, data: bytes) -> bytes:
    """The entries in ``data``, in bounded memory.

    Raises FormatError ``BUNDLE_COMPRESSION``, ``BUNDLE_TOO_LARGE``.
    """
    try:
        size = zstandard.frame_content_size(data)
        if size < 0:
            raise refusal("BUNDLE_COMPRESSION", f"{member.name} does not say how large it is")
        if size > MAX_ENTRIES:
            raise refusal(
                "BUNDLE_TOO_LARGE",
                f"{member.name} would become {size} bytes, and {MAX_ENTRIES} is the most",
            )
        decompressor = zstandard.ZstdDecompressor()
        return decompressor.decompress(data, max_output_size=MAX_ENTRIES, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise refusal(
            "BUNDLE_COMPRESSION", f"{member.name} cannot be decompressed: {error}"
        ) from None


def _index(stream: BinaryIO) -> Iterator[tuple[str, _Place]]:
    stream.seek(0)
    last, count, offset = "", 0, 0
    while (block := _exactly(stream, BLOCK)).count(0) != BLOCK:
        name, size = parse_header(block)
        count += 1
        if not MEMBER_NAME.fullmatch(name):
            raise refusal("BUNDLE_NAME", f"a member is called {name[:64]!a}")
        if name <= last:
            raise refusal("BUNDLE_ORDER", f"{name} follows {last}: a bundle has each once, sorted")
        if size > MAX_MEMBER or count > MAX_MEMBERS:
            raise refusal("BUNDLE_TOO_LARGE", f"{name} has {size} bytes, as member {count}")
        offset += BLOCK
        yield name, _Place(offset, size)
        stream.seek(offset + size)
        if any(_exactly(stream, padding(size))):
            raise refusal("BUNDLE_PADDING", f"what fills the last block of {name} is not zero")
        last, offset = name, offset + size + padding(size)
    if any(_exactly(stream, len(END) - BLOCK)) or stream.read(1):
        raise refusal("BUNDLE_TRAILING", "something follows the end of the bundle")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise refusal("BUNDLE_TRUNCATED", "the bundle ends before its end")
    return data
