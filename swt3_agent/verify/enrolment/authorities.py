"""The authorities that an enroller trusts: certificates of TPM vendors in a directory he fills.

Every certificate there that signed itself is a root, and trusted for that alone; all others are
intermediates, which are no more than a way to a root.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from swt3_agent.errors import FormatError
from swt3_agent.tcg.x509_reading import refusing_damage

MAX_AUTHORITY_FILE = 1024 * 1024
MAX_AUTHORITIES = 5000

_PEM = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate from the directory, and the file that it came from."""

    certificate: x509.Certificate
    file: str
    is_root: bool


@dataclass(frozen=True, slots=True)
class Authorities:
    """Roots and intermediates by the DER of their subject."""

    by_subject: Mapping[bytes, tuple[Authority, ...]]

    def named(self, name: x509.Name) -> tuple[Authority, ...]:
        """Those whose subject is ``name``, byte for byte."""
        return self.by_subject.get(name.public_bytes(), ())

    def roots(self) -> Iterator[Authority]:
        """Those that are trusted."""
        for authorities in self.by_subject.values():
            yield from (authority for authority in authorities if authority.is_root)


def read_authorities(files: Mapping[str, bytes]) -> Authorities:
    """The certificates in ``files``, by file name: PEM, any number each, or one in DER.

    Raises FormatError ``AUTHORITY_MALFORMED`` for a file that holds anything else, since a
    directory read in part would refuse TPMs for no visible reason, and ``AUTHORITIES_NO_ROOT``.
    """
    by_subject: dict[bytes, list[Authority]] = {}
    count = 0
    for file, data in sorted(files.items()):
        with refusing_damage(
            "AUTHORITY_MALFORMED",
            f"the certificate in {file}",
            "fetch it again from the TPM's vendor, or take the file out of the directory",
        ):
            for certificate in _certificates(data):
                authority = Authority(certificate, file, _signed_itself(certificate))
                by_subject.setdefault(certificate.subject.public_bytes(), []).append(authority)
                count += 1
        if count > MAX_AUTHORITIES:
            raise FormatError(
                "AUTHORITY_MALFORMED",
                f"more than {MAX_AUTHORITIES} certificates",
                remedy="keep only the vendors of your TPMs in the directory",
            )
    authorities = Authorities({name: tuple(found) for name, found in by_subject.items()})
    if next(authorities.roots(), None) is None:
        raise FormatError(
            "AUTHORITIES_NO_ROOT",
            f"there is no self-signed certificate among {count}, so that nothing would be trusted",
            remedy="put the root certificate of the TPM's vendor into the directory",
        )
    return authorities


def _certificates(data: bytes) -> list[x509.Certificate]:
    if len(data) > MAX_AUTHORITY_FILE:
        raise ValueError(f"it is larger than {MAX_AUTHORITY_FILE} bytes")
    if _PEM in data:
        return x509.load_pem_x509_certificates(data)
    return [x509.load_der_x509_certificate(data)]


def _signed_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
