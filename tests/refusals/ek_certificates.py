"""EK certificates that an enroller must refuse."""

from collections.abc import Iterator, Sequence

from cryptography import x509

from tests.refusals.case import Case
from tests.refusals.enrolment import (
    EK,
    ISSUER,
    NODE,
    OTHER_EK,
    RIGHT,
    ROOT,
    ROOTS,
    request_case,
    vendor,
)
from tests.support.enrolment import (
    DAY,
    NOW,
    Vendor,
    enrolment_key,
    key_usage,
    paper_ek,
    request_of,
)


def cases() -> Iterator[Case]:
    """Every one."""
    stranger = vendor("Stranger", organisation="Somebody")
    beyond = vendor("Issuing beyond", stranger, organisation="Somebody")
    yield _certificate(
        "cert-untrusted-root", "an authority of his own", "UNTRUSTED_ROOT", stranger.certify(EK)
    )
    yield _certificate(
        "cert-root-beyond",
        "an intermediate is known, and its root is not trusted",
        "UNTRUSTED_ROOT",
        beyond.certify(EK),
        (ROOT, beyond),
    )
    impostor = vendor("Root", key="an impostor")
    yield _certificate(
        "cert-same-name", "an authority named as the trusted one", "SIGNATURE", impostor.certify(EK)
    )
    yield _certificate(
        "cert-missing-intermediate",
        "the way to the root has a gap",
        "MISSING_INTERMEDIATE",
        RIGHT,
        (ROOT,),
    )
    yield _certificate(
        "cert-expired",
        "it has expired",
        "EXPIRED",
        ISSUER.certify(EK, start=NOW - 2 * DAY, end=NOW - DAY),
    )
    yield _certificate(
        "cert-not-yet-valid",
        "it is not valid yet",
        "NOT_YET_VALID",
        ISSUER.certify(EK, start=NOW + DAY, end=NOW + 2 * DAY),
    )
    old = vendor("Old", ROOT, end=NOW - DAY)
    yield _certificate(
        "cert-intermediate-expired",
        "its issuer has expired",
        "EXPIRED",
        old.certify(EK),
        (ROOT, old),
    )
    for word, issuer in {
        "no-ca": vendor("No CA", ROOT, ca=False),
        "no-constraints": vendor("No constraints", ROOT, ca=None),
        "no-cert-sign": vendor("No signing", ROOT, usage=key_usage(crl_sign=True)),
        "issuer-eku": vendor(
            "Servers only",
            ROOT,
            critical=x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]),
        ),
    }.items():
        yield _certificate(
            f"cert-{word}",
            "issued by a key that may issue none",
            "ISSUER_NOT_CA",
            issuer.certify(EK),
            (ROOT, issuer),
        )
    short = vendor("Short", path_length=0)
    below = vendor("Below", short)
    yield _certificate(
        "cert-path-length",
        "an intermediate too many",
        "ISSUER_NOT_CA",
        below.certify(EK),
        (short, below),
    )
    rsa = Vendor("RSA", key=paper_ek("rsa2048").key)  # type: ignore[arg-type]  # RSA for once
    sha256_with_rsa, sha1_with_rsa = (
        bytes.fromhex(f"2a864886f70d0101{last:02x}") for last in (0x0B, 0x05)
    )
    yield _certificate(
        "cert-sha1",
        "signed over SHA-1",
        "WEAK_SIGNATURE",
        rsa.certify(EK).replace(sha256_with_rsa, sha1_with_rsa),
        (rsa,),
    )
    server = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")
    for word, purposes in {"absent": None, "server": (server,)}.items():
        yield _certificate(
            f"cert-eku-{word}",
            "a certificate that is for something else",
            "EKU",
            ISSUER.certify(EK, purposes=purposes),
        )
    yield _certificate(
        "cert-signing",
        "the certificate of a signing key",
        "USAGE",
        ISSUER.certify(EK, usage=key_usage(digital_signature=True)),
    )
    yield _certificate(
        "cert-authority", "the certificate of an authority", "USAGE", ISSUER.certify(EK, ca=True)
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    yield _certificate(
        "cert-critical",
        "a critical extension that nobody knows",
        "EXTENSION",
        ISSUER.certify(EK, more=unknown, critical=True),
    )
    yield _certificate("cert-padded", "padding of NV behind it", "PADDED", RIGHT + bytes(16))
    for word, der in {
        "cut": RIGHT[:-1],
        "text": b"certificate",
        "length": b"\x30\x84" + RIGHT[4:],
        "inside": RIGHT.replace(b"\x06\x08\x2a\x86", b"\x06\x88\x2a\x86", 1),
    }.items():
        yield _certificate(f"cert-{word}", "damaged DER", "MALFORMED", der)
    yield _certificate(
        "cert-changed",
        "a bit of what was signed was changed",
        "SIGNATURE",
        RIGHT.replace(b"id:00010002", b"id:00010003"),
    )
    yield _certificate(
        "cert-other-key",
        "the certificate of another TPM",
        "KEY_MISMATCH",
        ISSUER.certify(OTHER_EK),
    )


def _certificate(
    name: str,
    threat: str,
    code: str,
    certificate: bytes,
    vendors: Sequence[Vendor] = ROOTS,
) -> Case:
    request = request_of(NODE, enrolment_key(EK, certificate))
    return request_case(name, threat, f"EK_CERT_{code}", request, vendors)
