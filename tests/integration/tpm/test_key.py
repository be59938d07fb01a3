"""The attestation key: made once, found again, never replaced unasked."""

import shutil
import stat
from pathlib import Path

import pytest

from swt3_agent.errors import TpmError
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.tcg.public import check_ak, parse_public
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.key_files import earlier_path, read_next
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.tpm.conftest import OpenTpm
from tests.integration.tpm.processes import kill_and_wait, process_of
from tests.support.software_tpm import start_copy, tpm2


def refusal(tpm: Tpm) -> TpmError:
    with pytest.raises(TpmError) as caught:
        tpm.open()
    assert caught.value.remedy
    return caught.value


def test_first_open_creates_a_key_that_a_verifier_accepts(open_tpm: OpenTpm, room: Path) -> None:
    identity = open_tpm().open()
    check_ak(parse_public(identity.ak_public))
    assert identity.ak_created
    assert identity.kind is RootOfTrust.SOFTWARE_TPM
    assert (identity.manufacturer, identity.vendor) == ("IBM", "SW TPM")
    assert identity.firmware
    for name in ("ak.json", "ak.auth"):
        assert stat.S_IMODE((room / "keys" / name).stat().st_mode) == 0o600


def test_another_process_finds_the_same_key(open_tpm: OpenTpm) -> None:
    first = open_tpm()
    created = first.open()
    first.close()
    found = open_tpm().open()
    assert found.ak_public == created.ak_public
    assert not found.ak_created


def test_the_key_survives_a_tpm_reset_which_is_counted(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    identity, before = tpm.open(), tpm.clock()
    tpm.extend_and_quote(b"before the reset\n")
    tpm.close()
    swtpm.stop()
    with start_software_tpm(room / "tpm"):
        tpm = open_tpm()
        assert tpm.open().ak_public == identity.ak_public
        after = tpm.clock()
        assert after.reset_count == before.reset_count + 1
        assert after.clock_ms >= before.clock_ms
        assert after.safe
        assert tpm.read_pcrs((13,)) == {13: bytes(32)}
        tpm.close()


def test_a_wrong_authvalue_is_refused(open_tpm: OpenTpm, room: Path) -> None:
    tpm = open_tpm()
    tpm.open()
    tpm.close()
    (room / "keys" / "ak.auth").write_bytes(b"\x01" * 32)
    assert refusal(open_tpm()).code == "TPM_KEY_AUTH_LOST"


def test_a_systemd_credential_takes_precedence_over_the_file(
    open_tpm: OpenTpm, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = room / "credentials"
    credentials.mkdir()
    (credentials / "ak-auth").write_bytes(b"\x02" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    tpm = open_tpm()
    tpm.open()
    tpm.close()
    assert not (room / "keys" / "ak.auth").exists()
    (credentials / "ak-auth").write_bytes(b"\x03" * 32)
    assert refusal(open_tpm()).code == "TPM_KEY_AUTH_LOST"


def test_the_key_of_another_tpm_is_refused_and_kept(open_tpm: OpenTpm, room: Path) -> None:
    tpm = open_tpm()
    tpm.open()
    tpm.close()
    blob = (room / "keys" / "ak.json").read_bytes()
    with (
        start_software_tpm(room / "other") as other,
        Tpm(other.tcti, room / "other-keys", quoted_pcrs=(13,)),
    ):
        pass
    shutil.copy(room / "other-keys" / "ak.json", room / "keys" / "ak.json")
    foreign = (room / "keys" / "ak.json").read_bytes()
    assert foreign != blob
    assert refusal(open_tpm()).code == "TPM_KEY_OTHER_TPM"
    assert (room / "keys" / "ak.json").read_bytes() == foreign


def test_a_cleared_tpm_makes_no_new_key_unless_told_to(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm = open_tpm()
    old = tpm.open()
    tpm.close()
    tpm2(swtpm.tcti, "clear", "-c", "p")
    tpm = open_tpm()
    assert refusal(tpm).code == "TPM_KEY_CLEARED"
    new = tpm.make_replacement()
    assert new.ak_created
    assert new.ak_public != old.ak_public
    assert refusal(tpm).code == "TPM_KEY_CLEARED"  # until the log names it
    assert read_next(room / "keys") is not None
    assert tpm.adopt_successor(new.ak_public).ak_public == new.ak_public
    assert tpm.open().ak_public == new.ak_public
    assert read_next(room / "keys") is None
    assert earlier_path(room / "keys", parse_public(old.ak_public).name()).exists()


def test_a_key_that_vanishes_under_a_running_agent_is_not_made_again(
    open_tpm: OpenTpm, room: Path
) -> None:
    tpm = open_tpm()
    tpm.open()
    kill_and_wait(process_of(tpm))
    (room / "keys" / "ak.json").unlink()
    with pytest.raises(TpmError) as caught:
        tpm.challenge(b"a nonce!")
    assert caught.value.code == "TPM_KEY_GONE"
    assert not (room / "keys" / "ak.json").exists()


def test_a_bank_that_is_not_allocated_is_refused(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    tpm2(swtpm.tcti, "pcrallocate", "sha1:all+sha256:none")
    swtpm.stop()
    with start_software_tpm(room / "tpm"):
        assert refusal(open_tpm()).code == "TPM_BANK"


def test_an_owned_endorsement_hierarchy_is_named(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm2(swtpm.tcti, "changeauth", "-c", "e", "secret")
    error = refusal(open_tpm())
    assert error.code == "TPM_DENIED"
    assert "endorsement" in error.message


def test_nothing_stays_in_the_tpm(template: Path, room: Path) -> None:
    with start_copy(template, room / "tpm") as swtpm:
        kinds = ("handles-persistent", "handles-nv-index")
        before = [tpm2(swtpm.tcti, "getcap", kind) for kind in kinds]
        with Tpm(swtpm.tcti, room / "keys", quoted_pcrs=(0, 13)) as tpm:
            for number in range(50):
                tpm.challenge(b"nonce %03d" % number)
        assert [tpm2(swtpm.tcti, "getcap", kind) for kind in kinds] == before
        assert tpm2(swtpm.tcti, "getcap", "handles-transient") == ""
        assert tpm2(swtpm.tcti, "getcap", "handles-loaded-session") == ""
        assert tpm2(swtpm.tcti, "getcap", "handles-saved-session") == ""
