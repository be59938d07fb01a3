"""``python -m tests.bundle_vectors``: write ``tests/vectors/bundle-2`` anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import identity
from swt3_agent.daemon.node import Node
from swt3_agent.probe.wire import Log
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.boot_logs import IPL, SEPARATOR, event, header, ima_entry, ima_ng
from tests.support.bundle_cases import changed
from tests.support.bundles import export, judged, refuse, relay, trust_in, unpack
from tests.support.measured_boot import boot, extend
from tests.support.probe import serve_probe, write_log
from tests.support.software_tpm import short_directory

DIRECTORY = Path(__file__).parents[1] / "vectors" / "bundle-2"
COMMENT = (
    "Bundles of format 2 (docs/formats.md, Bundle) and what a verifier that allows a software TPM"
    " must make of them. cut: only that many bytes; append: hex at the end; flip: xor one byte of a"
    " member; member_from: put in the member of another bundle; without: leave a member out. A"
    " changed member is packed again with a right header. second.tar begins within the boot of"
    " first.tar and reaches into the next."
)
BOOT_LOG = (
    header()
    + b"".join(event(pcr, SEPARATOR, bytes(4)) for pcr in range(8))
    + event(8, IPL, b"kernel_cmdline: /vmlinuz root=/dev/sda1 ro\0")
    + event(9, IPL, b"/vmlinuz\0")
)


class Machine:
    """A node that can be rebooted."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.boots = 0
        self._tpm: SoftwareTpm | None = None
        self._ima = b""
        (room / "agent.yaml").write_text(f"agent: {{probe: {{socket: {room / 'probe.sock'}}}}}\n")
        identity.BOOT_ID = room / "boot_id"

    @contextmanager
    def booted(self) -> Iterator[Node]:
        """The node after a boot."""
        self.boots += 1
        identity.BOOT_ID.write_text(f"00000000-0000-4000-8000-{self.boots:012}\n")
        with start_software_tpm(self.room / "tpm") as self._tpm:
            boot(self._tpm.tcti, BOOT_LOG)
            write_log(self.room / "kernel", Log.BOOT, BOOT_LOG)
            self._ima = b""
            self.measure("boot_aggregate")
            with self.running() as node:
                yield node

    @contextmanager
    def running(self) -> Iterator[Node]:
        """The node, without a boot."""
        with (
            serve_probe(self.room / "probe.sock", self.room / "kernel"),
            Node(self._settings()) as node,
        ):
            yield node

    def measure(self, path: str) -> None:
        """The kernel measures a file."""
        assert self._tpm is not None
        data = ima_ng(path, sha256(path.encode()).digest())
        extend(self._tpm.tcti, (10, sha256(data).digest()))
        self._ima += ima_entry(data)
        write_log(self.room / "kernel", Log.IMA, self._ima)

    def _settings(self) -> Config:
        environ = {
            "SWT3_STATE_DIR": str(self.room / "state"),
            "SWT3_AGENT_SOCKET": str(self.room / "intake.sock"),
            "SWT3_TPM_TCTI": f"swtpm:path={self.room}/tpm/tpm.sock",
            "SWT3_CLEARING_LEVEL": "1",
        }
        return load_config(environ, self.room / "agent.yaml")


def work(node: Node, reason: str) -> None:
    """What a daemon does."""
    node.counter.step(reason)
    node.attest(["platform"])
    relay(node, 3)
    node.checkpoint("cadence")


def bundles(room: Path) -> dict[str, bytes]:
    """The files of a machine's life."""
    machine = Machine(room)
    with machine.booted() as node:
        work(node, "start")
        refuse(node)
        first = export(node, room / "first.tar")
        machine.measure("/usr/bin/python3.11")
        work(node, "stop")
    with machine.booted() as node:
        work(node, "start")
        second = export(node, room / "second.tar")
        trust = trust_in(node)
    return {"first.tar": first, "second.tar": second, "enroller.trust": trust}


def cases(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Both bundles as they are, and changed in every member."""
    listed: list[dict[str, Any]] = [
        {"file": "first.tar", "trust": True},
        {"file": "second.tar", "trust": True},
        {"file": "second.tar", "trust": False},
        {"file": "second.tar", "trust": True, "cut": 4096},
        {"file": "second.tar", "trust": True, "append": "00"},
    ]
    members = unpack(files["second.tar"])
    for name, data in members.items():
        flip = {"member": name, "byte": len(data) // 2, "xor": 1}
        listed.append({"file": "second.tar", "trust": True, "flip": flip})
        listed.append({"file": "second.tar", "trust": True, "without": name})
        if name in unpack(files["first.tar"]) and not name.startswith("logs/"):
            swapped = {"file": "first.tar", "member": name}
            listed.append({"file": "second.tar", "trust": True, "member_from": swapped})
    return listed


def write(directory: Path) -> int:
    """Make and store them; how many cases."""
    with short_directory() as room:
        files = bundles(room)
    directory.mkdir(exist_ok=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    judged_cases = []
    for case in cases(files):
        trust = files["enroller.trust"] if case["trust"] else None
        report = judged(changed(directory, case), trust)
        judged_cases.append({**case, "code": report.code, "exit_code": report.exit_code})
    text = json.dumps({"comment": COMMENT, "cases": judged_cases}, indent=1)
    (directory / "cases.json").write_text(f"{text}\n")
    return len(judged_cases)


if __name__ == "__main__":
    print(f"{write(DIRECTORY)} cases in {DIRECTORY}")
