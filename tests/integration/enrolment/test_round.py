"""Enrolment over files: nodes with software TPMs, an enroller whose Python has next to nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.protocol.enrolment import Challenge, Request, decode_file, encode_file
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.agent import AgentProcess
from tests.support.software_tpm import short_directory

TIMEOUT_S = 120
ABSENT = (
    *("tpm2_pytss", "yaml", "rfc8785", "httpx", "apscheduler", "rich", "starlette", "uvicorn"),
    *("prometheus_client", "sdnotify", "pynvml", "sqlite3"),
)
WITHOUT_THEM = f"""
import contextlib, io, json, sys
for name in {ABSENT!r}:
    sys.modules[name] = None
from swt3_agent.cli import main
printed = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        main([*arguments, "--json"])
    printed.append(json.loads(output.getvalue()))
print(json.dumps(printed))
"""


class Enroller:
    """A machine with Python and the extra `verify`, and nothing else of what the agent needs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def __call__(self, *commands: tuple[str, ...]) -> list[Any]:
        """What each command prints, all in one process."""
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_THEM],
            cwd=self.root,
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed: list[Any] = json.loads(done.stdout)
        return printed


def challenge(request: Path, name: str, *anchors: str) -> tuple[str, ...]:
    files = ("--state", f"{name}.state", "-o", f"{name}.challenge")
    return ("enroll", "challenge", str(request), *files, *anchors)


def accept(answer: Path, name: str, trust: str) -> tuple[str, ...]:
    files = ("--state", f"{name}.state", "--key", "enroller.pem", "-o", trust)
    options = ("--name", "enroller.example", "--allow-software-tpm")
    return ("enroll", "accept", str(answer), *files, *options)


KEYGEN = ("enroll", "keygen", "-o", "enroller.pem")
SOFTWARE = "--allow-software-tpm"


@pytest.fixture
def enroller(tmp_path: Path) -> Enroller:
    return Enroller(tmp_path / "enroller")


@pytest.fixture
def roots(template: Path, tmp_path: Path) -> tuple[str, str]:
    """The authorities of the node's software TPM, root and intermediate."""
    return vendor_of(template, tmp_path / "roots")


def vendor_of(tpm: Path, directory: Path) -> tuple[str, str]:
    directory.mkdir()
    for certificate in (tpm / "ca").glob("*cert.pem"):
        shutil.copy(certificate, directory)
    return "--roots", str(directory)


@pytest.fixture
def node(swtpm: SoftwareTpm, room: Path) -> AgentProcess:
    return AgentProcess(room, swtpm.tcti)


@pytest.fixture
def another_node() -> Iterator[AgentProcess]:
    """A node whose TPM is no copy of any other."""
    with short_directory() as directory, start_software_tpm(directory / "tpm") as tpm:
        yield AgentProcess(directory, tpm.tcti)


def requested(node: AgentProcess) -> Path:
    """A request from the node, which has a log."""
    request = node.root / "node.request"
    assert node.json("enroll", "request", "-o", str(request))["root_of_trust"] == "software-tpm"
    return request


def test_a_node_is_enrolled_under_each_of_its_endorsement_keys(
    node: AgentProcess, enroller: Enroller, roots: tuple[str, str]
) -> None:
    with node:
        request, proof = requested(node), node.root / "proof.json"
        assert node.cli("prove", "0", "-o", str(proof)).returncode == 0
        _, shown = enroller(KEYGEN, ("enroll", "show", str(request)))
        pin = {
            key["template"]: ("--ek", f"sha256:{key['sha256']}")
            for key in shown["endorsement_keys"]
        }
        anchors = {
            "rsa2048": roots,
            "ecc256": pin["ecc256"],
            "ecc384": (*roots, *pin["ecc384"]),
        }
        challenged = enroller(
            *(challenge(request, name, *anchors[name], SOFTWARE) for name in anchors)
        )
        assert [each["ek_template"] for each in challenged] == list(anchors)
        for name in anchors:
            asked, answer = enroller.root / f"{name}.challenge", node.root / f"{name}.answer"
            node.json("enroll", "answer", str(asked), "-o", str(answer))
        assert node.stop()[0] == 0

    for name in anchors:
        answer, trust = node.root / f"{name}.answer", f"{name}.trust"
        accepted, again, doubted, verified = enroller(
            accept(answer, name, trust),
            accept(answer, name, "again.trust"),
            ("verify", str(proof), "--trust", trust),
            ("verify", str(proof), "--trust", trust, SOFTWARE),
        )
        assert (accepted["tpm"], accepted["ek_certified"]) == ("software", name != "ecc256")
        assert accepted["floor"]["size"] > 0
        assert accepted["counter_index"] == "01800053"
        assert again["error"]["code"] == "ACTIVATION_REUSED"
        assert (doubted["code"], doubted["exit_code"]) == ("SOFTWARE_TPM", 4)
        assert (verified["code"], verified["root_of_trust"]) == ("VERIFIED", "software-tpm")


def test_the_ek_of_one_tpm_vouches_for_no_key_of_another(
    node: AgentProcess, another_node: AgentProcess, enroller: Enroller, roots: tuple[str, str]
) -> None:
    """The first node's EK and certificate in a request of the other, whose TPM made the AK."""
    for each in (node, another_node):
        assert each.cli("attest", "host").returncode == 0
    genuine = decode_file(requested(node).read_bytes(), Request)
    own = json.loads(requested(another_node).read_bytes())
    other_ek = own["endorsement_keys"]
    own["endorsement_keys"] = json.loads(encode_file(genuine))["endorsement_keys"]
    borrowed = another_node.root / "borrowed.request"
    borrowed.write_bytes(canonical(own))

    others = vendor_of(another_node.root / "tpm", enroller.root.parent / "others")
    issued, strange, software, another = enroller(
        challenge(borrowed, "node", *roots, SOFTWARE),
        challenge(borrowed, "strange", *others, SOFTWARE),
        challenge(borrowed, "software", *roots),
        challenge(requested_anew(another_node, own, other_ek), "another", *others, SOFTWARE),
    )
    assert issued["ek_certified"] is True
    assert strange["error"]["code"] in {"EK_CERT_SIGNATURE", "EK_CERT_UNTRUSTED_ROOT"}
    assert software["error"]["code"] == "EK_SOFTWARE"
    left = {path.name for path in enroller.root.iterdir()}
    assert left == {f"{name}.{kind}" for name in ("node", "another") for kind in KINDS}

    made = enroller.root / "node.challenge"
    assert refusal(another_node, made) == "ACTIVATION_EK_MISMATCH"
    assert refusal(node, made) == "ACTIVATION_OTHER_NAME"
    # Told that it is for its own EK, the other TPM does not open it all the same.
    asked = json.loads(made.read_bytes())
    assert asked["template"] == another["ek_template"]
    made.write_bytes(canonical({**asked, "ek": another["ek_sha256"]}))
    decode_file(made.read_bytes(), Challenge)
    assert refusal(another_node, made) == "TPM_CREDENTIAL"
    made.write_bytes(canonical({**asked, "node_id": "00" * 16}))
    assert refusal(node, made) == "ENROL_OTHER_NODE"


KINDS = ("state", "challenge")


def requested_anew(node: AgentProcess, own: dict[str, Any], keys: list[Any]) -> Path:
    path = node.root / "own.request"
    path.write_bytes(canonical({**own, "endorsement_keys": keys}))
    return path


def canonical(tree: object) -> bytes:
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def refusal(node: AgentProcess, made: Path) -> str:
    """With what code the node refuses to answer."""
    answer = node.root / "node.answer"
    code: str = node.json("enroll", "answer", str(made), "-o", str(answer))["error"]["code"]
    assert not answer.exists()
    return code


def test_a_node_without_a_tpm_has_nothing_to_enrol(tmp_path: Path) -> None:
    node = AgentProcess(tmp_path)
    assert node.cli("attest", "host").returncode == 0
    refused = node.json("enroll", "request", "-o", str(tmp_path / "node.request"))
    assert refused["error"]["code"] == "TPM_ABSENT"
    assert not (tmp_path / "node.request").exists()


def test_the_nodes_steps_say_which_extra_they_need(enroller: Enroller) -> None:
    (refused,) = enroller(("enroll", "request", "-o", "node.request"))
    assert refused["error"]["code"] == "MISSING_EXTRA"
    assert "swt3-agent[agent]" in refused["error"]["remedy"]
