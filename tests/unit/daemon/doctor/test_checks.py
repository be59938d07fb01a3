"""Each check against the condition that it is there for."""

import os
import socket
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swt3_agent.collect.clock import ClockState
from swt3_agent.config import Ledger
from swt3_agent.config.settings import LedgerSettings, TpmSettings
from swt3_agent.daemon.disk import Room, shortage
from swt3_agent.daemon.doctor import places, software
from swt3_agent.daemon.doctor.finding import Finding, Level, run_check
from swt3_agent.daemon.doctor.keys import check_keys
from swt3_agent.daemon.doctor.ledger import check_ledger
from swt3_agent.daemon.doctor.machine import check_clock, check_tpm, check_tpm_told, may_use
from swt3_agent.errors import StateError
from swt3_agent.store.state import Layout, StateDirectory
from swt3_agent.tpm.auth_value import create_auth
from swt3_agent.tpm.key_files import blob_of, write_blob
from tests.support.software_tpm import short_directory
from tests.unit.tcg.vectors import AK_TPMT


def codes(findings: Iterable[Finding]) -> dict[str, Level]:
    """What was found, by code; each with a remedy."""
    found = [finding for finding in findings if finding.level is not Level.OK]
    assert all(finding.remedy and finding.detail for finding in found)
    return {finding.code: finding.level for finding in found}


def test_an_interpreter_that_is_not_tested_is_named() -> None:
    assert codes(software.check_python((3, 9))) == {"PYTHON_UNTESTED": Level.WARN}
    assert codes(software.check_python((3, 12))) == {}


def test_a_module_that_is_missing_is_named() -> None:
    found = list(software.check_modules({"no_such_module": "nothing works"}))
    assert codes(found) == {"MISSING_EXTRA": Level.FAIL}
    assert "nothing works" in found[0].detail
    assert codes(software.check_modules()) == {}


def test_code_slipped_in_by_the_loader_is_named() -> None:
    environment = {"LD_PRELOAD": "/evil.so", "LD_AUDIT": ""}
    assert codes(software.check_loader(environment, "us")) == {"LOADER_VARIABLE": Level.WARN}


def test_the_environment_of_a_process_is_what_it_was_started_with() -> None:
    environment = software.environment_of(os.getpid())
    assert environment["PATH"]


def test_a_state_directory_that_others_may_read_fails(tmp_path: Path) -> None:
    root = tmp_path / "state"
    StateDirectory.open(root).close()
    assert "STATE_OPEN" not in codes(places.check_state(root))
    root.chmod(0o755)
    assert codes(places.check_state(root))["STATE_OPEN"] is Level.FAIL


def test_a_state_directory_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    assert Level.FAIL not in codes(places.check_state(tmp_path / "a" / "b")).values()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs here")
def test_a_state_directory_in_memory_is_said_to_be_forgetful() -> None:
    assert places.file_system_of(Path("/dev/shm")) == "tmpfs"
    assert places.file_system_of(Path("/proc/self")) == "proc"


def test_mount_points_with_spaces_are_read(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inside = tmp_path / "with space"
    inside.mkdir()
    escaped = str(inside).replace(" ", "\\040")
    mounts.write_text(f"a / ext4 rw 0 0\nb {escaped} tmpfs rw 0 0\n")
    assert places.file_system_of(inside / "x", mounts) == "tmpfs"
    assert places.file_system_of(tmp_path, mounts) == "ext4"


@pytest.mark.parametrize(
    ("room", "short"),
    [
        (Room(10 * 2**30, 100 * 2**30, 10**6), False),
        (Room(200 * 2**20, 100 * 2**30, 10**6), True),
        (Room(10 * 2**20, 100 * 2**20, None), False),  # a small disk, a tenth of it free
        (Room(2**20, 100 * 2**20, None), True),
        (Room(10 * 2**30, 100 * 2**30, 10), True),
        (Room(0, 0, None), False),  # a file system that does not count
    ],
)
def test_a_disk_that_is_nearly_full_is_said_to_be(room: Room, short: bool) -> None:
    assert (shortage(room) is not None) == short


def test_a_damaged_key_fails(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.keys.mkdir()
    (layout.keys / "ak.json").write_text("{")
    found = run_check("keys", lambda: check_keys(layout))
    assert codes(found) == {"TPM_KEY_DAMAGED": Level.FAIL}


def test_a_key_that_the_log_names_is_looked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert list(run_check("keys", lambda: check_keys(layout, AK_TPMT))) == []  # no state yet
    layout.keys.mkdir()
    assert list(run_check("keys", lambda: check_keys(layout))) == []
    found = run_check("keys", lambda: check_keys(layout, AK_TPMT))
    assert codes(found) == {"TPM_KEY_GONE": Level.FAIL}
    write_blob(layout.keys, blob_of(AK_TPMT, b"private", b"template", b"name"))
    (unseen,) = run_check("keys", lambda: check_keys(layout, AK_TPMT))
    assert (unseen.level, "must come as the credential" in unseen.detail) == (Level.OK, True)
    create_auth(layout.keys)
    (whole,) = run_check("keys", lambda: check_keys(layout, AK_TPMT))
    assert (whole.level, "with its authValue" in whole.detail) == (Level.OK, True)


@pytest.mark.permissions
def test_what_another_user_keeps_is_no_failure(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.keys.mkdir()
    layout.keys.chmod(0)
    found = codes(run_check("keys", lambda: check_keys(layout)))
    layout.keys.chmod(0o700)
    assert found == {"NOT_FOR_THIS_USER": Level.WARN}


def test_state_that_only_others_may_see_is_no_failure() -> None:
    def check() -> Iterable[Finding]:
        raise StateError("STATE_DENIED", "no", remedy="be another")

    assert codes(run_check("agent", check)) == {"STATE_DENIED": Level.WARN}


def test_an_intake_that_is_gone_under_a_daemon_fails(tmp_path: Path) -> None:
    path = tmp_path / "intake.sock"
    assert codes(places.check_intake(path, running=True)) == {"SOCKET_GONE": Level.FAIL}
    assert codes(places.check_intake(path, running=False)) == {}


def test_a_directory_of_the_intake_that_nobody_will_make_fails(tmp_path: Path) -> None:
    found = places.check_intake(tmp_path / "absent" / "intake.sock", running=False)
    assert codes(found) == {"SOCKET_PATH": Level.FAIL}


def test_an_intake_that_answers_is_good() -> None:
    with short_directory() as room, socket.socket(socket.AF_UNIX) as listener:
        room.chmod(0o755)
        listener.bind(str(room / "s"))
        listener.listen()
        assert codes(places.check_intake(room / "s", running=True)) == {}


def test_a_tpm_that_is_not_there_fails(tmp_path: Path) -> None:
    found = check_tpm(TpmSettings(tcti=f"device:{tmp_path}/tpm"))
    assert codes(found) == {"TPM_ABSENT": Level.FAIL}


def test_no_tpm_by_choice_is_a_warning() -> None:
    assert codes(check_tpm(TpmSettings(tcti="none"))) == {"LOG_UNSIGNED": Level.WARN}


def test_the_software_tpm_of_a_running_agent_is_a_warning_too() -> None:
    told = check_tpm_told({"kind": "software-tpm", "manufacturer": "IBM"})
    assert codes(told) == {"SOFTWARE_TPM": Level.WARN}
    (found,) = check_tpm_told({"kind": "tpm", "manufacturer": "IFX"})
    assert found.level is Level.OK


def test_a_device_that_its_user_may_not_use_is_seen_from_root(tmp_path: Path) -> None:
    device = tmp_path / "tpm"
    device.touch(mode=0o600)
    assert may_use(device, "root")
    if os.geteuid() == 0:
        assert not may_use(device, "nobody")
    device.chmod(0o666)
    assert may_use(device, "nobody")
    assert may_use(device, "no such user here")


def test_a_clock_that_nothing_disciplines_is_a_warning() -> None:
    def denied() -> ClockState:
        raise PermissionError(1, "adjtimex: no")

    assert codes(check_clock(lambda: ClockState(True, 1000, 10))) == {}
    assert codes(check_clock(lambda: ClockState(False, 1, 1))) == {
        "CLOCK_UNSYNCHRONISED": Level.WARN
    }
    assert codes(check_clock(denied)) == {"CLOCK_UNKNOWN": Level.WARN}


def ledger(endpoint: str, ca: Path | None = None) -> Ledger:
    return Ledger(endpoint, "axm_test", LedgerSettings(ca=None if ca is None else str(ca)))


def test_a_ledger_that_does_not_answer_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = check_ledger(ledger(f"https://127.0.0.1:{port}"))
    assert codes(found) == {"LEDGER_UNREACHABLE": Level.FAIL}


def test_a_ledger_without_tls_or_trust_is_told_apart(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, args=(listener, context), daemon=True).start()
        endpoint = f"https://localhost:{listener.getsockname()[1]}"
        assert codes(check_ledger(ledger(endpoint))) == {"LEDGER_UNTRUSTED": Level.FAIL}
        assert codes(check_ledger(ledger(endpoint, certificate))) == {}


def test_a_file_of_the_ledger_is_not_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    endpoint = "https://127.0.0.1:9"
    missing = run_check("ledger", lambda: check_ledger(ledger(endpoint, tmp_path / "none.pem")))
    (found,) = missing
    assert (found.code, found.level) == ("SYSTEM", Level.FAIL)
    assert "agent.ledger" in found.detail
    assert "No such file" in found.detail
    unfit = check_ledger(ledger(endpoint, tmp_path / "empty.pem"))
    assert codes(unfit) == {"LEDGER_TLS": Level.FAIL}


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Shake hands twice."""
    for _ in range(2):
        connection, _address = listener.accept()
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
