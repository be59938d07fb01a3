"""The records before a range that the counter's certificates in it rest on."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec

from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue, HeadEntry
from swt3_agent.store.journal import Journal


class _Certificate(msgspec.Struct):
    phase: str = ""
    intent: int = -1
    head: int = -1


class _Counter(msgspec.Struct):
    defined: bool = False


class _Boot(msgspec.Struct):
    counter: _Counter | None = None


def counter_before(journal: Journal, catalogue: Catalogue, first: int) -> set[int]:
    """The newest certificate before ``first`` and the newest whole step, what the first certificate
    after it names of it, and what was announced and defined since. Raises JournalError."""
    certificates = catalogue.records_of(Kind.COUNTER_CERT)
    place = bisect_left(certificates, first)
    known, following = certificates[:place][-1:], certificates[place : place + 1]
    since = 0
    found: set[int] = set()
    heads = {entry.note_seq: entry for entry in catalogue.heads()}
    if known:
        newest = _read(journal, known[-1])
        known = [*_whole_step(journal, certificates[:place]), *known]
        since = newest.intent
    for seq in (*known, *following):
        found |= {seq, *_named(_read(journal, seq), heads)}
    found |= set(catalogue.records_of(Kind.COUNTER_INTENT, since, first)[-1:])
    found |= {
        seq
        for seq in catalogue.records_of(Kind.BOOT, since, first)
        if seq > (known[-1] if known else -1) and _defines(journal, seq)
    }
    return {seq for seq in found if 0 <= seq < first}


def _whole_step(journal: Journal, certificates: Sequence[int]) -> list[int]:
    """The two certificates of the newest step that was not interrupted."""
    for place in range(len(certificates) - 1, 0, -1):
        if _read(journal, certificates[place]).phase == "after":
            return list(certificates[place - 1 : place + 1])
    return []


def _named(certificate: _Certificate, heads: dict[int, HeadEntry]) -> Iterator[int]:
    """The intent, and the head's note and quote."""
    yield certificate.intent
    entry = heads.get(certificate.head)
    if entry is not None:
        yield entry.note_seq
        if entry.quote_seq is not None:
            yield entry.quote_seq


def _read(journal: Journal, seq: int) -> _Certificate:
    try:
        return msgspec.json.decode(journal.read(seq).payload, type=_Certificate)
    except MALFORMED:  # `fsck` says what is wrong with it, and a verifier too
        return _Certificate()


def _defines(journal: Journal, seq: int) -> bool:
    try:
        boot = msgspec.json.decode(journal.read(seq).payload, type=_Boot)
    except MALFORMED:
        return False
    return boot.counter is not None and boot.counter.defined
