"""The attestation key: made by TPM2_Create under a storage primary, never a primary itself.

Whoever has the TPM can recreate a primary under an authValue of his own, with the same Name; a
created key he cannot (docs/formats.md, "What a signed head proves"). The endorsement hierarchy
lets the key see the true reset counts.
"""

from dataclasses import dataclass

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMS_SENSITIVE_CREATE,
    TPMT_PUBLIC,
    TSS2_Exception,
)

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.tcg.public import check_ak, parse_public
from swt3_agent.tpm.connection import flush, is_auth_failure, is_format_one, salted_session
from swt3_agent.tpm.key_files import BLOB_FORMAT, KeyBlob, unusable

_COMMON = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA  # an unclean stop must not count as a guess at the authValue
)


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """Handles of the storage primary and of the key under it; ``public`` is a TPMT_PUBLIC."""

    parent: ESYS_TR
    handle: ESYS_TR
    public: bytes

    def flush(self, esapi: ESAPI) -> None:
        """Leave nothing of it in the TPM."""
        flush(esapi, self.handle)
        flush(esapi, self.parent)


def create_key(esapi: ESAPI, auth: bytes) -> KeyBlob:
    """A new attestation key with ``auth`` for its authValue; nothing stays in the TPM."""
    template = TPM2B_PUBLIC(
        TPMT_PUBLIC.parse(
            "ecc256:null:aes128cfb",
            objectAttributes=_COMMON | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT,
        )
    ).marshal()
    parent, parent_name = _create_parent(esapi, template)
    try:
        with salted_session(esapi, parent, encrypt=True) as session:  # it carries the authValue
            private, public, *_ = esapi.create(
                parent,
                TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=auth)),
                TPM2B_PUBLIC(
                    TPMT_PUBLIC.parse(
                        "ecc:ecdsa-sha256:null",
                        objectAttributes=_COMMON
                        | TPMA_OBJECT.RESTRICTED
                        | TPMA_OBJECT.SIGN_ENCRYPT,
                    )
                ),
                session1=session,
            )
    finally:
        flush(esapi, parent)
    return KeyBlob(
        format=BLOB_FORMAT,
        public=public.marshal(),
        private=private.marshal(),
        parent_template=template,
        parent_name=parent_name,
    )


def load_key(esapi: ESAPI, blob: KeyBlob, auth: bytes) -> LoadedKey:
    """Load a stored key. Raises TpmError TPM_KEY_UNUSABLE when this TPM did not make it."""
    try:
        public = parse_public(blob.public)
        check_ak(public)
    except FormatError as error:
        raise unusable(f"the stored public area is bad: {error}") from error
    parent, parent_name = _create_parent(esapi, blob.parent_template)
    if parent_name != blob.parent_name:
        flush(esapi, parent)
        raise unusable("another TPM made it, or this TPM was cleared since")
    try:
        handle = _load(esapi, parent, blob)
        esapi.tr_set_auth(handle, auth)
    except BaseException:
        flush(esapi, parent)
        raise
    return LoadedKey(parent, handle, public.tpmt)


def _create_parent(esapi: ESAPI, template: bytes) -> tuple[ESYS_TR, bytes]:
    """The storage primary, which the TPM derives anew from its seed, and its Name."""
    try:
        public, _ = TPM2B_PUBLIC.unmarshal(template)
        handle, *_ = esapi.create_primary(None, public, primary_handle=ESYS_TR.ENDORSEMENT)
    except TSS2_Exception as error:
        if not is_auth_failure(error):
            raise
        raise TpmError(
            "TPM_DENIED",
            f"the endorsement hierarchy of the TPM has an authorization of its own: {error}",
            remedy="take it off (`tpm2_changeauth -c endorsement -p OLD`), or clear the TPM",
        ) from error
    return handle, bytes(esapi.tr_get_name(handle))


def _load(esapi: ESAPI, parent: ESYS_TR, blob: KeyBlob) -> ESYS_TR:
    try:
        private, _ = TPM2B_PRIVATE.unmarshal(blob.private)
        public, _ = TPM2B_PUBLIC.unmarshal(blob.public)
        return esapi.load(parent, private, public)
    except TSS2_Exception as error:
        if not is_format_one(error):
            raise
        raise unusable(f"the TPM does not load it: {error}") from error
