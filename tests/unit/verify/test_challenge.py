"""The answer to a live challenge, and every way to pass off another: docs/formats.md."""

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.tcg.signature import der_to_tpmt
from swt3_agent.verify import ChallengeReport, Outcome, verify_challenge
from swt3_agent.verify.answer import FILES, MAX_FILE
from tests.support import forge
from tests.support.forge import AK, BOOT_PCRS, OTHER_AK, UTC_MS, Quote, ak_public, trust_file

NONCE = bytes(range(16))
PCRS = {index: sha256(b"pcr %d" % index).digest() for index in (*BOOT_PCRS, 13)}
TRUST = trust_file()


def answer(
    *,
    quote: Quote | None = None,
    pcrs: Mapping[int, bytes] = PCRS,
    key: ec.EllipticCurvePrivateKey = AK,
    signer: ec.EllipticCurvePrivateKey | None = None,
    **files: Any,
) -> dict[str, bytes]:
    """What an honest node answers, unless changed; a file given as None is missing."""
    attest = (quote or Quote(extra=NONCE)).attest(b"", pcrs)
    honest = {
        "ak.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "ak.pub": ak_public(key),
        "quote.msg": attest,
        "quote.sig": der_to_tpmt(forge.sign(signer or key, attest)),
        "pcrs.json": pcrs_json(pcrs),
    }
    changed = honest | {name.replace("_", "."): content for name, content in files.items()}
    return {name: content for name, content in changed.items() if content is not None}


def pcrs_json(values: Mapping[int, bytes]) -> bytes:
    return json.dumps({"sha256": {str(i): value.hex() for i, value in values.items()}}).encode()


def judge(
    files: Mapping[str, bytes],
    trust: bytes | None = TRUST,
    *,
    nonce: bytes | None = NONCE,
    reference: bytes | None = None,
    allow_software_tpm: bool = True,
) -> ChallengeReport:
    report = verify_challenge(
        files,
        nonce=nonce,
        trust=trust,
        reference=reference,
        allow_software_tpm=allow_software_tpm,
        now_ms=UTC_MS,
    )
    assert report.render().isascii()
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == report.exit_code
    return report


def refused(files: Mapping[str, bytes], code: str, trust: bytes | None = TRUST) -> None:
    report = judge(files, trust)
    assert (report.code, report.outcome) == (code, Outcome.FALSE)
    assert report.remedy
    assert report.to_json()["challenge"] is None


def test_an_answer_of_the_enrolled_key_is_verified() -> None:
    report = judge(answer())
    assert (report.code, report.exit_code) == ("VERIFIED", 0)
    assert report.root_of_trust is RootOfTrust.SOFTWARE_TPM
    challenge: Any = report.to_json()["challenge"]
    assert challenge["nonce"] == NONCE.hex()
    assert challenge["pcrs"]["13"] == PCRS[13].hex()
    assert (challenge["tpm_resets"], challenge["tpm_clock_ms"]) == (7, 5_000_000)
    assert any("passed your nonce" in limit for limit in report.not_proven)


def test_the_public_area_may_be_missing_because_the_trust_file_has_it() -> None:
    assert judge(answer(ak_pub=None)).code == "VERIFIED"


def test_a_register_beyond_those_of_a_checkpoint_may_be_quoted() -> None:
    assert judge(answer(pcrs=PCRS | {10: bytes(32)})).code == "VERIFIED"


def test_a_hardware_tpm_needs_no_permission() -> None:
    trust = trust_file(tpm=TpmKind.HARDWARE)
    assert judge(answer(), trust, allow_software_tpm=False).root_of_trust is RootOfTrust.TPM


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("CHALLENGE_NO_NONCE", {"nonce": None}),
        ("SIGNER_UNANCHORED", {"trust": None}),
        ("SOFTWARE_TPM", {"allow_software_tpm": False}),
    ],
)
def test_what_lacks_leaves_doubt(code: str, arguments: dict[str, Any]) -> None:
    report = judge(answer(), **arguments)
    assert (report.code, report.outcome) == (code, Outcome.UNDECIDED)


@pytest.mark.parametrize("extra", [NONCE[::-1], NONCE[:-1], NONCE + b"\0", b"another node's"])
def test_an_answer_to_another_challenge_is_refused(extra: bytes) -> None:
    refused(answer(quote=Quote(extra=extra)), "CHALLENGE_NONCE")


def test_an_answer_without_a_nonce_is_refused() -> None:
    refused(answer(quote=Quote(extra=b"")), "CHALLENGE_NONCE_MISSING")


@pytest.mark.parametrize("nonce", [NONCE, None, bytes(32)])
def test_a_checkpoint_is_never_an_answer(nonce: bytes | None) -> None:
    report = judge(answer(quote=Quote(extra=bytes(32))), nonce=nonce)
    assert (report.code, report.outcome) == ("CHALLENGE_CHECKPOINT", Outcome.FALSE)


@pytest.mark.parametrize("name", ["ak.pem", "quote.msg", "quote.sig", "pcrs.json"])
def test_an_answer_with_a_file_missing_or_endless_is_refused(name: str) -> None:
    files = answer()
    refused({**files, name: b"x" * (MAX_FILE + 1)}, "CHALLENGE_FILES")
    del files[name]
    refused(files, "CHALLENGE_FILES")


RSA = b"-----BEGIN PUBLIC KEY-----\nMA0GCSqGSIb3DQEBAQUAAwA=\n-----END PUBLIC KEY-----\n"
P384 = (
    ec.derive_private_key(5, ec.SECP384R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


@pytest.mark.parametrize("pem", [b"", b"ak", RSA, P384])
def test_a_key_that_is_none_is_refused(pem: bytes) -> None:
    refused(answer(ak_pem=pem), "CHALLENGE_KEY")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"sha1":{}}',
        b'{"sha256":[]}',
        b'{"sha256":{"24":"' + b"0" * 64 + b'"}}',
        b'{"sha256":{"0":"00"}}',
        b'{"sha256":{"0":7}}',
        b'{"sha256":{},"sha1":{}}',
        b'{"sha256":{"0":{"a":{}}}}',
    ],
)
def test_values_that_are_none_are_refused(text: bytes) -> None:
    refused(answer(pcrs_json=text), "CHALLENGE_PCRS")


UNRESTRICTED = ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.RESTRICTED)
SHA1_BANK = forge.selection(PCRS, forge.SHA1)
FEWER = {index: value for index, value in PCRS.items() if index != 13}


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (answer(signer=OTHER_AK), "CHALLENGE_SIGNATURE"),
        (answer(quote_sig=b""), "SIGNATURE_TRUNCATED"),
        (answer(quote=Quote(extra=NONCE, magic=b"\xffTCH")), "ATTEST_MAGIC"),
        (answer(quote=Quote(extra=NONCE, trailing=b"x")), "ATTEST_TRAILING"),
        (answer(ak_pub=ak_public(OTHER_AK)), "CHALLENGE_KEY"),
        (answer(ak_pub=UNRESTRICTED), "AK_NOT_RESTRICTED"),
        (answer(ak_pub=b""), "PUBLIC_TRUNCATED"),
        (answer(key=OTHER_AK), "TRUST_AK"),
        (answer(quote=Quote(extra=NONCE, resets=6)), "FLOOR_RESETS"),
        (answer(quote=Quote(extra=NONCE, clock_ms=3_999_999)), "FLOOR_CLOCK"),
        (answer(pcrs=FEWER), "QUOTE_PCR_SELECTION"),
        (answer(pcrs=FEWER | {11: bytes(32)}), "TRUST_LOG_PCR"),
        (answer(pcrs=PCRS | {16: bytes(32)}), "QUOTE_PCR_SELECTION"),
        (answer(quote=Quote(extra=NONCE, selection=struct.pack(">I", 0))), "QUOTE_PCR_SELECTION"),
        (answer(quote=Quote(extra=NONCE, selection=SHA1_BANK)), "QUOTE_PCR_SELECTION"),
        (answer(quote=Quote(extra=NONCE, digest=sha256(b"").digest())), "QUOTE_PCR_DIGEST"),
        (answer(pcrs_json=pcrs_json(PCRS | {0: bytes(32)})), "QUOTE_PCR_DIGEST"),
        (answer(pcrs_json=pcrs_json(PCRS | {23: bytes(32)})), "PCR_NOT_QUOTED"),
        (answer(pcrs_json=pcrs_json(FEWER)), "PCR_MISSING"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(files: dict[str, bytes], code: str) -> None:
    refused(files, code)


def test_an_attestation_of_something_else_is_refused() -> None:
    nv = forge.sized(b"\x00\x0b" + bytes(32)) + struct.pack(">H", 0) + forge.sized(bytes(8))
    refused(answer(quote=Quote(extra=NONCE, type=0x8014, info=nv)), "ATTEST_TYPE")


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        (trust_file(valid_until_ms=UTC_MS), "TRUST_VALIDITY"),
        (trust_file(revoked_ms=UTC_MS - 5), "TRUST_REVOKED"),
        (TRUST[:-9], "TRUST_BODY"),
    ],
)
def test_a_trust_file_that_does_not_vouch_now_is_none(trust: bytes, code: str) -> None:
    refused(answer(), code, trust)


def reference(**pcrs: bytes) -> bytes:
    return encode_reference(
        Reference(pcrs={int(index[1:]): (value.hex(),) for index, value in pcrs.items()})
    )


def test_a_state_that_the_reference_accepts_is_said() -> None:
    report = judge(answer(), reference=reference(p0=PCRS[0], p4=PCRS[4]))
    assert report.code == "VERIFIED"
    assert "not judged: PCRs 1, 2, 3" in report.checks[-1].detail
    assert not any("compared with references" in limit for limit in report.not_proven)


def test_another_state_than_the_accepted_is_false() -> None:
    report = judge(answer(), reference=reference(p0=bytes(32), p7=bytes(32)))
    assert (report.code, report.outcome) == ("PCR_MISMATCH", Outcome.FALSE)
    assert [check.name for check in report.checks if check.ok is False] == ["reference"] * 2


def test_a_register_that_only_the_reference_has_leaves_doubt() -> None:
    report = judge(answer(), reference=reference(p10=bytes(32)))
    assert (report.code, report.outcome) == ("PCR_NOT_QUOTED", Outcome.UNDECIDED)


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON"])
def test_a_reference_that_is_none_is_refused(data: bytes) -> None:
    assert judge(answer(), reference=data).code.startswith("REFERENCE_")


@given(st.dictionaries(st.sampled_from(FILES), st.binary(max_size=300)))
def test_any_files_are_judged(files: dict[str, bytes]) -> None:
    assert judge(files).outcome is not Outcome.VERIFIED
    assert judge(answer() | files).outcome is not Outcome.VERIFIED or not files


@given(st.data())
def test_any_bit_flipped_is_refused(data: st.DataObject) -> None:
    files = answer(ak_pub=None)
    name = data.draw(st.sampled_from(["quote.msg", "quote.sig"]))
    changed = bytearray(files[name])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert judge({**files, name: bytes(changed)}).outcome is Outcome.FALSE


def test_the_node_is_not_asked_for_what_is_not_used() -> None:
    assert replace(judge(answer(readme=b"x")), checks=()).code == "VERIFIED"
