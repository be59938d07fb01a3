"""The attestation key: made by TPM2_Create under a storage primary, never a primary itself.

Whoever has the TPM can recreate a primary under an authValue of his own, with the same Name; a
created key he cannot (docs/formats.md, "What a signed head proves"). The endorsement hierarchy
lets the key see the true reset counts.
"""

from dataclasses import dataclass, field

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

from swt3_agent.errors import FormatError
from swt3_agent.tcg.public import check_ak, parse_public
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.connection import (
    endorsement_owned,
    flush,
    is_auth_failure,
    is_format_one,
    salted_session,
)
from swt3_agent.tpm.key_files import KeyBlob, blob_of

_COMMON = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA  # an unclean stop must not count as a guess at the authValue
)


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """Handles of the storage primary, whose Name is ``parent_name``, and of the key under it;
    ``public`` is a TPMT_PUBLIC."""

    parent: ESYS_TR
    handle: ESYS_TR
    public: bytes
    auth: bytes = field(repr=False)
    parent_name: bytes

    def name(self) -> bytes:
        """Its Name."""
        return parse_public(self.public).name()

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
        private, public = create_under(esapi, parent, auth)
    finally:
        flush(esapi, parent)
    return blob_of(public, private, template, parent_name)


def create_under(esapi: ESAPI, parent: ESYS_TR, auth: bytes) -> tuple[bytes, bytes]:
    """TPM2B_PRIVATE and TPM2B_PUBLIC of a new attestation key under this storage primary."""
    with salted_session(esapi, parent, hide_command=True) as session:  # it carries the authValue
        private, public, *_ = esapi.create(
            parent,
            TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=auth)),
            TPM2B_PUBLIC(
                TPMT_PUBLIC.parse(
                    "ecc:ecdsa-sha256:null",
                    objectAttributes=_COMMON | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.SIGN_ENCRYPT,
                )
            ),
            session1=session,
        )
    return private.marshal(), public.marshal()


def load_key(esapi: ESAPI, blob: KeyBlob, auth: bytes) -> LoadedKey:
    """Load a stored key.

    Raises TpmError TPM_KEY_DAMAGED, TPM_KEY_OTHER_TPM or TPM_KEY_CLEARED where this TPM does not
    take it. That ``auth`` is another one shows when the key is used.
    """
    try:
        public = parse_public(blob.public)
        check_ak(public)
    except FormatError as error:
        raise key_faults.damaged(f"its public area: {error}") from error
    parent, parent_name = _create_parent(esapi, blob.parent_template)
    try:
        _refuse_other_tpm(parent_name, blob)
        handle = load_under(esapi, parent, blob)
        esapi.tr_set_auth(handle, auth)
    except BaseException:
        flush(esapi, parent)
        raise
    return LoadedKey(parent, handle, public.tpmt, auth, parent_name)


def _refuse_other_tpm(parent_name: bytes, blob: KeyBlob) -> None:
    if parent_name != blob.parent_name:
        raise key_faults.other_tpm()


def load_under(esapi: ESAPI, parent: ESYS_TR, blob: KeyBlob) -> ESYS_TR:
    """TPM2_Load. Raises TpmError TPM_KEY_CLEARED where the primary does not open the blob: the
    TPM binds what it wraps to a proof value, which TPM2_Clear changes and which leaves the
    primary itself as it was (TPM 2.0 Part 3, 24.6)."""
    try:
        private, _ = TPM2B_PRIVATE.unmarshal(blob.private)
        public, _ = TPM2B_PUBLIC.unmarshal(blob.public)
        return esapi.load(parent, private, public)
    except TSS2_Exception as error:
        if not is_format_one(error):
            raise
        doubt = "" if blob.digest else ", or its blob is damaged"
        raise key_faults.cleared(f"{doubt}: {error}") from error


def _create_parent(esapi: ESAPI, template: bytes) -> tuple[ESYS_TR, bytes]:
    """The storage primary, which the TPM derives anew from its seed, and its Name."""
    try:
        public, _ = TPM2B_PUBLIC.unmarshal(template)
        handle, *_ = esapi.create_primary(None, public, primary_handle=ESYS_TR.ENDORSEMENT)
    except TSS2_Exception as error:
        if not is_auth_failure(error):
            raise
        raise endorsement_owned(error) from error
    return handle, bytes(esapi.tr_get_name(handle))
