"""Places that a test can send a program to: a machine without a network, a stranger's machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import swt3_agent

TIMEOUT_S = 120
_SYSTEM = ("usr", "bin", "lib", "lib32", "lib64", "libx32", "etc/ld.so.cache")


def without_network() -> list[str]:
    """Words before a command that run it where there is no interface and no route at all."""
    return ["unshare", *_as_root(), "--net", "--"]


class StrangersMachine:
    """Another root: Debian's programs, this package and its dependencies, and what is carried in.

    Nothing else of this machine is in it: no state directory, no TPM, no socket, no network.
    """

    def __init__(self, directory: Path) -> None:
        self._luggage = directory / "stick"
        self._root = directory / "root"
        self._luggage.mkdir(parents=True)
        self._root.mkdir()

    def carry_in(self, *files: Path) -> None:
        """Put copies of ``files`` on the stick."""
        for file in files:
            shutil.copy(file, self._luggage)

    def carried_out(self, name: str) -> Path:
        """A file that was written to the stick."""
        return self._luggage / name

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run ``swt3-agent`` there, in the directory of the stick."""
        return subprocess.run(
            [
                "unshare",
                *_as_root(),
                "--net",
                "--mount",
                "--",
                "sh",
                "-euc",
                self._script(arguments),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def _script(self, arguments: Sequence[str]) -> str:
        package = Path(swt3_agent.__file__).parent
        shared = [Path("/") / name for name in _SYSTEM]
        shared += [package, *{Path(sys.prefix), Path(sys.base_prefix)}]
        lines = [f"root={self._root}", "mount -t tmpfs stranger $root"]
        for path in sorted(set(shared)):
            if path.is_symlink():
                lines.append(f"cp -P {path} $root{path}")
            elif path.is_dir() and not _is_within(path, shared):
                lines += [f"mkdir -p $root{path}", f"mount --rbind {path} $root{path}"]
            elif path.is_file():
                lines += [f"mkdir -p $root{path.parent}", f"cp {path} $root{path}"]
        lines += ["mkdir -p $root/stick $root/tmp", f"mount --bind {self._luggage} $root/stick"]
        words = " ".join(f"'{word}'" for word in arguments)
        inside = f"cd /stick && exec {sys.executable} -m swt3_agent {words}"
        environment = f"PATH=/usr/bin:/usr/sbin PYTHONPATH={package.parent}"
        lines.append(f'exec env -i {environment} chroot $root sh -euc "{inside}"')
        return "\n".join(lines)


def _is_within(path: Path, others: Sequence[Path]) -> bool:
    return any(path != other and path.is_relative_to(other) for other in others)


def _as_root() -> list[str]:
    """What gives an unprivileged user a namespace in which he may do this."""
    return [] if os.geteuid() == 0 else ["--map-root-user"]
