"""What the log says of its attestation keys: which came after which, and which is to sign now."""

from collections.abc import Sequence
from dataclasses import dataclass

from swt3_agent.errors import FormatError, JournalError
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.key_record import KeyEvent, KeyRecord, parse_key_record
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Journal
from swt3_agent.tcg.public import parse_public


@dataclass(frozen=True, slots=True)
class KeyStep:
    """A KEY record in the log."""

    seq: int
    received_ms: int
    record: KeyRecord


@dataclass(frozen=True, slots=True)
class Signer:
    """``ak_public`` is the TPMT_PUBLIC that is to sign the next head, empty where the log names no
    key yet; ``successor`` is the record of the key that signs once a head covers it."""

    ak_public: bytes = b""
    successor: KeyStep | None = None


def key_steps(journal: Journal, catalogue: Catalogue) -> list[KeyStep]:
    """Every KEY record, in order. Raises JournalError, ``JOURNAL_DAMAGED`` for one that is none."""
    steps = []
    for seq in catalogue.records_of(Kind.KEY):
        record = journal.read(seq)
        try:
            parsed = parse_key_record(record.payload)
        except FormatError as error:
            raise JournalError(
                "JOURNAL_DAMAGED", f"record {seq}: {error.message}", remedy=error.remedy
            ) from error
        steps.append(KeyStep(seq, record.received_ns // 1_000_000, parsed))
    return steps


def signer_of(steps: Sequence[KeyStep], covered: int) -> Signer:
    """The key that is to sign when the newest signed head covers ``covered`` records.

    A rotated key signs only after a head of the key before it, which thereby vouches for all that
    the log says up to the change (docs/formats.md, "Succession").
    """
    ak_public, successor = b"", None
    for step in steps:
        if step.record.ak_public is None:
            continue
        if step.record.event is KeyEvent.ROTATED and step.seq >= covered:
            successor = step
        else:
            ak_public, successor = step.record.ak_public, None
    return Signer(ak_public, successor)


def present_signer(journal: Journal, catalogue: Catalogue) -> Signer:
    """``signer_of`` the log as it is. Raises JournalError."""
    steps = key_steps(journal, catalogue)
    if not steps:
        return Signer()
    head = catalogue.last_signed_head()
    return signer_of(steps, 0 if head is None else head.size)


def key_of_head(journal: Journal, catalogue: Catalogue, signed_note: bytes) -> bytes:
    """TPMT_PUBLIC of the key that signed this head. Raises JournalError ``AK_UNKNOWN``."""
    note = parse_signed_note(signed_note)
    for step in reversed(key_steps(journal, catalogue)):
        ak_public = step.record.ak_public
        if ak_public and note.signature_of(parse_public(ak_public).spki_der()) is not None:
            return ak_public
    raise JournalError(
        "AK_UNKNOWN",
        "a signed head is of no attestation key that the log names",
        remedy="run `swt3-agent fsck`; restore the state directory from a backup",
    )


def succession_to(steps: Sequence[KeyStep], ak_public: bytes) -> list[KeyStep]:
    """The rotations that lead without a break to this key, in order; the first one's predecessor
    is a key that nothing vouches for but an enroller."""
    chain: list[KeyStep] = []
    for step in steps:
        record = step.record
        if record.ak_public is None:
            continue
        chain = [*chain, step] if record.event is KeyEvent.ROTATED else []
        if record.ak_public == ak_public:
            return chain
    return []
