"""Endorsement keys, their certificates, and the activation of credentials under them.

TCG EK Credential Profile for TPM Family 2.0: the templates, the NV indices of the certificates
(2.2.1.4), and the policies that ActivateCredential must satisfy (B.6).
"""

import contextlib
from collections.abc import Iterator

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_SE,
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPML_DIGEST,
    TPMT_PUBLIC,
    TPMT_SYM_DEF,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
    TSS2_Exception,
)
from tpm2_pytss.utils import NoSuchIndex, create_ek_template, ek_template

from swt3_agent.errors import TpmError
from swt3_agent.tcg.public import parse_key
from swt3_agent.tcg.reader import sized
from swt3_agent.tcg.x509_reading import der_size
from swt3_agent.tpm.connection import (
    endorsement_owned,
    flush,
    is_auth_failure,
    is_format_one,
    is_no_such_handle,
    is_unwritten,
)
from swt3_agent.tpm.link import Live
from swt3_agent.tpm.messages import EndorsementKey
from swt3_agent.tpm.nv import read_nv, release

_NAMES = {"rsa2048": "EK-RSA2048", "ecc256": "EK-ECC256", "ecc384": "H-3"}
_FAILURE = 0x101  # TPM_RC_FAILURE

# Policies of the profile, B.6.5: A is PolicySecret(endorsement), B is PolicyOR of A and C.
_POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_POLICY_B_SHA384 = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca"
    "cb47ba09699646150f9fc000f3f80e12"
)
_OR_SHA384 = (
    bytes.fromhex(
        "8bbf2266537c171cb56e403c4dc1d4b64f432611dc386e6f532050c3278c930e"
        "143e8bb1133824ccb431053871c6db53"
    ),
    bytes.fromhex(
        "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5"
        "b4947c2d73e63005eed2dc2b3593d165"
    ),
)


def read_endorsement_key(live: Live, template: str) -> list[EndorsementKey]:
    """The EK of this template, in a list; an empty one where the TPM has no such key."""
    with _loaded(live.esapi, template) as found:
        if found is None:
            return []
        _, public, certificate = found
        return [
            EndorsementKey(
                template,
                public,
                certificate,
                None if certificate is None else _certificate_index(template),
            )
        ]


def activate(live: Live, template: str, credential: bytes, secret: bytes) -> bytes:
    """TPM2_ActivateCredential of our key under the EK of this template.

    Raises TpmError: TPM_CREDENTIAL where the TPM does not open it, TPM_NO_EK where it has no EK of
    this template.
    """
    esapi = live.esapi
    with _loaded(esapi, template) as found:
        if found is None:
            raise TpmError(
                "TPM_NO_EK",
                f"this TPM has no endorsement key of template {template}",
                remedy="ask for a challenge to a key that `swt3-agent keys show` lists",
            )
        handle, public, _ = found
        try:
            blob, _ = TPM2B_ID_OBJECT.unmarshal(sized(credential))
            encrypted, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(sized(secret))
        except TSS2_Exception as error:
            raise _not_opened("it is longer than a TPM takes") from error
        with (
            live.session(hide_answer=True) as session,
            _ek_policy(live, public) as policy,
        ):
            try:
                return bytes(
                    esapi.activate_credential(
                        live.key.handle, handle, blob, encrypted, session1=session, session2=policy
                    )
                )
            except TSS2_Exception as error:
                if is_auth_failure(error) or not _is_refusal(esapi, error):
                    raise
                raise _not_opened(f"{error}") from error


@contextlib.contextmanager
def _loaded(esapi: ESAPI, template: str) -> Iterator[tuple[ESYS_TR, bytes, bytes | None] | None]:
    """Handle, TPMT_PUBLIC and certificate of the EK; None where the TPM has none."""
    try:
        certificate, area = create_ek_template(_NAMES[template], lambda index: _nv(esapi, index))
    except ValueError:  # a high-range template, which without a certificate nobody vouches for
        yield None
        return
    try:
        handle, public, *_ = esapi.create_primary(None, area, primary_handle=ESYS_TR.ENDORSEMENT)
    except TSS2_Exception as error:
        if is_auth_failure(error):
            raise endorsement_owned(error) from error
        if certificate is not None or not is_format_one(error):
            raise
        yield None  # the TPM knows no such curve or key size
        return
    try:
        yield handle, TPMT_PUBLIC.marshal(public.publicArea), _cut(certificate)
    finally:
        flush(esapi, handle)


@contextlib.contextmanager
def _ek_policy(live: Live, public: bytes) -> Iterator[ESYS_TR]:
    """A policy session that satisfies the policy of the EK with this public area."""
    esapi, key = live.esapi, parse_key(public)
    high = key.auth_policy == _POLICY_B_SHA384
    if not high and key.auth_policy != _POLICY_A:
        raise TpmError(
            "TPM_EK_POLICY",
            "the endorsement key has a policy that is none of the TCG's",
            remedy="ask for a challenge to another endorsement key of this TPM",
        )
    session = esapi.start_auth_session(
        live.key.parent,
        ESYS_TR.NONE,
        TPM2_SE.POLICY,
        TPMT_SYM_DEF(
            algorithm=TPM2_ALG.AES,
            keyBits=TPMU_SYM_KEY_BITS(aes=128),
            mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB),
        ),
        TPM2_ALG.SHA384 if high else TPM2_ALG.SHA256,
    )
    try:
        esapi.policy_secret(ESYS_TR.ENDORSEMENT, session)
        if high:
            esapi.policy_or(session, TPML_DIGEST([TPM2B_DIGEST(one) for one in _OR_SHA384]))
        yield session
    finally:
        flush(esapi, session)


def _nv(esapi: ESAPI, index: int) -> bytes:
    try:
        handle = esapi.tr_from_tpmpublic(index)
    except TSS2_Exception as error:
        if is_no_such_handle(error):
            raise NoSuchIndex(index) from error
        raise
    try:
        return read_nv(esapi, handle)
    except TSS2_Exception as error:
        if is_unwritten(error):
            raise NoSuchIndex(index) from error
        raise
    finally:
        release(esapi, handle)


def _is_refusal(esapi: ESAPI, error: TSS2_Exception) -> bool:
    """Whether the credential is at fault. libtpms says TPM_RC_FAILURE of an RSA ciphertext that
    does not decrypt, as if it were in failure mode, and answers the next command."""
    if int(error.rc) != _FAILURE:
        return is_format_one(error)
    try:
        esapi.read_clock()
    except TSS2_Exception:
        return False
    return True


def _certificate_index(template: str) -> int:
    return int(ek_template.lookup(_NAMES[template]).cert_index)


def _cut(certificate: bytes | None) -> bytes | None:
    """The certificate without what pads its NV index; as it is where it is no DER sequence."""
    return None if certificate is None else certificate[: der_size(certificate)]


def _not_opened(why: str) -> TpmError:
    return TpmError(
        "TPM_CREDENTIAL",
        f"the TPM does not open the credential: {why}",
        remedy="it was made for another TPM, for another attestation key, or is damaged: make a"
        " new request (`swt3-agent enroll request`) and have it challenged",
    )
