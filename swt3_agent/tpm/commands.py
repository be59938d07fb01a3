"""The TPM commands that the agent uses, checked against what was asked.

They act on a live connection and raise the bindings' TSS2_Exception when it fails.
"""

from typing import NamedTuple

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPML_DIGEST_VALUES,
    TPMT_HA,
    TPMU_HA,
    TSS2_Exception,
)

from swt3_agent.errors import TpmError
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.pcr import PcrSelection, composite_digest, read_selection, sha256_selection
from swt3_agent.tcg.reader import Reader
from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.attestation_key import LoadedKey
from swt3_agent.tpm.connection import is_auth_failure
from swt3_agent.tpm.messages import ClockInfo

QUOTE_ATTEMPTS = 5
"""A quote and a read are not atomic, and software may extend a quoted register at any time."""


class Quote(NamedTuple):
    """A quote and the PCR values that its digest was checked against."""

    attest: bytes
    signature_tpmt: bytes
    signature_der: bytes
    pcrs: dict[int, bytes]


def read_pcrs(esapi: ESAPI, indices: tuple[int, ...]) -> dict[int, bytes]:
    """Values of registers of the SHA-256 bank, TPM_BANK where the bank has one of them not.

    A TPM gives eight values at most at a time, so that more are not of one moment.
    """
    values: dict[int, bytes] = {}
    while missing := [index for index in indices if index not in values]:
        _, selection_out, digests = esapi.pcr_read(_spell(missing))
        reader = Reader(selection_out.marshal(), "PCR")
        selected = [index for _, index in read_selection(reader)]
        contents = Reader(digests.marshal(), "PCR")
        count = contents.u32("count")
        if not selected or count != len(selected):
            raise _no_bank(missing)
        for index in selected:
            values[index] = contents.sized(64, "digest")
    return values


def extend_pcr(esapi: ESAPI, session: ESYS_TR, index: int, digest: bytes) -> None:
    """TPM2_PCR_Extend of the SHA-256 bank alone."""
    value = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=digest))
    esapi.pcr_extend(ESYS_TR(index), TPML_DIGEST_VALUES([value]), session1=session)


def quote(
    esapi: ESAPI, session: ESYS_TR, key: LoadedKey, indices: tuple[int, ...], nonce: bytes
) -> Quote:
    """TPM2_Quote over ``nonce``, together with the values that were quoted.

    Raises TpmError: TPM_BANK when the TPM quoted other registers than asked, as it does without a
    word for a bank that is not allocated; TPM_KEY_AUTH_LOST for a wrong authValue; TPM_BUSY when
    the registers never stand still.
    """
    selection = sha256_selection(indices)
    for _ in range(QUOTE_ATTEMPTS):
        try:
            attested, signature = esapi.quote(key.handle, _spell(indices), nonce, session1=session)
        except TSS2_Exception as error:
            if is_auth_failure(error):
                raise key_faults.auth_lost("its authValue is another one") from error
            raise
        attest, signature_tpmt = bytes(attested), signature.marshal()
        digest = _quoted_digest(attest, selection, nonce)
        pcrs = read_pcrs(esapi, indices)
        if composite_digest(pcrs, selection) == digest:
            return Quote(attest, signature_tpmt, tpmt_to_der(signature_tpmt), pcrs)
    raise TpmError(
        "TPM_BUSY",
        f"the PCRs changed under {QUOTE_ATTEMPTS} quotes in a row",
        remedy="find what extends the quoted PCRs all the time, or quote fewer",
    )


def _quoted_digest(attest: bytes, selection: PcrSelection, nonce: bytes) -> bytes:
    parsed = parse_attest(attest)
    if parsed.quote is None or parsed.extra_data != nonce:
        raise TpmError(
            "TPM_FAILED",
            "the TPM quoted something else than it was asked",
            remedy="trust this TPM with nothing; look for what changes its answers",
        )
    if parsed.quote.selection != selection:
        raise _no_bank([index for _, index in selection])
    return parsed.quote.digest


def read_clock(esapi: ESAPI) -> ClockInfo:
    """TPM2_ReadClock."""
    reader = Reader(esapi.read_clock().marshal(), "CLOCK")
    return ClockInfo(
        time_ms=reader.u64("time"),
        clock_ms=reader.u64("clock"),
        reset_count=reader.u32("resetCount"),
        restart_count=reader.u32("restartCount"),
        safe=reader.yes_no("safe"),
    )


def _spell(indices: tuple[int, ...] | list[int]) -> str:
    return "sha256:" + ",".join(map(str, indices))


def _no_bank(indices: list[int]) -> TpmError:
    return TpmError(
        "TPM_BANK",
        f"the TPM keeps no SHA-256 bank for PCRs {indices}",
        remedy="allocate it (`tpm2_pcrallocate sha256:all`) or in the firmware setup, and reboot",
    )
