"""The trust file: whose word says that this AK speaks for this node, and how far it goes."""

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import CheckpointNote
from swt3_agent.protocol.tpm_clock import lag_ms
from swt3_agent.protocol.trust import Floors, SignedTrust, TrustStatement, parse_trust
from swt3_agent.tcg.attest import Attest
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.quote import VerifiedQuote
from swt3_agent.verify.refusal import refusal


def read_trust(data: bytes) -> SignedTrust:
    """A trust file whose signature verifies under the key it names.

    Raises FormatError as ``parse_trust`` does, but ``TRUST_BODY`` where it is no note at all, and
    ``TRUST_SIGNATURE``.
    """
    try:
        trust = parse_trust(data)
    except FormatError as error:
        if not error.code.startswith("NOTE_"):
            raise
        raise refusal("TRUST_BODY", f"the trust file is not one: {error.message}") from None
    key = Ed25519PublicKey.from_public_bytes(trust.statement.enroller_key)
    try:
        key.verify(trust.signature.signature, trust.body)
    except InvalidSignature:
        raise refusal(
            "TRUST_SIGNATURE",
            f"the signature of {trust.statement.enroller} on the trust file is wrong",
        ) from None
    return trust


def describe(data: bytes, statement: TrustStatement) -> str:
    """Who is trusted, in words a reader can compare with what the enroller told him."""
    key_digest = sha256(statement.enroller_key).hexdigest()
    return (
        f"enroller {statement.enroller}, Ed25519 key sha256:{key_digest},"
        f" trust file sha256:{sha256(data).hexdigest()}{_of_ek(statement)}"
    )


def _of_ek(statement: TrustStatement) -> str:
    """On whose word the enroller took the EK; version 1 does not say."""
    if statement.ek_root_sha256 is not None:
        return f", and the TPM vendor's root certificate sha256:{statement.ek_root_sha256.hex()}"
    if statement.ek_certified is False:
        return ", who pinned the EK by hand"
    return ""


def check_identity(statement: TrustStatement, note: CheckpointNote) -> None:
    """Whether the statement is about this node and log.

    Raises FormatError ``TRUST_NODE`` or ``TRUST_LOG``.
    """
    if statement.node_id != note.node_id:
        raise refusal("TRUST_NODE", f"the trust file is about node {statement.node_id}")
    if statement.log_id != note.log_id:
        raise refusal("TRUST_LOG", f"the trust file is about log {statement.log_id}")


def check_log_pcr(statement: TrustStatement, quote: VerifiedQuote) -> None:
    """Whether the chain of heads is in the enrolled register. Raises ``TRUST_LOG_PCR``."""
    if statement.log_pcr != quote.context.log_pcr:
        raise refusal(
            "TRUST_LOG_PCR",
            f"the chain is in PCR {quote.context.log_pcr}, not in the enrolled {statement.log_pcr}:"
            " a second register can hold a second history",
        )


def check_validity(statement: TrustStatement, utc_ms: int, what: str = "the head") -> None:
    """Whether ``what``, made at ``utc_ms``, falls into the time for which the enroller speaks.

    Raises FormatError ``TRUST_VALIDITY`` or ``TRUST_REVOKED``.
    """
    if not statement.valid_from_ms <= utc_ms < statement.valid_until_ms:
        raise refusal(
            "TRUST_VALIDITY",
            f"{what} of {utc_text(utc_ms)} lies outside the trust file's validity,"
            f" {utc_text(statement.valid_from_ms)} to {utc_text(statement.valid_until_ms)}",
        )
    if statement.revoked_ms is not None and utc_ms >= statement.revoked_ms:
        raise refusal("TRUST_REVOKED", f"the AK was revoked at {utc_text(statement.revoked_ms)}")


def check_floors(floors: Floors, note: CheckpointNote, attest: Attest) -> None:
    """Whether the head is no older than the enrolment.

    Raises FormatError ``FLOOR_SIZE``, ``FLOOR_ROOT``, ``FLOOR_COUNTER``, ``FLOOR_RESETS`` or
    ``FLOOR_CLOCK``. Across a reset the clock may lag.
    """
    if note.size < floors.size:
        raise refusal(
            "FLOOR_SIZE", f"the head covers {note.size} records, the enrolled log {floors.size}"
        )
    if note.size == floors.size and note.root != floors.root:
        raise refusal("FLOOR_ROOT", "the log had another root at this size when it was enrolled")
    if note.counter < floors.counter:
        raise refusal(
            "FLOOR_COUNTER", f"counter {note.counter} is less than the enrolled {floors.counter}"
        )
    check_tpm_floors(floors, attest)


def check_tpm_floors(floors: Floors, attest: Attest) -> None:
    """The part of ``check_floors`` that needs no head.

    Raises FormatError ``FLOOR_RESETS`` or ``FLOOR_CLOCK``.
    """
    if attest.reset_count < floors.resets:
        raise refusal(
            "FLOOR_RESETS",
            f"resetCount {attest.reset_count} is less than the enrolled {floors.resets}",
        )
    if attest.clock_ms + lag_ms(floors.resets, attest.reset_count) < floors.clock_ms:
        raise refusal(
            "FLOOR_CLOCK",
            f"the TPM's clock, {attest.clock_ms} ms, is behind the enrolled {floors.clock_ms}",
        )
