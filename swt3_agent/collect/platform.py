"""PlatformCollector: the boot state as the TPM quotes it, verified before it is claimed.

The TPM has one owner elsewhere; it is asked here through :class:`QuoteSource`.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.evidence import (
    Evidence,
    Lack,
    Reading,
    Reason,
    RootOfTrust,
    Unavailable,
)
from swt3_agent.tcg.attest import Attest, AttestType, QuoteInfo, parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import check_ak, parse_public

NONCE_SIZE = 20  # never 32: that length belongs to checkpoints (docs/formats.md)
_ATTEMPTS = 3  # an active IMA extends PCR 10 between the quote and the reading of the registers


class Identity(Protocol):
    """What the TPM says it is."""

    @property
    def kind(self) -> RootOfTrust: ...
    @property
    def manufacturer(self) -> str: ...
    @property
    def firmware(self) -> str: ...


class Quote(Protocol):
    """A quote over registers of the SHA-256 bank, and what is needed to verify it."""

    @property
    def attest(self) -> bytes: ...
    @property
    def signature_der(self) -> bytes: ...
    @property
    def pcrs(self) -> Mapping[int, bytes]: ...
    @property
    def ak_public(self) -> bytes: ...


class QuoteSource(Protocol):
    """The owner of the TPM. Both raise ``TpmError``."""

    def open(self) -> Identity:
        """Reach the TPM, unless it is reached already, and say which one it is."""

    def challenge(self, nonce: bytes) -> Quote:
        """Quote with ``nonce``, 8 to 31 bytes, as qualifying data."""


class PlatformCollector:
    """Claims: ``quote`` (verified, pcrs, pcr_count, reset_count, restart_count, clock_ms, safe,
    firmware, ak_name, digest), ``kind``, ``manufacturer``, ``firmware``, ``reference`` (null: no
    reference values are enrolled), ``mismatches`` and ``boot_faults`` (why the registers do not
    tell of this boot).
    """

    name = "platform"

    def __init__(
        self,
        source: QuoteSource | None,
        *,
        interval_s: float = 300.0,
        timeout_s: float = 130.0,
        boot_faults: Callable[[], Sequence[Reason]] = tuple,
    ) -> None:
        """``source`` None: the node has no TPM. ``boot_faults``: what heads found of this boot.

        The source bounds its own calls: ``timeout_s`` must leave room for two of them, each with
        the wait for its turn.
        """
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self._source = source
        self._boot_faults = boot_faults

    def collect(self) -> Reading:
        """Take one quote over a fresh nonce and verify it here."""
        if self._source is None:
            return Unavailable(
                self.name,
                Lack.ABSENT,
                "TPM_ABSENT",
                "this node has no TPM that the agent was given",
                "enable the TPM in the firmware settings, or name its device in the configuration",
            )
        try:
            identity = self._source.open()
            return _evidence(identity, _verified_quote(self._source), self._boot_faults())
        except TpmError as error:
            return _unavailable(_LACKS.get(error.code, Lack.FAILED), error)
        except FormatError as error:
            return _unavailable(Lack.FAILED, error)


_LACKS = {"TPM_ABSENT": Lack.ABSENT, "TPM_DENIED": Lack.DENIED, "TPM_BUSY": Lack.BUSY}


def _unavailable(lack: Lack, error: TpmError | FormatError) -> Unavailable:
    return Unavailable(PlatformCollector.name, lack, error.code, error.message, error.remedy)


def _verified_quote(source: QuoteSource) -> dict[str, object]:
    """A quote that holds, as claims. Raises ``FormatError`` with what does not hold."""
    for attempt in range(_ATTEMPTS):
        nonce = secrets.token_bytes(NONCE_SIZE)
        try:
            return verify_quote(source.challenge(nonce), nonce)
        except FormatError as error:
            if error.code != "QUOTE_PCR_DIGEST" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def verify_quote(quote: Quote, nonce: bytes) -> dict[str, object]:
    """Verify ``quote`` as the answer to ``nonce`` and give it as claims.

    Raises ``FormatError``: the codes of ``parse_attest``, ``parse_public``, ``check_ak`` and
    ``has_signed``, and QUOTE_SIGNATURE, QUOTE_TYPE, QUOTE_NONCE, QUOTE_SELECTION,
    QUOTE_PCR_DIGEST.
    """
    public = parse_public(quote.ak_public)
    check_ak(public)
    if not has_signed(public, quote.attest, quote.signature_der):
        raise _broken("QUOTE_SIGNATURE", "its signature is not the attestation key's")
    attest = parse_attest(quote.attest)
    info = _check_answers(attest, nonce)
    if info.selection != sha256_selection(quote.pcrs):
        raise _broken("QUOTE_SELECTION", "it covers other registers than were asked for")
    if info.digest != composite_digest(quote.pcrs, info.selection):
        raise _broken("QUOTE_PCR_DIGEST", "the register values are not those that were quoted")
    return {
        "verified": True,
        "pcrs": {str(index): quote.pcrs[index].hex() for index in sorted(quote.pcrs)},
        "pcr_count": len(quote.pcrs),
        "reset_count": attest.reset_count,
        "restart_count": attest.restart_count,
        "clock_ms": attest.clock_ms,
        "safe": attest.safe,
        "firmware": f"{attest.firmware:016x}",
        "ak_name": public.name().hex(),
        "digest": info.digest.hex(),
    }


def _check_answers(attest: Attest, nonce: bytes) -> QuoteInfo:
    if attest.type is not AttestType.QUOTE or attest.quote is None:
        raise _broken("QUOTE_TYPE", "the TPM attested something other than registers")
    if attest.extra_data != nonce:
        raise _broken("QUOTE_NONCE", "it answers another challenge than ours")
    return attest.quote


def _evidence(
    identity: Identity, quote: dict[str, object], boot_faults: Sequence[Reason]
) -> Evidence:
    claims: dict[str, object] = {
        "quote": quote,
        "kind": identity.kind.value,
        "manufacturer": identity.manufacturer,
        "firmware": identity.firmware,
        "reference": None,
        "mismatches": [],
        "boot_faults": [
            {"code": fault.code, "detail": fault.detail, "remedy": fault.remedy}
            for fault in boot_faults
        ],
    }
    return Evidence(PlatformCollector.name, identity.kind, claims)


def _broken(code: str, message: str) -> FormatError:
    return FormatError(
        code,
        f"the TPM's quote does not verify: {message}",
        remedy="Take another; if it stays so, treat this node's TPM or its path as compromised.",
    )
