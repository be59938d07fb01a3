"""The enroller's second step: judge the answer, and say what he saw in a trust file."""

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import quoted_pcrs
from swt3_agent.protocol.enrolment import (
    Answer,
    AnswerQuote,
    activation_mac,
    decode_file,
    quote_nonce,
)
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.tcg.attest import Attest, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.verify.enroller import enroller_public_key, sign_trust
from swt3_agent.verify.enrolment.request import CheckedRequest, check_request
from swt3_agent.verify.enrolment.state import PendingState

DAY_MS = 24 * 60 * 60 * 1000
MAX_AGE_MS = 30 * DAY_MS
"""How long a challenge may wait for its answer: a stick may travel, but not for ever."""

_AGAIN = "make a new challenge, and answer that one on the node it was made for"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A node whose AK was shown to live in the TPM of the EK."""

    checked: CheckedRequest
    statement: TrustStatement
    trust: bytes


def accept_answer(
    data: bytes,
    state: PendingState,
    key: Ed25519PrivateKey,
    *,
    name: str,
    valid_days: int,
    now_ms: int,
    allow_software_tpm: bool,
) -> Accepted:
    """The trust file for the node whose answer is ``data``, signed by ``key`` in the name ``name``.

    Valid from the time of the request's head, as the node's clock said, for ``valid_days`` after
    ``now_ms`` (UTC). The caller uses ``state`` up before anybody sees the result.

    Raises FormatError ``ENROL_FORMAT_UNKNOWN``, ``ENROL_FILE``; ``ACTIVATION_OTHER_CHALLENGE``,
    ``ACTIVATION_EXPIRED``, ``ACTIVATION_OTHER_NAME``, ``ACTIVATION_WRONG_SECRET``,
    ``ACTIVATION_QUOTE``, ``ACTIVATION_CLOCK``; ``EK_SOFTWARE``; ``ATTEST_*``, ``SIGNATURE_*``,
    ``PCR_*``; ``TRUST_BODY`` for a name that does not fit one; and as ``check_request``.
    """
    answer = decode_file(data, Answer)
    checked = check_request(state.request, state.time_ms)
    _check_activation(answer, state, checked, now_ms)
    _check_quote(answer, checked)
    tpm = TpmKind(state.tpm)
    if tpm is TpmKind.SOFTWARE and not allow_software_tpm:
        raise FormatError(
            "EK_SOFTWARE",
            "this is a software TPM, whose keys root can copy: it is no root of trust",
            remedy="add --allow-software-tpm if that suffices; the trust file says so",
        )
    counter = checked.counter
    statement = TrustStatement(
        enroller=name,
        enroller_key=enroller_public_key(key),
        node_id=checked.request.node_id,
        log_id=checked.request.log_id,
        ak_public=checked.ak.tpmt,
        tpm=tpm,
        log_pcr=checked.request.head.log_pcr,
        valid_from_ms=min(checked.note.utc_ms, now_ms),
        valid_until_ms=now_ms + valid_days * DAY_MS,
        ek_sha256=bytes.fromhex(state.ek),
        floors=checked.floors(),
        ek_certified=state.ek_root is not None,
        ek_root_sha256=None if state.ek_root is None else bytes.fromhex(state.ek_root),
        counter_index=None if counter is None else counter.index,
        counter_name=None if counter is None else counter.name(),
    )
    return Accepted(checked, statement, sign_trust(statement.body(), key))


def _check_activation(
    answer: Answer, state: PendingState, checked: CheckedRequest, now_ms: int
) -> None:
    if (answer.challenge, answer.request) != (state.challenge, checked.digest):
        raise _refusal("ACTIVATION_OTHER_CHALLENGE", "it answers another challenge or request")
    if now_ms - state.time_ms > MAX_AGE_MS:
        raise _refusal(
            "ACTIVATION_EXPIRED",
            f"the challenge is {(now_ms - state.time_ms) // DAY_MS} days old,"
            f" and {MAX_AGE_MS // DAY_MS} is the most",
        )
    if answer.ak_name != checked.ak.name().hex():
        raise _refusal("ACTIVATION_OTHER_NAME", "it names another AK than the request")
    expected = activation_mac(state.secret, checked.digest, state.challenge)
    if not hmac.compare_digest(answer.activation, expected):
        raise _refusal(
            "ACTIVATION_WRONG_SECRET",
            "its sender did not open the secret: the AK is not in the TPM of that EK",
        )


def _check_quote(answer: Answer, checked: CheckedRequest) -> None:
    """The AK signed after the secret was opened, in the TPM and at no earlier time than before."""
    if not has_signed(checked.ak, answer.quote.attest, answer.quote.signature):
        raise _refusal("ACTIVATION_QUOTE", "the AK did not sign its quote")
    attest = parse_attest(answer.quote.attest)
    if attest.extra_data != quote_nonce(answer.challenge, answer.activation):
        raise _refusal("ACTIVATION_QUOTE", "its quote was made for another challenge")
    _check_registers(attest, answer.quote, checked.request.head.log_pcr)
    before = checked.attest
    if attest.reset_count < before.reset_count or (
        attest.reset_count == before.reset_count and attest.clock_ms < before.clock_ms
    ):
        raise _refusal(
            "ACTIVATION_CLOCK", "the TPM's clock and resets are behind those of the request"
        )


def _check_registers(attest: Attest, quote: AnswerQuote, log_pcr: int) -> None:
    selection = sha256_selection(quoted_pcrs(log_pcr))
    if attest.quote is None or attest.quote.selection != selection:
        raise _refusal("ACTIVATION_QUOTE", "it quotes other registers than a checkpoint does")
    if composite_digest(pcrs_from(quote.pcrs), selection) != attest.quote.digest:
        raise _refusal("ACTIVATION_QUOTE", "its register values are not those that were quoted")


def _refusal(code: str, message: str) -> FormatError:
    return FormatError(code, f"the answer is not accepted: {message}", remedy=_AGAIN)
