"""Reading certificates from strangers: whatever is wrong with one is a refusal, never a surprise.

The library parses lazily, so that any look at a certificate may find it damaged.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.errors import FormatError

_DAMAGED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MOST_TEXT = 200


@contextmanager
def refusing_damage(code: str, what: str, remedy: str) -> Iterator[None]:
    """Raise FormatError ``code`` where looking at ``what`` finds it damaged.

    What the library only frowns upon (a serial number below zero, a country of six letters) passes
    in silence.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:_MOST_TEXT] or type(error).__name__
        raise FormatError(code, f"{what} cannot be read: {reason}", remedy=remedy) from None


def der_size(data: bytes) -> int | None:
    """How many bytes the one DER SEQUENCE at the start of ``data`` takes; None where there is none.

    An NV index is often larger than the certificate in it.
    """
    if len(data) < 2 or data[0] != 0x30:
        return None
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 1 <= count <= 4 or len(data) < 2 + count:
        return None
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def spki_of(certificate: x509.Certificate) -> bytes:
    """Its key as SubjectPublicKeyInfo, DER. Raises as the library does."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def name_text(name: x509.Name) -> str:
    """A name for people, bounded in length."""
    text = name.rfc4514_string() or "(no name)"
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
