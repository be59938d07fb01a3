"""The directory of vendors: what is in it is a root, a way to one, or an error."""

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.verify.enrolment import read_authorities
from swt3_agent.verify.enrolment.authorities import MAX_AUTHORITY_FILE
from tests.support.enrolment import Vendor

ROOT = Vendor()
ISSUER = Vendor("Issuing 1", by=ROOT)


def code_of(files: dict[str, bytes]) -> str:
    with pytest.raises(FormatError) as caught:
        read_authorities(files)
    return caught.value.code


@pytest.mark.parametrize(
    "files",
    [
        {"a.pem": ROOT.pem, "b.crt": ISSUER.pem},
        {"a.der": ROOT.der, "b.cer": ISSUER.der},
        {"all.pem": b"# of the vendor\n" + ROOT.pem + b"\n" + ISSUER.pem},
        {"twice.pem": ROOT.pem, "again.der": ROOT.der, "b.der": ISSUER.der},
    ],
    ids=["PEM", "DER", "one file", "twice"],
)
def test_only_what_signed_itself_is_a_root(files: dict[str, bytes]) -> None:
    read = read_authorities(files)
    assert {root.certificate for root in read.roots()} == {ROOT.certificate}
    assert [issuer.is_root for issuer in read.named(ISSUER.name)] == [False]


def test_a_name_that_issued_itself_with_another_key_is_no_root() -> None:
    impostor = Vendor("Root", by=Vendor("Root"))
    assert code_of({"a.pem": impostor.pem}) == "AUTHORITIES_NO_ROOT"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a certificate",
        ROOT.der + b"\x00",
        ROOT.pem[:-40],
        ROOT.pem.replace(b"A", b"B"),
        b"\x30" * (MAX_AUTHORITY_FILE + 1),
    ],
    ids=["empty", "text", "padded", "cut", "damaged", "too large"],
)
def test_a_file_that_is_none_stops_the_reading_and_is_named(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        read_authorities({"root.pem": ROOT.pem, "bad.crt": data})
    assert caught.value.code == "AUTHORITY_MALFORMED"
    assert "bad.crt" in caught.value.message


@pytest.mark.parametrize("files", [{}, {"b.pem": ISSUER.pem}], ids=["empty", "intermediate"])
def test_a_directory_without_a_root_trusts_nobody(files: dict[str, bytes]) -> None:
    assert code_of(files) == "AUTHORITIES_NO_ROOT"
