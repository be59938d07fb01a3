"""Which of a TPM's endorsement keys the enroller takes, and on whose word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.enrolment import EnrolmentKey, TpmClaim
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.tcg.make_credential import EndorsementPublic, check_ek
from swt3_agent.tcg.public import parse_key
from swt3_agent.verify.enrolment.authorities import Authorities
from swt3_agent.verify.enrolment.certificate import CertifiedKey, check_certificate

_SOFTWARE_MANUFACTURERS = frozenset({"IBM", "MSFT", "VMW"})
"""TPM_PT_MANUFACTURER of libtpms, Hyper-V and VMware."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the enroller accepts.

    ``authorities`` None: no certificate is asked for. ``allowed`` None: any EK whose certificate
    leads to a root; else SHA-256 digests of SubjectPublicKeyInfo, and of others none. At least one
    of the two is there.
    """

    authorities: Authorities | None
    allowed: frozenset[bytes] | None
    allow_software_tpm: bool = False

    def __post_init__(self) -> None:
        if self.authorities is None and self.allowed is None:
            raise UsageError(
                "ENROL_NO_ANCHOR",
                "nothing says which endorsement keys are trusted",
                remedy="give --roots DIR with the certificates of the TPM's vendor, or the EK's"
                " digest with --ek",
            )


@dataclass(frozen=True, slots=True)
class Endorsement:
    """The EK that is challenged. ``certified`` None: its digest was pinned."""

    template: str
    public: EndorsementPublic
    spki_sha256: bytes
    certified: CertifiedKey | None
    tpm: TpmKind


def choose_ek(
    keys: Sequence[EnrolmentKey], claim: TpmClaim, policy: Policy, now: datetime
) -> Endorsement:
    """The first of ``keys`` that ``policy`` accepts, a certified one before a pinned one.

    Raises FormatError where there is none: why the first key that has a certificate was refused, or
    else the first one: ``EK_NOT_ALLOWED``, ``EK_CERT_ABSENT``, as ``check_certificate`` and
    ``check_ek`` do, ``PUBLIC_*``; and ``EK_SOFTWARE`` for a software TPM that is not allowed.
    """
    accepted: list[Endorsement] = []
    refusals: list[FormatError] = []
    for key in sorted(keys, key=lambda key: key.certificate is None):  # stable: else as given
        try:
            accepted.append(_judged(key, claim, policy, now))
        except FormatError as error:
            refusals.append(error)
    if not accepted:
        raise refusals[0]
    chosen = next((each for each in accepted if each.certified is not None), accepted[0])
    if chosen.tpm is TpmKind.SOFTWARE and not policy.allow_software_tpm:
        raise FormatError(
            "EK_SOFTWARE",
            "this is a software TPM, whose keys root can copy: it is no root of trust",
            remedy="enrol a hardware TPM, or add --allow-software-tpm; every report will say so",
        )
    return chosen


def _judged(key: EnrolmentKey, claim: TpmClaim, policy: Policy, now: datetime) -> Endorsement:
    public = parse_key(key.public)
    check_ek(public)
    digest = sha256(public.spki_der()).digest()
    if policy.allowed is not None and digest not in policy.allowed:
        raise FormatError(
            "EK_NOT_ALLOWED",
            f"the EK sha256:{digest.hex()} ({key.template}) is not among the allowed ones",
            remedy="compare it with what you know of that machine from elsewhere; if it is its"
            " own, name it with --ek",
        )
    certified = None
    if policy.authorities is not None:
        if key.certificate is not None:
            certified = check_certificate(key.certificate, public, policy.authorities, now)
        elif policy.allowed is None:
            raise FormatError(
                "EK_CERT_ABSENT",
                f"the TPM holds no certificate for its EK {key.template}",
                remedy="learn the EK's digest from whoever delivered the machine, and pin it with"
                f" --ek; this one is sha256:{digest.hex()}",
            )
    return Endorsement(key.template, public, digest, certified, _kind(claim, certified))


def _kind(claim: TpmClaim, certified: CertifiedKey | None) -> TpmKind:
    """Software where anybody says so: the node, the TPM itself, or the certificate's issuer."""
    software = claim.kind != "tpm" or claim.manufacturer in _SOFTWARE_MANUFACTURERS
    if certified is not None:
        software = software or certified.is_software
    return TpmKind.SOFTWARE if software else TpmKind.HARDWARE
