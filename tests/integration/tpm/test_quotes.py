"""Quotes: what a stranger with plain cryptography, or with tpm2-tools, makes of them."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from swt3_agent.errors import TpmError, UsageError
from swt3_agent.protocol.checkpoint import QUOTED_PCRS, extended, qualifying_data
from swt3_agent.tcg.attest import Attest, parse_attest
from swt3_agent.tcg.pcr import composite_digest, sha256_selection
from swt3_agent.tcg.public import parse_public
from swt3_agent.tpm.client import ChallengeQuote, SignedHead
from swt3_agent.tpm.software import SoftwareTpm
from tests.integration.tpm.conftest import OpenTpm
from tests.support.software_tpm import tpm2


def verified(
    ak_public: bytes, quote: SignedHead | ChallengeQuote, also: tuple[int, ...] = ()
) -> Attest:
    key = load_der_public_key(parse_public(ak_public).spki_der())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(quote.signature_der, quote.attest, ec.ECDSA(hashes.SHA256()))
    attest = parse_attest(quote.attest)
    assert attest.quote is not None
    assert attest.quote.selection == sha256_selection({*QUOTED_PCRS, *also})
    assert attest.quote.digest == composite_digest(quote.pcrs, attest.quote.selection)
    return attest


def test_five_heads_verify_and_replay_through_the_log_pcr(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    ak_public = tpm.open().ak_public
    value, clock_ms = bytes(32), 0
    for number in range(5):
        body = b"head %d\n" % number
        head = tpm.extend_and_quote(body)
        attest = verified(ak_public, head)
        assert attest.extra_data == qualifying_data(body)
        assert head.before == value
        assert head.pcrs[13] == extended(value, body)
        assert attest.clock_ms >= clock_ms
        value, clock_ms = head.pcrs[13], attest.clock_ms
    assert tpm.read_pcrs((13,)) == {13: value}


def test_the_clock_is_that_of_the_quotes(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    before = tpm.clock()
    attest = parse_attest(tpm.challenge(b"a nonce!").attest)
    after = tpm.clock()
    assert before.clock_ms <= attest.clock_ms <= after.clock_ms
    assert (before.reset_count, before.restart_count) == (attest.reset_count, attest.restart_count)


def test_a_head_is_quoted_again_after_a_crash_behind_its_extend(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    body, digest = b"extended, never quoted\n", hashlib.sha256(b"extended, never quoted\n")
    tpm2(swtpm.tcti, "pcrextend", f"13:sha256={digest.hexdigest()}")
    tpm = open_tpm()
    ak_public = tpm.open().ak_public
    head = tpm.quote_head(body, bytes(32))
    assert verified(ak_public, head).extra_data == qualifying_data(body)
    assert tpm.read_pcrs((13,)) == {13: extended(bytes(32), body)}


def test_a_head_that_was_never_extended_is_not_quoted(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    with pytest.raises(TpmError) as caught:
        tpm.quote_head(b"never extended\n", bytes(32))
    assert caught.value.code == "TPM_LOG_PCR"


@pytest.mark.parametrize("size", [8, 31])
def test_a_challenge_carries_the_nonce_verbatim(open_tpm: OpenTpm, size: int) -> None:
    tpm = open_tpm()
    quote = tpm.challenge(bytes(range(size)))
    assert verified(tpm.open().ak_public, quote).extra_data == bytes(range(size))


@pytest.mark.parametrize("size", [0, 7, 32, 33, 64])
def test_a_nonce_of_another_length_is_refused(open_tpm: OpenTpm, size: int) -> None:
    with pytest.raises(UsageError) as caught:
        open_tpm().challenge(bytes(size))
    assert caught.value.code == "BAD_NONCE"


def test_a_challenge_quotes_further_registers_and_values_that_stood_still(
    open_tpm: OpenTpm,
) -> None:
    tpm = open_tpm()
    quote = tpm.challenge(b"a nonce!", also=(10, 16))
    assert verified(tpm.open().ak_public, quote, (10, 16)).extra_data == b"a nonce!"
    assert set(quote.pcrs) == {*QUOTED_PCRS, 10, 16}
    for index in (-1, 24, 99):
        with pytest.raises(UsageError) as caught:
            tpm.challenge(b"a nonce!", also=(index,))
        assert caught.value.code == "BAD_PCR"


def test_tpm2_checkquote_accepts_the_quote_and_refuses_another_nonce(
    open_tpm: OpenTpm, room: Path
) -> None:
    nonce = bytes.fromhex("00112233445566778899aabb")
    quote = open_tpm().challenge(nonce)
    (room / "ak.pem").write_text(parse_public(quote.ak_public).to_pem())
    (room / "quote.msg").write_bytes(quote.attest)
    (room / "quote.sig").write_bytes(quote.signature_tpmt)

    def check(nonce_hex: str) -> int:
        command = ["tpm2_checkquote", "-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig"]
        command += ["-q", nonce_hex]
        return subprocess.run(command, cwd=room, capture_output=True, check=False).returncode

    assert check(nonce.hex()) == 0
    assert check("ff" + nonce.hex()[2:]) != 0


def test_reads_more_registers_than_the_tpm_gives_at_once(open_tpm: OpenTpm) -> None:
    assert sorted(open_tpm().read_pcrs(tuple(range(24)))) == list(range(24))


def test_a_register_that_does_not_exist_is_an_error(open_tpm: OpenTpm) -> None:
    with pytest.raises(TpmError) as caught:
        open_tpm().read_pcrs((30,))
    assert caught.value.code == "TPM_BANK"
