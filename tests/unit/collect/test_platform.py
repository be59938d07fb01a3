"""Quotes signed by a key of our own, field by field as a TPM would sign them, and as none may."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.collect.quotes import NONCE_SIZE
from swt3_agent.errors import RemoteError, TpmError
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.public import parse_public
from tests.support.forge import AK, Quote, ak_public, selection, sign

PCRS = {index: sha256(b"pcr %d" % index).digest() for index in (*range(10), 13, 14)}
RESTRICTED = 1 << 16
PROBE_ABSENT = {
    "lack": "absent",
    "code": "PROBE_ABSENT",
    "detail": "no probe is configured",
    "remedy": "set agent.probe.socket",
}


@dataclass(frozen=True)
class SignedQuote:
    attest: bytes
    signature_der: bytes
    pcrs: Mapping[int, bytes]
    ak_public: bytes


@dataclass(frozen=True)
class TpmIdentity:
    kind: RootOfTrust = RootOfTrust.TPM
    manufacturer: str = "IFX"
    firmware: str = "0007005500102200"


@dataclass
class PaperTpm:
    """Answers challenges from paper; ``quote`` and ``signed`` say what is false about it."""

    quote: Quote = field(default_factory=Quote)
    pcrs: Mapping[int, bytes] = field(default_factory=lambda: PCRS)
    key: ec.EllipticCurvePrivateKey = AK
    forge: Callable[[SignedQuote], SignedQuote] = lambda signed: signed
    identity: TpmIdentity = field(default_factory=TpmIdentity)
    nonces: list[bytes] = field(default_factory=list)

    def open(self) -> TpmIdentity:
        return self.identity

    def challenge(self, nonce: bytes, *, also: tuple[int, ...] = ()) -> SignedQuote:
        self.nonces.append(nonce)
        quote = self.quote if self.quote.extra is not None else replace(self.quote, extra=nonce)
        attest = quote.attest(b"", PCRS)
        signed = SignedQuote(attest, sign(self.key, attest), self.pcrs, ak_public())
        return self.forge(signed)


class FailingTpm(PaperTpm):
    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def open(self) -> TpmIdentity:
        raise TpmError(self.code, "the TPM says no", remedy="do something about it")


def test_a_quote_that_holds_becomes_claims() -> None:
    reading = PlatformCollector(PaperTpm()).collect()
    assert isinstance(reading, Evidence)
    assert reading.root_of_trust is RootOfTrust.TPM
    claims: Any = reading.claims
    quote = claims.pop("quote")
    assert claims == {
        "kind": "tpm",
        "manufacturer": "IFX",
        "firmware": "0007005500102200",
        "log_pcr": 13,
        "boot_faults": [],
        "boot_log": PROBE_ABSENT,
        "ima_log": PROBE_ABSENT,
    }
    attached: Any = {name: json.loads(data) for name, data in reading.attachments.items()}
    signed = attached["quote"]
    assert attached.keys() == {"quote"}
    assert (signed["pcrs"], signed["ak_name"]) == (quote["pcrs"], quote["ak_name"])
    assert has_signed(
        parse_public(ak_public()), b64decode(signed["attest"]), b64decode(signed["signature"])
    )
    assert parse_attest(b64decode(signed["attest"])).extra_data.hex() == signed["nonce"]
    assert quote["verified"] is True
    assert quote["pcr_count"] == 12
    assert quote["pcrs"] == {str(index): value.hex() for index, value in PCRS.items()}
    assert (quote["clock_ms"], quote["reset_count"], quote["restart_count"]) == (5_000_000, 7, 0)
    assert quote["safe"] is True
    assert quote["ak_name"] == "000b" + sha256(ak_public()).hexdigest()


def test_a_software_tpm_is_called_one() -> None:
    software = TpmIdentity(kind=RootOfTrust.SOFTWARE_TPM)
    reading = PlatformCollector(PaperTpm(identity=software)).collect()
    assert isinstance(reading, Evidence)
    assert reading.root_of_trust is RootOfTrust.SOFTWARE_TPM
    assert reading.claims["kind"] == "software-tpm"


def test_every_reading_has_a_fresh_nonce_of_a_length_that_no_checkpoint_has() -> None:
    tpm = PaperTpm()
    collector = PlatformCollector(tpm)
    collector.collect()
    collector.collect()
    assert len(set(tpm.nonces)) == 2
    assert {len(nonce) for nonce in tpm.nonces} == {NONCE_SIZE}
    assert NONCE_SIZE != 32


OTHER_KEY = ec.derive_private_key(4242, ec.SECP256R1())


@pytest.mark.parametrize(
    ("tpm", "code"),
    [
        pytest.param(PaperTpm(key=OTHER_KEY), "QUOTE_SIGNATURE", id="another key signed"),
        pytest.param(
            PaperTpm(forge=lambda signed: replace(signed, signature_der=b"")),
            "SIGNATURE_TRUNCATED",
            id="no signature",
        ),
        pytest.param(
            PaperTpm(forge=lambda signed: replace(signed, attest=signed.attest + b"\0")),
            "QUOTE_SIGNATURE",
            id="attestation changed after signing",
        ),
        pytest.param(PaperTpm(Quote(extra=bytes(NONCE_SIZE))), "QUOTE_NONCE", id="replayed"),
        pytest.param(
            PaperTpm(pcrs={**PCRS, 0: bytes(32)}), "QUOTE_PCR_DIGEST", id="PCR value exchanged"
        ),
        pytest.param(PaperTpm(pcrs={0: PCRS[0]}), "QUOTE_SELECTION", id="PCR values withheld"),
        pytest.param(PaperTpm(pcrs={**PCRS, 23: bytes(32)}), "QUOTE_SELECTION", id="PCR added"),
        pytest.param(
            PaperTpm(Quote(selection=selection(PCRS, bank=0x0004))),
            "QUOTE_SELECTION",
            id="SHA-1 bank",
        ),
        pytest.param(PaperTpm(Quote(trailing=b"\0")), None, id="trailing bytes"),
        pytest.param(PaperTpm(Quote(magic=b"\0TCG")), None, id="not made by a TPM"),
    ],
)
def test_what_does_not_verify_is_no_evidence(tpm: PaperTpm, code: str | None) -> None:
    reading = PlatformCollector(tpm).collect()
    assert isinstance(reading, Unavailable)
    assert reading.lack is Lack.FAILED
    assert reading.detail
    assert reading.remedy
    assert code is None or reading.code == code


def test_an_unrestricted_key_is_refused_by_name() -> None:
    honest = ak_public()
    attributes = int.from_bytes(honest[4:8], "big")
    unrestricted = ak_public(attributes=attributes & ~RESTRICTED)
    tpm = PaperTpm(forge=lambda signed: replace(signed, ak_public=unrestricted))
    reading = PlatformCollector(tpm).collect()
    assert isinstance(reading, Unavailable)
    assert reading.code == "AK_NOT_RESTRICTED"


def test_a_register_that_is_extended_between_quote_and_reading_is_asked_again() -> None:
    answers = iter([{**PCRS, 9: bytes(32)}, PCRS])
    tpm = PaperTpm(forge=lambda signed: replace(signed, pcrs=next(answers)))
    assert isinstance(PlatformCollector(tpm).collect(), Evidence)
    assert len(tpm.nonces) == 2


@pytest.mark.parametrize(
    ("code", "lack"),
    [
        ("TPM_ABSENT", Lack.ABSENT),
        ("TPM_DENIED", Lack.DENIED),
        ("TPM_BUSY", Lack.BUSY),
        ("TPM_FAILED", Lack.FAILED),
        ("TPM_KEY_CLEARED", Lack.FAILED),
    ],
)
def test_what_the_tpm_answers_is_the_lack(code: str, lack: Lack) -> None:
    reading = PlatformCollector(FailingTpm(code)).collect()
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (lack, code)
    assert (reading.detail, reading.remedy) == ("the TPM says no", "do something about it")


def test_a_node_without_tpm_lacks_one() -> None:
    reading = PlatformCollector(None).collect()
    assert isinstance(reading, Unavailable)
    assert (reading.lack, reading.code) == (Lack.ABSENT, "TPM_ABSENT")


@dataclass
class PaperLogs:
    """The kernel's logs; ``lack`` is raised instead where there is one."""

    ima: bytes = b""
    lack: str = ""

    def boot_log(self) -> bytes:
        return self._given(b"no boot log")

    def ima_log(self, offset: int = 0) -> bytes:
        return self._given(self.ima[offset:])

    def _given(self, data: bytes) -> bytes:
        if self.lack:
            raise RemoteError(self.lack, "what happened", remedy="what to do")
        return data


@dataclass
class ImaTpm(PaperTpm):
    """Quotes PCR 10 when it is asked to; ``races`` is how often IMA is in between."""

    races: int = 0
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def challenge(self, nonce: bytes, *, also: tuple[int, ...] = ()) -> SignedQuote:
        self.asked.append(also)
        quoted = {**PCRS, **dict.fromkeys(also, bytes(32))}
        attest = replace(self.quote, extra=nonce, selection=selection(quoted)).attest(b"", quoted)
        if also and self.races:
            self.races -= 1
            quoted[10] = b"\xaa" * 32
        return SignedQuote(attest, sign(self.key, attest), quoted, ak_public())


def test_pcr_10_is_quoted_where_there_is_a_log_to_replay() -> None:
    tpm = ImaTpm()
    reading = PlatformCollector(tpm, PaperLogs()).collect()
    assert isinstance(reading, Evidence)
    claims: Any = reading.claims
    assert tpm.asked == [(10,)]
    assert (claims["quote"]["pcr_count"], claims["ima_log"]["entries"]) == (13, 0)
    assert reading.stated == {"ima_log": {"offset": 0, "entries": 0}}
    assert claims["boot_log"]["code"] == "EVENT_LOG_HEADER"
    assert reading.attachments["boot-log"] == b"no boot log"


@pytest.mark.parametrize(
    ("code", "lack"), [("LOG_ABSENT", "absent"), ("PROBE_DENIED", "denied"), ("LOG_BUSY", "busy")]
)
def test_a_log_that_is_lacking_costs_the_quote_nothing(code: str, lack: str) -> None:
    tpm = ImaTpm()
    reading = PlatformCollector(tpm, PaperLogs(lack=code)).collect()
    assert isinstance(reading, Evidence)
    claims: Any = reading.claims
    assert tpm.asked == [()]
    for log in ("boot_log", "ima_log"):
        assert (claims[log]["lack"], claims[log]["code"]) == (lack, code)
    assert reading.attachments.keys() == {"quote"}
    assert reading.stated == {}


def test_a_pcr_10_that_never_stands_still_costs_only_itself() -> None:
    busy = ImaTpm(races=2)
    reading = PlatformCollector(busy, PaperLogs()).collect()
    assert isinstance(reading, Evidence)
    assert len(busy.asked) == 3
    busier = ImaTpm(races=100)
    reading = PlatformCollector(busier, PaperLogs()).collect()
    assert isinstance(reading, Evidence)
    claims: Any = reading.claims
    assert busier.asked[-1] == ()
    assert (claims["ima_log"]["lack"], claims["ima_log"]["code"]) == ("busy", "IMA_PCR_BUSY")
    assert "10" not in claims["quote"]["pcrs"]
