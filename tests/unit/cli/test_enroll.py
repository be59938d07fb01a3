"""The enroller's steps on the command line: files, modes, what is printed and what never is."""

import json
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swt3_agent.cli import main
from swt3_agent.cli.enroll_files import using_up
from swt3_agent.errors import FormatError
from swt3_agent.protocol.enrolment import encode_file
from swt3_agent.verify.enrolment import pending_state
from tests.support.enrolment import Vendor, answer_to, enrolment_key, paper_ek, request_of
from tests.support.forge import PaperNode

EK = paper_ek("ecc256")
NOW = datetime.now(timezone.utc)
NODE = PaperNode(utc_ms=int(NOW.timestamp() * 1000) - 60_000)
PIN = f"sha256:{EK.spki_sha256.hex()}"


class Desk:
    """An enroller's directory, and the command line in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys
        self.write("node.request", encode_file(request_of(NODE, enrolment_key(EK))))
        assert self.run("keygen", "-o", "enroller.pem")[0] == 0

    def __call__(self, name: str) -> Path:
        return self.root / name

    def write(self, name: str, data: bytes) -> None:
        self(name).write_bytes(data)

    def run(self, step: str, *arguments: str) -> tuple[int, str, str]:
        """Names of files are those in the directory. Exit code, output, errors."""
        said = [
            str(self(each)) if each.partition(".")[2].isalpha() and ":" not in each else each
            for each in arguments
        ]
        code = main(["enroll", step, *said])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, step: str, *arguments: str) -> Any:
        code, out, err = self.run(step, *arguments, "--json")
        assert code == 0, out + err
        return json.loads(out)

    def challenge(self, *arguments: str) -> tuple[int, str, str]:
        files = ("node.request", "--state", "node.state", "-o", "node.challenge")
        return self.run("challenge", *files, *(arguments or ("--ek", PIN)))

    def answer(self) -> None:
        self.write("node.answer", answer_to(self("node.challenge").read_bytes(), EK, NODE))

    def accept(self, *arguments: str) -> tuple[int, str, str]:
        files = ("node.answer", "--state", "node.state", "--key", "enroller.pem")
        return self.run("accept", *files, "--name", "me", *(arguments or ("-o", "node.trust")))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code_in(printed: tuple[int, str, str]) -> str:
    code, _, err = printed
    assert code != 0
    return err.rstrip().rpartition("[")[2].rstrip("]")


def test_a_round_leaves_a_trust_file_and_a_state_that_is_used_up(desk: Desk) -> None:
    assert desk.challenge()[0] == 0
    secret = pending_state(desk("node.state").read_bytes()).secret
    desk.answer()
    code, out, err = desk.accept()
    assert (code, err) == (0, "")
    assert "pinned by hand" in out
    assert desk("node.trust").read_bytes().startswith(b"swt3-agent/trust/2\n")
    left = b"".join(path.read_bytes() for path in desk.root.iterdir())
    assert msgspec.json.encode(secret)[1:-1] not in left
    assert sorted(path.name for path in desk.root.iterdir()) == [
        *("enroller.pem", "node.answer", "node.challenge", "node.request", "node.state"),
        "node.trust",
    ]


def test_a_state_is_used_once(desk: Desk) -> None:
    desk.challenge()
    desk.answer()
    desk.accept()
    assert code_in(desk.accept("-o", "again.trust")) == "ACTIVATION_REUSED"
    assert not desk("again.trust").exists()


def test_secrets_are_private_and_never_printed(desk: Desk) -> None:
    printed: tuple[object, ...] = desk.challenge()
    state = pending_state(desk("node.state").read_bytes())
    assert mode(desk("node.state")) == mode(desk("enroller.pem")) == 0o600
    for name in ("node.state", "node.challenge", "node.request"):
        for arguments in ((name,), (name, "--json")):
            printed += desk.run("show", *arguments)
    desk.answer()
    printed += desk.accept()
    text = "".join(map(str, printed))
    for spelled in (state.secret.hex(), msgspec.json.encode(state.secret)[1:-2].decode()):
        assert spelled not in text
    assert desk("enroller.pem").read_text().splitlines()[1] not in text


def test_a_private_file_that_others_can_read_is_told_of(desk: Desk) -> None:
    desk.challenge()
    desk.answer()
    desk("enroller.pem").chmod(0o644)
    desk("node.state").chmod(0o640)
    code, _, err = desk.accept()
    assert code == 0
    assert err.count("can be read by others") == 2


def test_no_step_replaces_a_file(desk: Desk) -> None:
    assert code_in(desk.run("keygen", "-o", "enroller.pem")) == "FILE_EXISTS"
    desk.write("node.challenge", b"old")
    assert code_in(desk.challenge()) == "FILE_EXISTS"
    assert not desk("node.state").exists()
    desk("node.challenge").unlink()
    desk.challenge()
    desk.answer()
    desk.write("node.trust", b"old")
    assert code_in(desk.accept()) == "FILE_EXISTS"
    assert desk("node.trust").read_bytes() == b"old"
    assert desk.accept("-o", "new.trust")[0] == 0  # what failed used nothing up


def test_a_state_is_a_file_of_its_own(desk: Desk) -> None:
    os.mkfifo(desk("node.state"))  # as any device, it would be written to and then be taken away
    desk.write("node.challenge", b"old")
    assert code_in(desk.challenge()) == "FILE_EXISTS"
    assert desk("node.state").is_fifo()


def test_what_is_refused_uses_nothing_up(desk: Desk) -> None:
    desk.challenge()
    desk.answer()
    right = desk("node.answer").read_bytes()
    desk.write("node.answer", right.replace(b'"activation":"', b'"activation":"00', 1))
    assert code_in(desk.accept()) == "ENROL_FILE"
    desk.write("node.answer", right)
    assert desk.accept()[0] == 0


def test_of_two_who_use_a_state_one_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"pending")
    with using_up(state, b"pending", lambda: b"used"):
        goes_no_further(state)
    goes_no_further(state)  # who read it before, and comes after the other is through
    assert state.read_bytes() == b"used"
    assert list(tmp_path.iterdir()) == [state]


def goes_no_further(state: Path) -> None:
    with pytest.raises(FormatError) as caught, using_up(state, b"pending", lambda: b"other"):
        raise AssertionError
    assert caught.value.code == "ACTIVATION_REUSED"


def test_whoever_fails_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"pending")
    with pytest.raises(OSError, match="full"), using_up(state, b"pending", lambda: b"used"):
        raise OSError("full")
    assert state.read_bytes() == b"pending"
    assert list(tmp_path.iterdir()) == [state]


def test_json_of_every_step(desk: Desk) -> None:
    files = ("node.request", "--ek", PIN, "--state", "node.state", "-o", "node.challenge")
    challenged = desk.json("challenge", *files)
    assert challenged["schema"] == "swt3-agent/enroll-challenge/1"
    assert (challenged["tpm"], challenged["ek_certified"]) == ("hardware", False)
    assert challenged["ek_sha256"] == EK.spki_sha256.hex()
    desk.answer()
    more = ("--state", "node.state", "--key", "enroller.pem", "--name", "me", "-o", "node.trust")
    accepted = desk.json("accept", "node.answer", *more)
    assert accepted["schema"] == "swt3-agent/enroll-accept/1"
    assert (accepted["node_id"], accepted["floor"]["size"]) == (NODE.node_id, 7)
    assert (accepted["ek_certified"], accepted["ek_root_sha256"]) == (False, None)
    revoked = desk.json(
        "revoke", "node.trust", "--key", "enroller.pem", "--at", "5", "-o", "revoked.trust"
    )
    assert (revoked["schema"], revoked["revoked_ms"]) == ("swt3-agent/enroll-revoke/1", 5)
    renewed = desk.json("renew", "node.trust", "--key", "enroller.pem", "-o", "renewed.trust")
    assert renewed["valid_until_ms"] >= accepted["valid_until_ms"]
    shown = desk.json("show", "revoked.trust")
    assert (shown["schema"], shown["revoked_ms"]) == ("swt3-agent/enroll-show/1", 5)
    assert desk.json("show", "node.request")["endorsement_keys"][0]["certificate"] is None
    assert desk.json("show", "node.answer")["request"] == challenged["request"]
    assert code_in(desk.run("show", "node.state")) == "ACTIVATION_REUSED"


def test_eks_are_pinned_from_a_file_too(desk: Desk) -> None:
    desk.write("pins.txt", f"# of the delivery note\n{PIN}  # gpu-7\n\n".encode())
    assert desk.challenge("--ek", "pins.txt")[0] == 0


@pytest.mark.parametrize(
    ("pins", "code"),
    [
        (b"", "BAD_EK"),
        (PIN.upper().encode(), "BAD_EK"),
        (PIN[:-1].encode(), "BAD_EK"),
        (b"sha256:" + b"00" * 32, "EK_NOT_ALLOWED"),
    ],
)
def test_a_pin_that_is_none_is_refused(desk: Desk, pins: bytes, code: str) -> None:
    desk.write("pins.txt", pins)
    assert code_in(desk.challenge("--ek", "pins.txt")) == code
    assert not desk("node.state").exists()


def test_roots_are_found_in_directories_below(desk: Desk) -> None:
    year = timedelta(days=365)
    root = Vendor(start=NOW - year, end=NOW + year)
    certificate = enrolment_key(EK, root.certify(EK, start=NOW - year, end=NOW + year))
    desk.write("node.request", encode_file(request_of(NODE, certificate)))
    roots = desk("vendors")
    (roots / "one").mkdir(parents=True)
    (roots / "README").write_text("not a certificate")
    assert code_in(desk.challenge("--roots", str(roots))) == "ROOTS_UNREADABLE"
    (roots / "one" / "root.PEM").write_bytes(root.pem)
    code, out, _ = desk.challenge("--roots", str(roots))
    assert code == 0
    assert "certified under O=Vendor,CN=Root" in out


@pytest.mark.parametrize("name", ["node.absent", "node.request"])
def test_roots_that_are_no_directory_are_an_error(desk: Desk, name: str) -> None:
    assert code_in(desk.challenge("--roots", name)) == "ROOTS_UNREADABLE"


@pytest.mark.permissions
def test_roots_that_cannot_all_be_read_are_an_error(desk: Desk) -> None:
    closed = desk("vendors") / "closed"
    closed.mkdir(parents=True)
    (desk("vendors") / "root.pem").write_bytes(Vendor().pem)
    closed.chmod(0)
    code, _, err = desk.challenge("--roots", str(desk("vendors")))
    closed.chmod(0o700)
    assert code != 0
    assert str(closed) in err
    assert "ROOTS_UNREADABLE" in err


def test_without_roots_and_pins_nothing_is_trusted(desk: Desk) -> None:
    assert code_in(desk.challenge("--allow-software-tpm")) == "ENROL_NO_ANCHOR"


@pytest.mark.parametrize(
    "arguments",
    [("--name", "two words"), ("--name", "a+b"), ("--valid-days", "0"), ("--valid-days", "4000")],
)
def test_what_no_trust_file_can_say_is_a_mistake(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.challenge()
    desk.answer()
    assert code_in(desk.accept("-o", "node.trust", *arguments)) == "USAGE"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: b"{" * 500_000,
        lambda data: b"\xff\xfe",
        lambda data: b'{"format":"\xff"}',
        lambda data: b'{"format":"swt3-agent/enrol-request/1"}',
        lambda data: b"[1]",
    ],
)
def test_no_step_breaks_on_a_spoilt_file(desk: Desk, spoil: Callable[[bytes], bytes]) -> None:
    data = spoil(desk("node.request").read_bytes())
    for name in ("node.request", "node.answer", "node.trust", "node.state"):
        desk.write(name, data)
    key = ("--key", "enroller.pem")
    steps: tuple[tuple[str, ...], ...] = (
        ("challenge", "node.request", "--ek", PIN, "--state", "new.state", "-o", "new.file"),
        ("accept", "node.answer", "--state", "node.state", *key, "--name", "me", "-o", "new.file"),
        ("revoke", "node.trust", *key, "-o", "new.file"),
        ("show", "node.request"),
    )
    for step in steps:
        code, _, err = desk.run(*step)
        assert code in (1, 2)
        assert "remedy: " in err
    assert not desk("new.file").exists()


@pytest.mark.parametrize("data", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_enrollers_key_is_refused(desk: Desk, data: bytes) -> None:
    desk.challenge()
    desk.answer()
    desk.write("enroller.pem", data)
    assert code_in(desk.accept()) == "ENROLLER_KEY"
