"""Signatures over messages: the TPM hashes them itself, and vouches with a ticket that they do not
begin like one of its own attestations. Only so does a restricted key sign a digest (TPM 2.0
Part 1, 'Restricted signing'; Part 3, 15.4 and 20.2)."""

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2B_DIGEST,
    TPMT_SIG_SCHEME,
    TPMT_TK_HASHCHECK,
    TSS2_Exception,
)

from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.connection import flush, is_auth_failure
from swt3_agent.tpm.link import Live

HASH_SIZE = 1024  # every TPM takes that much at a time: TPM2B_MAX_BUFFER, Part 2, 10.4.8


def sign(live: Live, message: bytes) -> bytes:
    """DER ECDSA over SHA-256(message). Raises TpmError TPM_KEY_AUTH_LOST."""
    digest, ticket = _hash(live, message)
    with live.session() as session:
        try:
            signature = live.esapi.sign(
                live.key.handle,
                digest,
                TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
                ticket,
                session1=session,
            )
        except TSS2_Exception as error:
            if is_auth_failure(error):
                raise key_faults.auth_lost("its authValue is another one") from error
            raise
    return tpmt_to_der(signature.marshal())


def _hash(live: Live, message: bytes) -> tuple[TPM2B_DIGEST, TPMT_TK_HASHCHECK]:
    esapi = live.esapi
    if len(message) <= HASH_SIZE:
        digest, ticket = esapi.hash(message, TPM2_ALG.SHA256, ESYS_TR.ENDORSEMENT)
        return digest, ticket
    sequence = esapi.hash_sequence_start(None, TPM2_ALG.SHA256)
    try:
        last = (len(message) - 1) // HASH_SIZE * HASH_SIZE
        for start in range(0, last, HASH_SIZE):
            esapi.sequence_update(sequence, message[start : start + HASH_SIZE])
        digest, ticket = esapi.sequence_complete(sequence, message[last:], ESYS_TR.ENDORSEMENT)
    except BaseException:
        flush(esapi, sequence)
        raise
    return digest, ticket
