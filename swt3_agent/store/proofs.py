"""Building proofs: one record, its path to a head, and that head (docs/formats.md, "Proof")."""

import msgspec

from swt3_agent.errors import JournalError
from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.checkpoint import extended
from swt3_agent.protocol.log_tree import leaf_hash, salted_digest
from swt3_agent.protocol.note import encode_base64
from swt3_agent.protocol.proof import (
    PreviousHead,
    Proof,
    ProvenRecord,
    QuoteContext,
    Salted,
)
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.head_records import HeadQuote, HeadRecord, read_head
from swt3_agent.store.journal import Journal
from swt3_agent.store.key_history import key_of_head, key_steps, succession_to


class _Tenant(msgspec.Struct):
    tenant: str | None = None


def build_proof(
    journal: Journal,
    catalogue: Catalogue,
    seq: int,
    *,
    hide_provenance: bool = False,
    with_previous: bool = False,
) -> Proof:
    """Prove record ``seq`` by the newest signed head that covers it, else by an unsigned one.

    ``hide_provenance`` proves the payload without showing who sent it; only the tenant is told,
    without which nobody could check a fingerprint. ``with_previous`` shows the newest signed head
    before the record too, where there is one.

    Raises JournalError: ``NO_SUCH_RECORD``, ``NO_HEAD`` (no head covers it yet), ``AK_UNKNOWN``,
    and what reading the journal raises.
    """
    record = journal.read(seq)
    head = _covering_head(journal, catalogue, seq)
    salt_p, salt_v = journal.leaf_salts(seq)
    tenant = None
    provenance: Salted | bytes = Salted(salt_v, record.provenance)
    if hide_provenance:
        provenance = salted_digest(salt_v, record.provenance)
        tenant = msgspec.json.decode(record.provenance, type=_Tenant).tenant
    quote = None if head.quote is None else _quote_context(journal, catalogue, head, head.quote)
    previous = None
    if with_previous and quote is not None:
        previous = _previous_head(journal, catalogue, seq, head.note.size)
    return Proof(
        node_id=head.note.node_id,
        log_id=head.note.log_id,
        record=ProvenRecord(
            seq=seq,
            leaf=leaf_hash(seq, salt_p, record.payload, salt_v, record.provenance),
            payload=Salted(salt_p, record.payload),
            provenance=provenance,
        ),
        inclusion=tuple(journal.inclusion(seq, head.note.size)),
        note=head.checkpoint,
        quote=quote,
        tenant=tenant,
        previous=previous,
        successions=() if quote is None else successions_to(journal, catalogue, quote.ak_public),
    )


def _previous_head(
    journal: Journal, catalogue: Catalogue, seq: int, size: int
) -> PreviousHead | None:
    """The newest signed head that does not cover ``seq``, and how its log grew to ``size``."""
    entry = catalogue.last_signed_head(of_at_most=seq)
    if entry is None or entry.size == 0:
        return None
    head = read_head(journal, entry)
    assert head.quote is not None  # noqa: S101  it was looked for
    return PreviousHead(
        note=head.checkpoint,
        quote=_quote_context(journal, catalogue, head, head.quote),
        consistency=tuple(journal.consistency(entry.size, size)),
    )


def successions_to(
    journal: Journal, catalogue: Catalogue, ak_public: bytes
) -> tuple[SuccessionInfo, ...]:
    """How this key came to sign, where it followed others. Raises JournalError."""
    steps = [step.record for step in succession_to(key_steps(journal, catalogue), ak_public)]
    return tuple(
        SuccessionInfo(
            ak_public=encode_base64(record.ak_public),
            attest=encode_base64(record.certification.attest),
            signature=encode_base64(record.certification.signature_der),
        )
        for record in steps
        if record.ak_public is not None and record.certification is not None
    )


def _covering_head(journal: Journal, catalogue: Catalogue, seq: int) -> HeadRecord:
    signed = catalogue.last_signed_head()
    for entry in (signed, *catalogue.heads(newest=1)):
        if entry is not None and entry.size > seq:
            return read_head(journal, entry)
    raise JournalError(
        "NO_HEAD",
        f"no head covers record {seq} yet",
        remedy="wait for the next checkpoint, or ask the running agent with `swt3-agent prove`",
    )


def _quote_context(
    journal: Journal, catalogue: Catalogue, head: HeadRecord, quote: HeadQuote
) -> QuoteContext:
    after = extended(quote.before, head.note.body())
    log_pcr = next((index for index, value in quote.pcrs.items() if value == after), None)
    if log_pcr is None:
        raise JournalError(
            "HEAD_UNREADABLE",
            f"no PCR in the quote at record {head.quote_seq} holds the head that it signs",
            remedy="run `swt3-agent fsck`",
        )
    return QuoteContext(
        ak_public=key_of_head(journal, catalogue, quote.signed_note),
        log_pcr=log_pcr,
        before=quote.before,
        pcrs=dict(quote.pcrs),
    )
