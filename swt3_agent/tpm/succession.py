"""A new attestation key that the present one certifies (docs/formats.md, "Succession").

What is prepared waits beside the key until the log names it; every step can be repeated.
"""

from pathlib import Path

from tpm2_pytss import TPM2_ALG, TPMT_SIG_SCHEME

from swt3_agent.errors import TpmError
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.public import parse_public
from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.attestation_key import create_under, load_under
from swt3_agent.tpm.connection import flush
from swt3_agent.tpm.key_files import (
    NEXT_FORMAT,
    KeyBlob,
    NextKey,
    blob_of,
    find_blob,
    read_next,
    write_next,
)
from swt3_agent.tpm.link import Live
from swt3_agent.tpm.messages import SignedAttest, Successor


def prepare_successor(live: Live, keys_dir: Path, log_id: str) -> Successor:
    """The successor that waits, or a new one that is stored before it is told."""
    stored = read_next(keys_dir)
    present = live.key.name()
    if stored is None or (stored.log_id, stored.certified_by) != (log_id, present):
        blob = _create(live, keys_dir)
        certificate = _certify(live, blob, successor_data(log_id, present))
        stored = NextKey(
            NEXT_FORMAT, blob, log_id, present, certificate.attest, certificate.signature_der
        )
        write_next(keys_dir, stored)
    return Successor(stored.key.tpmt, stored.attest, stored.signature)


def _create(live: Live, keys_dir: Path) -> KeyBlob:
    present = find_blob(keys_dir, live.key.public)
    if present is None:
        raise key_faults.gone(f"no file in {keys_dir} holds it")
    private, public = create_under(live.esapi, live.key.parent, live.key.auth)
    return blob_of(public, private, present.parent_template, present.parent_name)


def _certify(live: Live, successor: KeyBlob, data: bytes) -> SignedAttest:
    """TPM2_Certify of the successor, by which both keys and their authValue are tried too."""
    esapi = live.esapi
    handle = load_under(esapi, live.key.parent, successor)
    try:
        esapi.tr_set_auth(handle, live.key.auth)
        with live.session() as of_successor, live.session() as of_key:
            attested, signature = esapi.certify(
                handle,
                live.key.handle,
                data,
                TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
                session1=of_successor,
                session2=of_key,
            )
        attest = bytes(attested)
        parsed = parse_attest(attest)
        name = parse_public(successor.public).name()
        if parsed.certify is None or parsed.extra_data != data or parsed.certify.name != name:
            raise TpmError(
                "TPM_FAILED",
                "the TPM certified something else than it was asked",
                remedy="trust this TPM with nothing; look for what changes its answers",
            )
        return SignedAttest(attest, tpmt_to_der(signature.marshal()))
    finally:
        flush(esapi, handle)
