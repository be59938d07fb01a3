"""The heads that a bundle shows beside those whose records are in its range."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from swt3_agent.errors import AgentError
from swt3_agent.protocol.bundle import MAX_BOOT_HEADS, Head, HeadQuoteText
from swt3_agent.protocol.checkpoint import extended
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.store.catalogue import Catalogue, HeadEntry
from swt3_agent.store.head_records import HeadRecord, read_head
from swt3_agent.store.journal import Journal

MAX_LATER_HEADS = 32_768
"""Heads after the range of one bundle: `tail.json` shows each of them, and has its bound."""
_note_seq = attrgetter("note_seq")


def head_before(journal: Journal, catalogue: Catalogue, first: int) -> Head | None:
    """The newest head whose note lies before record ``first``. Raises JournalError."""
    entries = catalogue.heads()
    place = bisect_left(entries, first, key=_note_seq)
    return None if place == 0 else _shown(read_head(journal, entries[place - 1]))


def refuse_too_many_after(catalogue: Catalogue, end: int, most: int = MAX_LATER_HEADS) -> None:
    """Raises AgentError ``BUNDLE_TOO_LARGE`` where more heads than ``most`` follow ``end``."""
    later = [entry.note_seq for entry in catalogue.heads() if entry.note_seq >= end]
    if len(later) > most:
        raise AgentError(
            "BUNDLE_TOO_LARGE",
            f"{len(later)} heads follow record {end}, and a bundle shows {most} of them at most",
            remedy=f"give --to {later[-most]} or more, or leave it out: the range of a bundle may"
            " be longer than you need",
        )


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
    """What was extended into the log PCR since its reset, before ``first``: the value it had then,
    and the digest of each note, in order, of 32 bytes each.

    The reset is the last before the first signed head from ``first`` on. Empty where no head
    between the two lies before ``first``. Raises JournalError; AgentError ``BUNDLE_TOO_LARGE``
    where there are too many.
    """
    entries = catalogue.heads()
    place = bisect_left(entries, first, key=_note_seq)
    later = next((entry for entry in entries[place:] if entry.quote_seq is not None), None)
    if later is None:
        return b""
    extends: list[bytes] = []
    value = b""
    unsigned: list[HeadRecord] = []
    for head in reversed(_since_reset(journal, entries[:place], read_head(journal, later))):
        if head.quote is None:
            unsigned.append(head)
            continue
        if not extends:
            extends.append(head.quote.before)
        for lost in unsigned:  # extended, and the TPM was gone before it quoted
            if value != head.quote.before == extended(value, lost.note.body()):
                extends.append(lost.note.digest())
                break
        unsigned = []
        extends.append(head.note.digest())
        value = extended(head.quote.before, head.note.body())
    return b"".join(extends)


def _since_reset(
    journal: Journal, entries: Sequence[HeadEntry], later: HeadRecord
) -> list[HeadRecord]:
    """The last of ``entries`` that the TPM signed in the same run as ``later``, newest first, and
    the unsigned ones among them."""
    assert later.quote is not None  # noqa: S101  the caller looked for it
    resets = later.quote.reset_count()
    heads: list[HeadRecord] = []
    for entry in reversed(entries):
        head = read_head(journal, entry)
        if head.quote is not None and head.quote.reset_count() != resets:
            break
        heads.append(head)
        if len(heads) > MAX_BOOT_HEADS:
            raise AgentError(
                "BUNDLE_TOO_LARGE",
                f"the TPM signed more than {MAX_BOOT_HEADS} heads since it was reset",
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
            pcrs=pcrs_text(quote.pcrs),
        ),
    )
