"""The heads that a bundle shows beside those whose records are in its range."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from swt3_agent.errors import AgentError
from swt3_agent.protocol.bundle import MAX_BOOT_HEADS, Head, HeadQuoteText
from swt3_agent.protocol.checkpoint import extended
from swt3_agent.store.catalogue import Catalogue, HeadEntry
from swt3_agent.store.head_records import HeadRecord, read_head
from swt3_agent.store.journal import Journal

_note_seq = attrgetter("note_seq")


def head_before(journal: Journal, catalogue: Catalogue, first: int) -> Head | None:
    """The newest head whose note lies before record ``first``. Raises JournalError."""
    entries = catalogue.heads()
    place = bisect_left(entries, first, key=_note_seq)
    return None if place == 0 else _shown(read_head(journal, entries[place - 1]))


def heads_between(journal: Journal, catalogue: Catalogue, start: int, last: bytes) -> list[Head]:
    """Heads whose notes lie from record ``start`` on, to the one whose text is ``last``.

    Raises JournalError.
    """
    entries = catalogue.heads()
    heads = []
    for entry in entries[bisect_left(entries, start, key=_note_seq) :]:
        head = read_head(journal, entry)
        heads.append(_shown(head))
        if head.note.body() == last:
            break
    return heads


def boot_heads(journal: Journal, catalogue: Catalogue, first: int) -> bytes:
    """Digests of the notes that were extended into the log PCR, since its boot, before ``first``.

    The boot is that of the first head from ``first`` on. Empty where it has none before.
    Raises JournalError; AgentError ``BUNDLE_TOO_LARGE`` where there are too many.
    """
    entries = catalogue.heads()
    place = bisect_left(entries, first, key=_note_seq)
    if place == len(entries):
        return b""
    boot_id = read_head(journal, entries[place]).note.boot_id
    earlier = _of_boot(journal, entries[:place], boot_id)
    digests: list[bytes] = []
    value = bytes(32)
    unsigned: list[HeadRecord] = []
    for head in reversed(earlier):
        if head.quote is None:
            unsigned.append(head)
            continue
        for lost in unsigned:  # extended, and the TPM was gone before it quoted
            if extended(value, lost.note.body()) == head.quote.before != value:
                digests.append(lost.note.digest())
                break
        unsigned = []
        digests.append(head.note.digest())
        value = extended(head.quote.before, head.note.body())
    return b"".join(digests)


def _of_boot(journal: Journal, entries: Sequence[HeadEntry], boot_id: str) -> list[HeadRecord]:
    """The last of ``entries`` that are of this boot, newest first."""
    heads: list[HeadRecord] = []
    for entry in reversed(entries):
        head = read_head(journal, entry)
        if head.note.boot_id != boot_id:
            break
        heads.append(head)
        if len(heads) > MAX_BOOT_HEADS:
            raise AgentError(
                "BUNDLE_TOO_LARGE",
                f"this boot had more than {MAX_BOOT_HEADS} heads before record {entries[-1].size}",
                remedy="make heads less often (agent.intervals.checkpoint), and reboot the node",
            )
    return heads


def _shown(head: HeadRecord) -> Head:
    quote = head.quote
    return Head(
        seq=head.note_seq,
        checkpoint=head.checkpoint.decode(),
        quote=None
        if quote is None
        else HeadQuoteText(
            before=quote.before.hex(),
            pcrs={str(index): value.hex() for index, value in quote.pcrs.items()},
        ),
    )
