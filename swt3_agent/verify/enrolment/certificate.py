"""An EK certificate: what a TPM's vendor says of a key (TCG EK Credential Profile)."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from swt3_agent.errors import FormatError
from swt3_agent.tcg.make_credential import EndorsementPublic
from swt3_agent.tcg.x509_reading import der_size, name_text, refusing_damage, spki_of
from swt3_agent.verify.enrolment.authorities import Authorities
from swt3_agent.verify.enrolment.chain import EK_CERTIFICATE, Chain, find_chain, issuer_urls

_MANUFACTURER = x509.ObjectIdentifier("2.23.133.2.1")  # tcg-at-tpmManufacturer
_MODEL = x509.ObjectIdentifier("2.23.133.2.2")  # tcg-at-tpmModel
_SOFTWARE_MANUFACTURERS = frozenset({"ID:00001014", "ID:49424D00", "ID:4D534654", "ID:564D5700"})
"""Who makes no TPMs but software ones: libtpms (swtpm's number, and IBM's), Microsoft, VMware."""
_SOFTWARE_MODELS = ("swtpm", "vtpm")  # vTPM: Google's guests; Google makes chips too

_REMEDY = "take the certificate from the TPM again, or pin the EK with --ek and without --roots"


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """What a chain of certificates says of an EK. ``root_sha256`` is over the root's DER;
    ``manufacturer`` and ``model`` are the certificate's words, empty where it says nothing."""

    root_sha256: bytes
    root: str
    manufacturer: str
    model: str

    @property
    def is_software(self) -> bool:
        """Whether the certificate itself, or the root's name, says that the TPM is software."""
        return (
            self.manufacturer.upper() in _SOFTWARE_MANUFACTURERS
            or any(word in self.model.lower() for word in _SOFTWARE_MODELS)
            or "swtpm" in self.root.lower()
        )


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What an EK certificate says, unjudged: who issued it, where it says that his own certificate
    is to be had, until when it holds, and for which TPM."""

    issuer: str
    issuer_urls: tuple[str, ...]
    not_after: datetime
    manufacturer: str
    model: str


def certificate_facts(der: bytes) -> CertificateFacts:
    """Raises FormatError ``EK_CERT_MALFORMED``."""
    with refusing_damage("EK_CERT_MALFORMED", "the EK certificate", _REMEDY):
        certificate = x509.load_der_x509_certificate(der)
        return CertificateFacts(
            issuer=name_text(certificate.issuer),
            issuer_urls=tuple(issuer_urls(certificate)),
            not_after=certificate.not_valid_after_utc,
            manufacturer=_stated(certificate, _MANUFACTURER),
            model=_stated(certificate, _MODEL),
        )


def check_certificate(
    der: bytes, ek: EndorsementPublic, authorities: Authorities, now: datetime
) -> CertifiedKey:
    """Whether a root among ``authorities`` vouches, at ``now``, that ``ek`` is a TPM's EK.

    Raises FormatError ``EK_CERT_MALFORMED``, ``EK_CERT_PADDED``, ``EK_CERT_KEY_MISMATCH``,
    ``EK_CERT_EKU``, ``EK_CERT_USAGE``, and as ``find_chain``.
    """
    size = der_size(der)
    if size is not None and size < len(der):
        raise FormatError(
            "EK_CERT_PADDED",
            f"{len(der) - size} bytes follow the EK certificate",
            remedy="cut it where its DER ends: what an NV index holds beyond that is padding",
        )
    with refusing_damage("EK_CERT_MALFORMED", "the EK certificate", _REMEDY):
        certificate = x509.load_der_x509_certificate(der)
        if spki_of(certificate) != ek.spki_der():
            raise FormatError(
                "EK_CERT_KEY_MISMATCH",
                "the EK certificate is for another key than the EK",
                remedy="look how that certificate came into this TPM: it is another one's",
            )
        _check_usage(certificate)
        chain = find_chain(certificate, authorities, now)
        return _certified(certificate, chain)


def _check_usage(certificate: x509.Certificate) -> None:
    extensions = {extension.oid: extension.value for extension in certificate.extensions}
    purposes = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if not isinstance(purposes, x509.ExtendedKeyUsage) or EK_CERTIFICATE not in purposes:
        raise FormatError(
            "EK_CERT_EKU",
            "the certificate does not say that its key is a TPM's EK"
            f" ({EK_CERTIFICATE.dotted_string})",
            remedy=_REMEDY,
        )
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    if isinstance(usage, x509.KeyUsage) and not (usage.key_encipherment or usage.key_agreement):
        raise FormatError(
            "EK_CERT_USAGE", "the certificate is not for a key that decrypts", remedy=_REMEDY
        )
    constraints = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        raise FormatError(
            "EK_CERT_USAGE", "the certificate is an authority's, not an EK's", remedy=_REMEDY
        )


def _certified(certificate: x509.Certificate, chain: Chain) -> CertifiedKey:
    root = chain.root.certificate
    return CertifiedKey(
        root_sha256=sha256(root.public_bytes(Encoding.DER)).digest(),
        root=name_text(root.subject),
        manufacturer=_stated(certificate, _MANUFACTURER),
        model=_stated(certificate, _MODEL),
    )


def _stated(certificate: x509.Certificate, attribute: x509.ObjectIdentifier) -> str:
    """An attribute of the TPM: in a directory name of subjectAltName, or of old in the subject."""
    names = [certificate.subject]
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = extension.value.get_values_for_type(x509.DirectoryName) + names
    for name in names:
        for found in name.get_attributes_for_oid(attribute):
            return str(found.value)[:64]
    return ""
