"""EK certificates: what is taken for one, and the way to a root."""

from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.tcg.public import parse_key
from swt3_agent.verify.enrolment import read_authorities
from swt3_agent.verify.enrolment.certificate import (
    CertifiedKey,
    certificate_facts,
    check_certificate,
)
from tests.support.enrolment import (
    DAY,
    EK_PURPOSE,
    NOW,
    SWTPM,
    PaperEk,
    Vendor,
    key_usage,
    paper_ek,
)

EK = paper_ek("ecc256")
ROOT = Vendor()
ISSUER = Vendor("Issuing 1", by=ROOT)
RIGHT = ISSUER.certify(EK)
UNUSED_BITS = len(RIGHT) - len(x509.load_der_x509_certificate(RIGHT).signature) - 1
"""In the signature's BIT STRING: the byte that no signature covers, and that is no part of it."""
SERVER_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")


def judge(der: bytes, *vendors: Vendor, ek: PaperEk = EK) -> CertifiedKey:
    files = {f"{at}.pem": vendor.pem for at, vendor in enumerate(vendors or (ROOT, ISSUER))}
    return check_certificate(der, parse_key(ek.public), read_authorities(files), NOW)


def refused(code: str, der: bytes, *vendors: Vendor, ek: PaperEk = EK) -> FormatError:
    with pytest.raises(FormatError) as caught:
        judge(der, *vendors, ek=ek)
    assert caught.value.code == code, caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", ["rsa2048", "ecc256", "ecc384"])
def test_a_certificate_leads_to_the_root_that_is_trusted(kind: str) -> None:
    ek = paper_ek(kind)
    found = judge(ISSUER.certify(ek), ek=ek)
    assert found.root_sha256 == sha256(ROOT.der).digest()
    assert (found.root, found.manufacturer) == ("O=Vendor,CN=Root", "id:53544D20")
    assert not found.is_software


def test_a_root_may_issue_itself() -> None:
    assert judge(ROOT.certify(EK), ROOT).root_sha256 == sha256(ROOT.der).digest()


def test_an_issuer_is_told_from_another_of_its_name_by_its_key() -> None:
    """Vendors renew a key and keep the name."""
    for vendors in ([Vendor("Issuing 1", by=ROOT), ISSUER], [ISSUER, Vendor("Issuing 1", by=ROOT)]):
        assert judge(RIGHT, ROOT, *vendors).root_sha256 == sha256(ROOT.der).digest()


def test_of_two_ways_the_one_that_holds_is_taken() -> None:
    """The same intermediate under two roots, one of them expired."""
    old = Vendor("Old root", end=NOW - DAY)
    crossed = Vendor("Issuing 1", by=old, key=ISSUER.key)
    assert judge(RIGHT, old, crossed, ROOT, ISSUER).root_sha256 == sha256(ROOT.der).digest()


@pytest.mark.parametrize("organisation", ["Another vendor", None])
def test_a_root_that_is_not_in_the_directory_is_not_trusted(organisation: str | None) -> None:
    stranger = Vendor("Root", organisation=organisation)
    refused("EK_CERT_UNTRUSTED_ROOT", stranger.certify(EK))
    intermediate = Vendor("Issuing", by=stranger, organisation=organisation)
    found = refused("EK_CERT_UNTRUSTED_ROOT", intermediate.certify(EK), ROOT, intermediate)
    assert "over 1 others" in found.message


def test_a_root_of_the_same_name_and_another_key_is_not_trusted() -> None:
    refused("EK_CERT_SIGNATURE", Vendor("Root").certify(EK), ROOT)


def test_a_self_signed_ek_certificate_is_nobodys() -> None:
    assert isinstance(EK.key, ec.EllipticCurvePrivateKey)
    own = Vendor("EK", key=EK.key, organisation=None)
    refused("EK_CERT_UNTRUSTED_ROOT", own.certify(EK))


def test_a_missing_intermediate_is_named_with_where_it_is_to_be_had() -> None:
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier("http://vendor.example/issuing1.crt"),
            )
        ]
    )
    found = refused("EK_CERT_MISSING_INTERMEDIATE", ISSUER.certify(EK, more=access), ROOT)
    assert "CN=Issuing 1" in found.message
    assert "http://vendor.example/issuing1.crt" in found.remedy


def test_time_is_held_against_every_certificate() -> None:
    refused("EK_CERT_EXPIRED", ISSUER.certify(EK, start=NOW - 2 * DAY, end=NOW - DAY))
    refused("EK_CERT_NOT_YET_VALID", ISSUER.certify(EK, start=NOW + DAY, end=NOW + 2 * DAY))
    old = Vendor("Old", by=ROOT, end=NOW - DAY)
    refused("EK_CERT_EXPIRED", old.certify(EK), ROOT, old)
    young = Vendor("Young", start=NOW + DAY)
    refused("EK_CERT_NOT_YET_VALID", young.certify(EK), young)


@pytest.mark.parametrize(
    "issuer",
    [
        Vendor("No CA", by=ROOT, ca=False),
        Vendor("No constraints", by=ROOT, ca=None),
        Vendor("No signing", by=ROOT, usage=key_usage(crl_sign=True)),
    ],
    ids=lambda vendor: vendor.common,
)
def test_only_an_authority_may_issue(issuer: Vendor) -> None:
    refused("EK_CERT_ISSUER_NOT_CA", issuer.certify(EK), ROOT, issuer)


def test_a_path_length_is_kept_to() -> None:
    root = Vendor("Short", path_length=0)
    first = Vendor("First", by=root)
    refused("EK_CERT_ISSUER_NOT_CA", first.certify(EK), root, first)
    assert judge(root.certify(EK), root)


def test_the_way_up_has_an_end() -> None:
    vendors = [Vendor("0")]
    for number in range(1, 9):
        vendors.append(Vendor(str(number), by=vendors[-1]))
    refused("EK_CERT_UNTRUSTED_ROOT", vendors[-1].certify(EK), *vendors)
    assert judge(vendors[6].certify(EK), *vendors)


def test_issuers_in_a_circle_lead_nowhere() -> None:
    first, second = Vendor("First"), Vendor("Second")
    crossed = [
        Vendor("First", by=second, key=first.key),
        Vendor("Second", by=first, key=second.key),
    ]
    refused("EK_CERT_UNTRUSTED_ROOT", first.certify(EK), ROOT, *crossed)


def test_an_unknown_critical_extension_is_not_passed_over() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    refused("EK_CERT_EXTENSION", ISSUER.certify(EK, more=unknown, critical=True))
    assert judge(ISSUER.certify(EK, more=unknown))
    constrained = Vendor("Constrained", by=ROOT, critical=unknown)
    refused("EK_CERT_EXTENSION", constrained.certify(EK), ROOT, constrained)


def test_constraints_of_an_authority_count_whether_or_not_they_are_marked() -> None:
    constraints = x509.NameConstraints([x509.DirectoryName(ROOT.name)], None)
    for constrained in (
        Vendor("Constrained", by=ROOT, critical=constraints),
        Vendor("Constrained", by=ROOT, more=constraints),
    ):
        refused("EK_CERT_EXTENSION", constrained.certify(EK), ROOT, constrained)


def test_what_the_library_frowns_upon_passes_in_silence() -> None:
    """A country has two letters, and a warning is an error in tests."""
    changed = Vendor("Root", organisation="Vendor").der.replace(b"\x55\x04\x0a", b"\x55\x04\x06")
    with pytest.raises(FormatError) as caught:
        read_authorities({"changed.der": changed})
    assert caught.value.code == "AUTHORITIES_NO_ROOT"  # its signature is wrong now, no more


@pytest.mark.parametrize("purposes", [None, (SERVER_AUTH,)], ids=["none", "another"])
def test_a_certificate_for_another_purpose_is_no_ek_certificate(
    purposes: tuple[x509.ObjectIdentifier, ...] | None,
) -> None:
    refused("EK_CERT_EKU", ISSUER.certify(EK, purposes=purposes))
    assert judge(ISSUER.certify(EK, purposes=(SERVER_AUTH, EK_PURPOSE)))


def test_an_authority_for_another_purpose_vouches_for_no_ek() -> None:
    """Vendors run authorities for servers and firmware under the same root."""
    for purposes, is_right in (
        ([SERVER_AUTH], False),
        ([SERVER_AUTH, EK_PURPOSE], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
    ):
        issuer = Vendor("Purposed", by=ROOT, critical=x509.ExtendedKeyUsage(purposes))
        if is_right:
            assert judge(issuer.certify(EK), ROOT, issuer)
        else:
            refused("EK_CERT_ISSUER_NOT_CA", issuer.certify(EK), ROOT, issuer)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505  weak on purpose
        dsa.generate_private_key(1024),  # noqa: S505  weak on purpose
        ec.generate_private_key(ec.SECP192R1()),
    ],
    ids=["RSA-1024", "DSA-1024", "P-192"],
)
def test_a_key_that_others_can_break_vouches_for_nothing(
    key: rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    weak = Vendor("Weak", by=ROOT, key=key)  # type: ignore[arg-type]  # no EC key for once
    refused("EK_CERT_WEAK_SIGNATURE", weak.certify(EK), ROOT, weak)


def test_a_certificate_of_a_signing_key_or_an_authority_is_no_ek_certificate() -> None:
    refused("EK_CERT_USAGE", ISSUER.certify(EK, usage=key_usage(digital_signature=True)))
    refused("EK_CERT_USAGE", ISSUER.certify(EK, ca=True))
    assert judge(ISSUER.certify(EK, usage=key_usage(key_agreement=True)))


def test_a_certificate_of_another_key_is_anothers() -> None:
    refused("EK_CERT_KEY_MISMATCH", ISSUER.certify(paper_ek("ecc256 of another TPM")))
    refused("EK_CERT_KEY_MISMATCH", ISSUER.certify(paper_ek("rsa2048")))


@pytest.mark.parametrize("padding", [b"\x00", b"\xff" * 300], ids=len)
def test_padding_behind_a_certificate_is_named(padding: bytes) -> None:
    refused("EK_CERT_PADDED", RIGHT + padding)


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x03abc", RIGHT[:-1], b"\x30\x82", b"\x30\x85" + bytes(9), b"x"]
)
def test_what_is_no_certificate_is_malformed(der: bytes) -> None:
    refused("EK_CERT_MALFORMED", der)


@pytest.mark.parametrize("hash_oid", [0x04, 0x05], ids=["MD5", "SHA-1"])
def test_a_weak_hash_is_refused(hash_oid: int) -> None:
    """No library signs over these any more, so another's identifier is put in its place."""
    root = Vendor("RSA root", key=paper_ek("rsa2048").key)  # type: ignore[arg-type]  # RSA for once
    right = root.certify(EK)
    assert judge(right, root)
    rsa_with = bytes.fromhex("2a864886f70d0101")
    weak = right.replace(rsa_with + b"\x0b", rsa_with + bytes([hash_oid]))
    refused("EK_CERT_WEAK_SIGNATURE", weak, root)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_bit_is_refused(data: st.DataObject) -> None:
    changed = bytearray(RIGHT)
    bits = st.integers(0, len(changed) * 8 - 1)
    bit = data.draw(bits.filter(lambda bit: bit // 8 != UNUSED_BITS))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError) as caught:
        judge(bytes(changed))
    assert caught.value.code.startswith("EK_CERT_")


@pytest.mark.parametrize(
    "manufacturer", [SWTPM, "id:49424D00", "id:49424d00", "id:4D534654", "id:564D5700"]
)
def test_a_certificate_that_says_software_is_softwares(manufacturer: str) -> None:
    assert judge(ISSUER.certify(EK, manufacturer=manufacturer)).is_software


@pytest.mark.parametrize("model", ["swtpm", "vTPM"])
def test_a_certificate_of_a_virtual_model_is_softwares(model: str) -> None:
    assert judge(ISSUER.certify(EK, model=model)).is_software


def test_a_root_of_swtpm_is_softwares_whatever_the_certificate_says() -> None:
    root = Vendor("swtpm-localca-rootca")
    assert judge(root.certify(EK), root).is_software


def test_a_certificate_without_a_manufacturer_is_taken_as_it_is() -> None:
    found = judge(ISSUER.certify(EK, manufacturer=None))
    assert (found.manufacturer, found.model, found.is_software) == ("", "", False)


def test_a_certificate_is_shown_unjudged() -> None:
    facts = certificate_facts(Vendor("Nobody", organisation=None).certify(EK))
    assert (facts.issuer, facts.manufacturer, facts.model) == ("CN=Nobody", "id:53544D20", "model")
    assert facts.not_after == NOW + DAY
