"""The units agree with the code, and are as tight as they say."""

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from swt3_agent.config import DEFAULT_SOCKET, DEFAULT_STATE_DIR
from swt3_agent.config.credentials import LEDGER_CREDENTIAL, SIGNING_CREDENTIAL
from swt3_agent.config.settings import ProbeSettings
from swt3_agent.daemon.control import OPERATORS
from swt3_agent.daemon.sockets import NAMES
from swt3_agent.errors import ConfigError
from swt3_agent.probe.client import BOOT_LOG_CREDENTIAL, NO_BOOT_LOG
from swt3_agent.probe.logs import PLACES, SECURITY
from swt3_agent.probe.server import DEADLINE_S
from swt3_agent.probe.wire import Log
from swt3_agent.relay.intake import CLIENT_GROUP
from swt3_agent.tpm.auth_value import CREDENTIAL_NAME as AK_CREDENTIAL

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = UNITS / "swt3-agent.service"
PROBE = UNITS / "swt3-agent-probe@.service"
PROBE_SOCKET = UNITS / "swt3-agent-probe.socket"
SOCKETS = sorted({*UNITS.glob("*.socket")} - {PROBE_SOCKET})
"""Those of the daemon."""
MOST_EXPOSURE = 16
"""In tenths, of 100: 1.6."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)

Section = dict[str, list[str]]


def parse_unit(path: Path) -> dict[str, Section]:
    """Sections of a unit file: every value of every key, in order."""
    sections: defaultdict[str, Section] = defaultdict(lambda: defaultdict(list))
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, f"{path.name}:{number}"
            assert section, f"{path.name}:{number}"
            sections[section][key].append(value)
    return sections


def words(values: list[str]) -> list[str]:
    return [word for value in values for word in value.split()]


def test_every_socket_of_the_daemon_has_a_unit() -> None:
    units = {parse_unit(path)["Socket"]["FileDescriptorName"][0]: path.name for path in SOCKETS}
    assert units == {name: f"swt3-agent-{name}.socket" for name in NAMES}


@pytest.mark.parametrize("path", SOCKETS, ids=lambda path: path.stem)
def test_a_socket_listens_where_it_should_and_for_whom(path: Path) -> None:
    socket = parse_unit(path)["Socket"]
    (name,), (address,) = socket["FileDescriptorName"], socket["ListenStream"]
    assert socket["Service"] == [SERVICE.name]
    if name.endswith("-tcp"):
        assert address.startswith("127.0.0.1:")
        return
    assert address == str(DEFAULT_SOCKET.with_name(f"{name}.sock"))
    assert socket["SocketMode"] == ["0660"]
    assert socket["SocketUser"] == ["swt3"]
    group = CLIENT_GROUP if name in ("intake", "http") else OPERATORS
    assert socket["SocketGroup"] == [group]
    assert socket["DirectoryMode"] == ["0755"]


def test_only_unix_sockets_come_with_the_service() -> None:
    unit = parse_unit(SERVICE)
    wanted = {path.name for path in (*SOCKETS, PROBE_SOCKET) if not path.stem.endswith("-tcp")}
    assert set(words(unit["Install"]["Also"])) == wanted
    assert set(words(unit["Unit"]["Requires"] + unit["Unit"]["Wants"])) == wanted


def test_the_service_is_nobody_with_nothing() -> None:
    service = parse_unit(SERVICE)["Service"]
    assert service["Type"] == ["notify"]
    assert service["User"] == ["swt3"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["AmbientCapabilities"] == [""]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["MemoryDenyWriteExecute"] == ["yes"]
    assert service["DevicePolicy"] == ["closed"]
    assert "PrivateDevices" not in service  # the TPM and the GPUs would be gone
    assert "PrivateUsers" not in service  # every peer would be 65534
    assert "LD_PRELOAD" in words(service["UnsetEnvironment"])


def test_the_service_gets_the_state_and_the_secrets_that_the_agent_looks_for() -> None:
    service = parse_unit(SERVICE)["Service"]
    assert service["StateDirectory"] == [DEFAULT_STATE_DIR.name]
    assert service["StateDirectoryMode"] == ["0700"]
    loaded = {name: place for name, _, place in map(parted, service["LoadCredential"])}
    assert set(loaded) == {
        LEDGER_CREDENTIAL,
        SIGNING_CREDENTIAL,
        AK_CREDENTIAL,
        BOOT_LOG_CREDENTIAL,
    }
    # An absolute path that is not there would keep the service from starting, and so would one
    # whose place is taken by nothing.
    instead = {name: value for name, _, value in map(parted, service["SetCredential"])}
    assert {name for name, place in loaded.items() if place.startswith("/")} == set(instead)
    assert instead == {BOOT_LOG_CREDENTIAL: NO_BOOT_LOG.decode()}
    assert loaded[BOOT_LOG_CREDENTIAL] == str("/" / SECURITY / PLACES[Log.BOOT][0])


def parted(value: str) -> tuple[str, str, str]:
    return value.partition(":")


def test_the_probe_answers_the_agent_alone() -> None:
    socket = parse_unit(PROBE_SOCKET)["Socket"]
    assert socket["ListenStream"] == [ProbeSettings().socket]
    assert socket["Accept"] == ["yes"]  # a process for each connection
    assert socket["SocketUser"] == parse_unit(SERVICE)["Service"]["User"]
    assert socket["SocketMode"] == ["0600"]
    # Containers of inference processes see that directory.
    assert not Path(ProbeSettings().socket).is_relative_to(DEFAULT_SOCKET.parent)


def test_the_probe_has_the_group_of_the_logs_and_nothing_else() -> None:
    service = parse_unit(PROBE)["Service"]
    assert service["DynamicUser"] == ["yes"]
    assert service["SupplementaryGroups"] == ["root"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["AmbientCapabilities"] == [""]
    assert service["PrivateNetwork"] == ["yes"]
    assert service["PrivateDevices"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert "ReadWritePaths" not in service
    assert "PrivateUsers" not in service  # every peer would be 65534, and the socket's owner too
    (longest,) = service["RuntimeMaxSec"]
    assert int(longest.removesuffix("s")) > DEADLINE_S


def test_only_what_waiting_does_not_mend_stops_the_restarts() -> None:
    unit = parse_unit(SERVICE)
    service = unit["Service"]
    assert service["Restart"] == ["always"]
    assert service["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
    (interval,), (burst,) = unit["Unit"]["StartLimitIntervalSec"], unit["Unit"]["StartLimitBurst"]
    assert int(interval) <= int(burst) * int(service["RestartSec"][0].removesuffix("s"))


def test_users_and_groups_are_those_that_the_code_knows() -> None:
    lines = (UNITS / "swt3-agent.sysusers").read_text().splitlines()
    made = {tuple(line.split()[:2]) for line in lines if line and not line.startswith("#")}
    assert made >= {("u", "swt3"), ("g", OPERATORS), ("g", CLIENT_GROUP)}


@needs_systemd
def test_the_exposure_of_the_probe_is_low(tmp_path: Path) -> None:
    name = PROBE.name.replace("@", "@1")
    done = analyze(installed(tmp_path), "security", "--offline=true", "--threshold=4", name)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@needs_systemd
@pytest.mark.parametrize(("drop_in", "most"), [(None, MOST_EXPOSURE), ("air-gap.conf", 8)])
def test_its_exposure_is_low(tmp_path: Path, drop_in: str | None, most: int) -> None:
    directory = installed(tmp_path)
    if drop_in is not None:
        places = directory / f"{SERVICE.name}.d"
        places.mkdir()
        shutil.copy(UNITS / drop_in, places)
    done = analyze(directory, "security", "--offline=true", f"--threshold={most}", SERVICE.name)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@needs_systemd
@pytest.mark.parametrize("name", [path.name for path in (SERVICE, PROBE, PROBE_SOCKET, *SOCKETS)])
def test_systemd_understands_every_line(tmp_path: Path, name: str) -> None:
    directory = installed(tmp_path)
    done = analyze(directory, "verify", "--man=no", str(directory / name))
    # It succeeds whatever it does not know, and says so here. The agent itself is not installed.
    complaints = [
        line for line in done.stderr.splitlines() if "swt3-agent" in line and "not exec" not in line
    ]
    assert complaints == []


def installed(directory: Path) -> Path:
    """The units in a directory of their own."""
    units = directory / "units"
    units.mkdir()
    for path in (SERVICE, PROBE, PROBE_SOCKET, *SOCKETS):
        shutil.copy(path, units)
    return units


def analyze(units: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
