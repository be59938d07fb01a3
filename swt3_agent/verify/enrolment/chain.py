"""From an EK certificate to a root that the enroller trusts (RFC 5280, section 6, as far as the
certificates of TPM vendors go; TCG EK Credential Profile).

The library's own path validation takes no EK certificate, whose extended key usage it does not
know. So every rule is spelled out here, each with a code of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from swt3_agent.errors import FormatError
from swt3_agent.tcg.x509_reading import name_text, refusing_damage
from swt3_agent.verify.enrolment.authorities import Authorities, Authority

MAX_INTERMEDIATES = 6
MAX_TRIES = 64
MIN_MODULUS_BITS = 2048
MIN_EC_BITS = 256

EK_CERTIFICATE = x509.ObjectIdentifier("2.23.133.8.1")  # tcg-kp-EKCertificate

_EK_PURPOSES = frozenset({EK_CERTIFICATE, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_PIN = "pin the EK instead, with --ek and without --roots, if you know it to be that machine's"
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        x509.ObjectIdentifier("2.5.29.9"),  # subjectDirectoryAttributes: which TPM specification
    }
)
_LIMITS = frozenset({ExtensionOID.NAME_CONSTRAINTS, ExtensionOID.POLICY_CONSTRAINTS})


@dataclass(frozen=True, slots=True)
class Chain:
    """Authorities from the issuer of an EK certificate to the root, which is the last."""

    authorities: tuple[Authority, ...]

    @property
    def root(self) -> Authority:
        """The certificate that is trusted."""
        return self.authorities[-1]


class _Search:
    """Tries every way up, and remembers why the longest one ended."""

    def __init__(self, authorities: Authorities, now: datetime) -> None:
        self._authorities = authorities
        self._now = now
        self._tries = 0
        self._depth = -1
        self.refusal: FormatError | None = None

    def upwards(
        self, certificate: x509.Certificate, below: tuple[Authority, ...]
    ) -> tuple[Authority, ...] | None:
        """The way from ``certificate``, which ``below`` led to, to a root; None without one."""
        issuers = self._authorities.named(certificate.issuer)
        if not issuers:
            self._note(len(below), self._no_issuer(certificate, below))
        for issuer in issuers:
            self._tries += 1
            if issuer in below or len(below) > MAX_INTERMEDIATES or self._tries > MAX_TRIES:
                continue
            try:
                what = f"the certificate {name_text(certificate.subject)} or that in {issuer.file}"
                with refusing_damage("EK_CERT_MALFORMED", what, _PIN):
                    check_issued(certificate, issuer.certificate, below)
                    check_dates(issuer.certificate, self._now)
                    check_critical(issuer.certificate)
            except FormatError as error:
                self._note(len(below), error)
                continue
            way = (*below, issuer)
            found = way if issuer.is_root else self.upwards(issuer.certificate, way)
            if found is not None:
                return found
        return None

    def _note(self, depth: int, error: FormatError) -> None:
        if depth > self._depth:
            self._depth, self.refusal = depth, error

    def _no_issuer(
        self, certificate: x509.Certificate, below: tuple[Authority, ...]
    ) -> FormatError:
        issuer = name_text(certificate.issuer)
        organisation = _organisations(certificate.issuer)
        roots = [
            root
            for root in self._authorities.roots()
            if organisation & _organisations(root.certificate.subject)
        ]
        if roots and certificate.subject != certificate.issuer:
            root = name_text(roots[0].certificate.subject)
            return FormatError(
                "EK_CERT_MISSING_INTERMEDIATE",
                f"{issuer} issued {name_text(certificate.subject)} and is not in the directory,"
                f" but a root of the same organisation is: {root}",
                remedy=f"add the intermediate certificate{_where(certificate)}",
            )
        length = f", which the EK certificate leads to over {len(below)} others," if below else ""
        return FormatError(
            "EK_CERT_UNTRUSTED_ROOT",
            f"{issuer}{length} is not in the directory",
            remedy=f"if you trust that vendor, add his root and intermediates{_where(certificate)};"
            f" else {_PIN}",
        )


def find_chain(certificate: x509.Certificate, authorities: Authorities, now: datetime) -> Chain:
    """The chain from ``certificate`` to a root, every link of it checked at the time ``now``.

    Raises FormatError ``EK_CERT_UNTRUSTED_ROOT``, ``EK_CERT_MISSING_INTERMEDIATE``, or why the
    longest way to a root ended, as ``check_issued``, ``check_dates`` and ``check_critical`` do; the
    errors of the library for a damaged certificate.
    """
    check_dates(certificate, now)
    check_critical(certificate)
    search = _Search(authorities, now)
    found = search.upwards(certificate, ())
    if found is not None:
        return Chain(found)
    raise search.refusal or FormatError(
        "EK_CERT_UNTRUSTED_ROOT", "its issuers lead in a circle, and to no root", remedy=_PIN
    )


def check_issued(
    certificate: x509.Certificate, issuer: x509.Certificate, below: tuple[Authority, ...]
) -> None:
    """Whether ``issuer``, over ``below`` intermediates, may have issued and did sign it.

    Raises FormatError ``EK_CERT_ISSUER_NOT_CA``, ``EK_CERT_WEAK_SIGNATURE``, ``EK_CERT_SIGNATURE``.
    """
    _check_authority(issuer, len(below))
    if isinstance(certificate.signature_hash_algorithm, (MD5, SHA1)):
        raise FormatError(
            "EK_CERT_WEAK_SIGNATURE",
            f"the certificate {name_text(certificate.subject)} is signed over MD5 or SHA-1,"
            " which others can be made to match",
            remedy=_PIN,
        )
    _check_strength(issuer)
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        raise FormatError(
            "EK_CERT_SIGNATURE",
            f"the {name_text(issuer.subject)} in the directory did not sign the certificate"
            f" {name_text(certificate.subject)}, which names an issuer of that name",
            remedy="add the issuer's other certificate, if the vendor has several of that name;"
            " else do not trust this one: it was changed or made up",
        ) from None


def _check_strength(issuer: x509.Certificate) -> None:
    key = issuer.public_key()
    if isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)):
        least = MIN_MODULUS_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        least = MIN_EC_BITS
    else:
        return
    if key.key_size < least:
        raise FormatError(
            "EK_CERT_WEAK_SIGNATURE",
            f"the key of {name_text(issuer.subject)} has {key.key_size} bits: others can break it",
            remedy=_PIN,
        )


def _check_authority(issuer: x509.Certificate, below: int) -> None:
    extensions = {extension.oid: extension.value for extension in issuer.extensions}
    constraints = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    if not (isinstance(constraints, x509.BasicConstraints) and constraints.ca):
        raise _no_authority(issuer, "is no authority")
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise _no_authority(issuer, "may not sign certificates")
    purposes = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if isinstance(purposes, x509.ExtendedKeyUsage) and _EK_PURPOSES.isdisjoint(purposes):
        raise _no_authority(issuer, "is an authority for other purposes than EKs")
    if constraints.path_length is not None and constraints.path_length < below:
        raise _no_authority(issuer, f"may not stand {below} intermediates above")


def check_dates(certificate: x509.Certificate, now: datetime) -> None:
    """Whether it is valid at ``now``. Raises FormatError ``EK_CERT_EXPIRED``,
    ``EK_CERT_NOT_YET_VALID``."""
    name = name_text(certificate.subject)
    if now > certificate.not_valid_after_utc:
        raise FormatError(
            "EK_CERT_EXPIRED",
            f"the certificate {name} was valid until {certificate.not_valid_after_utc:%Y-%m-%d}",
            remedy=f"compare this machine's clock; if the date is right, {_PIN}",
        )
    if now < certificate.not_valid_before_utc:
        raise FormatError(
            "EK_CERT_NOT_YET_VALID",
            f"the certificate {name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} on",
            remedy="set this machine's clock right",
        )


def check_critical(certificate: x509.Certificate) -> None:
    """Whether every extension marked critical is understood here (RFC 5280, 4.2), and every one
    that limits what is below, which some authority may not have marked.

    Raises FormatError ``EK_CERT_EXTENSION``.
    """
    for extension in certificate.extensions:
        if extension.oid not in _UNDERSTOOD and (extension.critical or extension.oid in _LIMITS):
            raise FormatError(
                "EK_CERT_EXTENSION",
                f"the certificate {name_text(certificate.subject)} has the extension"
                f" {extension.oid.dotted_string}, which is not understood here",
                remedy=_PIN,
            )


def _organisations(name: x509.Name) -> set[str]:
    return {str(each.value) for each in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}


def issuer_urls(certificate: x509.Certificate) -> Iterator[str]:
    """Where the certificate itself says that its issuer's is to be had."""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.AuthorityInformationAccess):
            for access in extension.value:
                location = access.access_location
                if isinstance(location, x509.UniformResourceIdentifier):
                    yield location.value[:200]


def _where(certificate: x509.Certificate) -> str:
    url = next(issuer_urls(certificate), None)
    return "" if url is None else f" (the certificate names {url})"


def _no_authority(issuer: x509.Certificate, what: str) -> FormatError:
    return FormatError(
        "EK_CERT_ISSUER_NOT_CA",
        f"{name_text(issuer.subject)} {what}",
        remedy="do not trust this certificate; look where that file in the directory came from",
    )
