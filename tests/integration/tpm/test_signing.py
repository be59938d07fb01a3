"""Signatures over messages, which the TPM hashes itself."""

import pytest

from swt3_agent.errors import TpmError, UsageError
from swt3_agent.tcg.attest import GENERATED_MAGIC
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.messages import MAX_MESSAGE, MESSAGE_PART, Sign
from swt3_agent.tpm.software import SoftwareTpm
from tests.integration.tpm.conftest import OpenTpm
from tests.integration.tpm.processes import kill_and_wait, process_of
from tests.support.software_tpm import tpm2

SIZES = (0, 1, 3, 4, 1023, 1024, 1025, 2048, MESSAGE_PART, MESSAGE_PART + 1, MAX_MESSAGE)


def assert_signs(tpm: Tpm, message: bytes) -> None:
    assert has_signed(parse_tpmt(tpm.open().ak_public), message, tpm.sign(message))


@pytest.mark.parametrize("size", SIZES)
def test_the_key_signs_a_message_of_any_size(open_tpm: OpenTpm, size: int) -> None:
    assert_signs(open_tpm(), bytes(number % 251 for number in range(size)))


def test_a_message_of_more_than_a_mebibyte_is_refused(open_tpm: OpenTpm) -> None:
    with pytest.raises(UsageError) as caught:
        open_tpm().sign(bytes(MAX_MESSAGE + 1))
    assert caught.value.code == "SIGN_SIZE"


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_what_begins_like_an_attestation_is_refused_here_and_by_the_tpm(
    open_tpm: OpenTpm, size: int
) -> None:
    tpm, message = open_tpm(), GENERATED_MAGIC + bytes(size)
    with pytest.raises(UsageError) as caught:
        tpm.sign(message)
    assert caught.value.code == "SIGN_TCG_MAGIC"
    tpm.open()
    with pytest.raises(TpmError):  # past our own check
        tpm._supervisor.call(Sign(message, last=True), bytes)
    assert_signs(tpm, b"\0" + message)


def test_parts_that_were_never_finished_are_no_part_of_the_next_message(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    tpm._supervisor.call(Sign(b"left over", last=False), type(None))
    kill_and_wait(process_of(tpm))
    assert_signs(tpm, b"a message")


def test_nothing_stays_in_the_tpm(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    for _ in range(5):
        tpm.sign(bytes(3000))
        with pytest.raises(TpmError):
            tpm._supervisor.call(Sign(GENERATED_MAGIC + bytes(3000), last=True), bytes)
    tpm.close()
    for kind in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        assert tpm2(swtpm.tcti, "getcap", kind) == ""
