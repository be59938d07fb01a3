"""The counter in NV memory: defined once, certified, never confused with another index."""

import contextlib
import hashlib
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.nv_public import check_counter, parse_nv_public
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.tpm.conftest import OpenTpm
from tests.integration.tpm.processes import kill_and_wait, process_of
from tests.support.software_tpm import tpm2

INDEX = 0x01800053
NOTE = hashlib.sha256(b"note").digest()


def refusal(tpm: Tpm, index: int = INDEX) -> TpmError:
    with pytest.raises(TpmError) as caught:
        tpm.open_counter(index)
    assert caught.value.remedy
    return caught.value


def test_a_counter_is_defined_once_and_has_a_value_at_once(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    first = tpm.open_counter(INDEX)
    assert (first.index, first.value, first.defined) == (INDEX, 1, True)
    check_counter(parse_nv_public(first.public))
    again = tpm.open_counter(INDEX)
    assert (again.value, again.defined, again.public) == (1, False, first.public)


def test_it_counts_on_over_processes_and_resets(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    tpm.open_counter(INDEX)
    assert [tpm.increment_counter(INDEX) for _ in range(3)] == [2, 3, 4]
    kill_and_wait(process_of(tpm))
    assert tpm.open_counter(INDEX).value == 4
    tpm.close()
    swtpm.stop()
    with start_software_tpm(room / "tpm"):
        tpm = open_tpm()
        assert tpm.open_counter(INDEX).value == 4
        assert tpm.increment_counter(INDEX) == 5
        tpm.close()


def test_a_certificate_is_the_keys_word_for_the_value(open_tpm: OpenTpm) -> None:
    tpm = open_tpm()
    key = parse_tpmt(tpm.open().ak_public)
    state = tpm.open_counter(INDEX)
    for value in (1, 2):
        signed = tpm.certify_counter(INDEX, NOTE)
        assert has_signed(key, signed.attest, signed.signature_der)
        attest = parse_attest(signed.attest)
        assert attest.extra_data == NOTE
        assert attest.nv is not None
        assert attest.nv.name == parse_nv_public(state.public).name()
        assert (attest.nv.offset, attest.nv.contents) == (0, value.to_bytes(8, "big"))
        tpm.increment_counter(INDEX)


def test_the_tools_see_the_same_value_and_may_not_change_it(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    tpm.open_counter(INDEX)
    tpm.increment_counter(INDEX)
    auth = (room / "keys" / "ak.auth").read_bytes().hex()
    out = room / "value"
    tpm2(swtpm.tcti, "nvread", hex(INDEX), "-s", "8", "-P", f"hex:{auth}", "-o", str(out))
    assert int.from_bytes(out.read_bytes(), "big") == 2
    for wrong in (("nvincrement", hex(INDEX)), ("nvincrement", hex(INDEX), "-C", "o")):
        with pytest.raises(AssertionError):
            tpm2(swtpm.tcti, *wrong)
    assert tpm.open_counter(INDEX).value == 2


def test_a_crash_between_definition_and_first_increment_is_mended(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    tpm.open()
    auth = (room / "keys" / "ak.auth").read_bytes().hex()
    attributes = "nt=counter|authread|authwrite|no_da"
    tpm2(swtpm.tcti, "nvdefine", hex(INDEX), "-C", "o", "-a", attributes, "-p", f"hex:{auth}")
    state = tpm.open_counter(INDEX)
    assert (state.value, state.defined) == (1, True)


def test_a_new_index_counts_on_from_the_highest_value_there_ever_was(
    open_tpm: OpenTpm, swtpm: SoftwareTpm
) -> None:
    tpm = open_tpm()
    tpm.open_counter(INDEX)
    for _ in range(4):
        tpm.increment_counter(INDEX)
    tpm2(swtpm.tcti, "nvundefine", hex(INDEX), "-C", "o")
    with pytest.raises(TpmError) as caught:
        tpm.certify_counter(INDEX, NOTE)
    assert caught.value.code == "TPM_COUNTER_GONE"
    state = tpm.open_counter(INDEX)
    assert (state.value, state.defined) == (6, True)


@pytest.mark.parametrize(
    "attributes",
    [
        "ownerread|ownerwrite|authread|authwrite",
        "nt=counter|ownerread|ownerwrite|authread|authwrite|no_da",
        "nt=counter|authread|authwrite|no_da|orderly",
        "nt=extend|authread|authwrite|no_da",
    ],
)
def test_an_index_of_another_make_is_refused_and_left_alone(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, attributes: str
) -> None:
    size = ("-s", "8") if "nt=" not in attributes else ()
    tpm2(swtpm.tcti, "nvdefine", hex(INDEX), "-C", "o", *size, "-a", attributes)
    before = tpm2(swtpm.tcti, "nvreadpublic", hex(INDEX))
    tpm = open_tpm()
    assert refusal(tpm).code == "TPM_COUNTER_INDEX"
    assert tpm2(swtpm.tcti, "nvreadpublic", hex(INDEX)) == before
    assert tpm.open_counter(INDEX + 1).value > 0


def test_a_counter_with_another_authvalue_is_refused(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    attributes = "nt=counter|authread|authwrite|no_da"
    tpm2(swtpm.tcti, "nvdefine", hex(INDEX), "-C", "o", "-a", attributes, "-p", "another")
    assert refusal(open_tpm()).code == "TPM_COUNTER_AUTH"


def test_only_the_owner_may_define_one(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    tpm2(swtpm.tcti, "changeauth", "-c", "o", "secret")
    assert refusal(tpm).code == "TPM_DENIED"
    tpm2(swtpm.tcti, "changeauth", "-c", "o", "-p", "secret")
    assert tpm.open_counter(INDEX).defined
    tpm2(swtpm.tcti, "changeauth", "-c", "o", "secret")
    assert tpm.increment_counter(INDEX) == 2  # it is the key's now, not the owner's


def test_nv_memory_that_is_full_is_named(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    tpm.open()
    blank, number = ("-s", "2048"), 0
    counter = ("-a", "nt=counter|authread|authwrite|no_da", "-p", "hex:" + "aa" * 32)
    for kind in (blank, counter):
        with contextlib.suppress(AssertionError):
            while True:
                tpm2(swtpm.tcti, "nvdefine", hex(0x01810000 + number), "-C", "o", *kind)
                number += 1
    assert refusal(tpm).code == "TPM_NV_FULL"


def test_nothing_stays_in_the_tpm(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    for _ in range(5):
        tpm.open_counter(INDEX)
        tpm.certify_counter(INDEX, NOTE)
        tpm.increment_counter(INDEX)
    tpm.close()
    for kind in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        assert tpm2(swtpm.tcti, "getcap", kind) == ""
