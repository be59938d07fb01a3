"""What a proof does not prove, said with every report (docs/formats.md, "What is not proven")."""

from collections.abc import Iterator, Mapping

from swt3_agent.protocol.checkpoint import CheckpointNote
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.proof import Proof
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.tcg.attest import Attest
from swt3_agent.verify.content import payload_json, provenance_json
from swt3_agent.verify.earlier import Interval
from swt3_agent.verify.moments import utc_text

_WORD_OF = {
    RootOfTrust.TPM.value: "the content rests on a quote that this proof does not repeat",
    RootOfTrust.SOFTWARE_TPM.value: "the content rests on a software TPM",
    RootOfTrust.GPU_SIGNED.value: "the content rests on a GPU's signature, not repeated here",
    RootOfTrust.DRIVER_REPORTED.value: "the content is what a driver said: no TPM attested it",
    RootOfTrust.FILE_CONTENT.value: "the content is what a file held when the agent read it",
    RootOfTrust.SELF_REPORTED.value: "the content is the word of who reported it",
}


def limits(
    proof: Proof,
    note: CheckpointNote,
    attest: Attest | None,
    statement: TrustStatement | None,
    interval: Interval,
) -> Iterator[str]:
    """Sentences on what a reader must not conclude from this proof."""
    yield "That the record is true: root could lie to the agent before it was recorded."
    yield from _about_content(provenance_json(proof), payload_json(proof))
    yield "What kind of record it is and when it came: a leaf covers neither."
    yield (
        f"That it was {utc_text(note.utc_ms)} when the head was made: that is the node's own clock."
        " The record is older than the head."
    )
    yield from _about_interval(interval)
    yield from _about_head(note, attest)
    if attest is None:
        yield "Who made this log: nobody signed its head."
    else:
        yield from _about_signer(statement)


def _about_interval(interval: Interval) -> Iterator[str]:
    if interval.not_before_ms is not None:
        yield (
            "That what the record tells happened after the earlier head: only the record came into"
            " the log after it."
        )
    if interval.step_ms:
        yield (
            f"That the node's clock can be believed between the two heads: it was set by"
            f" {interval.step_ms} ms against the TPM's."
        )


def _about_content(provenance: Mapping[str, object] | None, payload: object) -> Iterator[str]:
    if provenance is None:
        yield (
            "Who sent the record, and whether the agent made, relayed or refused it:"
            " its provenance is withheld."
        )
        return
    if "code" in provenance:
        yield "That the record was accepted: the agent refused it and kept it as it came."
    if provenance.get("listener") != "agent":
        yield "What the record says of the world: it is the word of the process that sent it."
        return
    named = provenance.get("root_of_trust")
    if named is None and isinstance(payload, dict):
        named = payload.get("root_of_trust")
    if isinstance(named, str) and named in _WORD_OF:
        yield f"What the record says of the world: {_WORD_OF[named]}."


def _about_head(note: CheckpointNote, attest: Attest | None) -> Iterator[str]:
    if note.counter == 0:
        yield (
            "That the log is complete: no counter was kept (ctr=0), so records after the last"
            " head before a reset may have been dropped."
        )
    else:
        yield (
            f"That counter {note.counter} is the TPM's: the certificates for it are not in a proof"
            " of one record."
        )
    yield (
        "That there is no other head: one proof shows one head; a second history shows only when"
        " all heads of the boot are replayed."
    )
    if attest is not None:
        yield "That the boot state is good: PCR values were quoted, not compared with references."
        if not attest.safe:
            yield "That the TPM's clock never fell back: it was last stopped uncleanly (safe=0)."


def _about_signer(statement: TrustStatement | None) -> Iterator[str]:
    if statement is None:
        yield "That the key belongs to a TPM, or to this node: nobody vouches for it here."
        return
    yield from about_enroller(statement)
    if statement.revoked_ms is not None:
        yield "That the head is older than the revocation of its key: the node's own clock says so."
    if statement.floors is not None:
        yield "That the log grew out of the enrolled one: that takes a consistency proof."


def about_enroller(statement: TrustStatement) -> Iterator[str]:
    """What the enroller's word does not say, whatever was signed."""
    yield (
        f"That the enroller's key is {statement.enroller}'s: compare its digest with what"
        " the enroller told you himself."
    )
    if statement.tpm is TpmKind.SOFTWARE:
        yield (
            "That nobody else signs with this key: the enroller saw a software TPM, whose keys root"
            " can copy."
        )
    if statement.ek_certified is False:
        yield (
            "That a vendor made this TPM: the enroller pinned its endorsement key by digest, and"
            " no certificate was checked."
        )
