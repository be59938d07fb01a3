"""A daemon whose network system calls are written down by strace(1)."""

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess

PATIENCE_S = 30.0
_SOCKET = re.compile(r"socket\((?P<family>AF_[A-Z0-9]+), ")
_ADDRESS = re.compile(
    r"sa_family=(?P<family>AF_INET6?),.*?"
    r"port=htons\((?P<port>[0-9]+)\).*?"
    r"(?:inet_addr\(|inet_pton\(AF_INET6, )\"(?P<host>[^\"]+)\""
)
_GIVES_ADDRESS = re.compile(r"(connect|bind|sendto|sendmsg|sendmmsg)\(")


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """Families of all sockets that were opened, and every Internet address that was named in a
    call: host and port."""

    families: set[str]
    addresses: set[tuple[str, int]]


class TracedAgent(AgentProcess):
    """`swt3-agent run`, and all of its children, under strace."""

    def command(self, *arguments: str) -> list[str]:
        """A verb as a program to start; `run` is traced."""
        command = super().command(*arguments)
        if arguments[0] != "run":
            return command
        if shutil.which("strace") is None:
            pytest.fail("this test needs strace(1): apt-get install strace")
        # With -D the agent is our child and strace is its own: signals reach the agent.
        return [*self.strace(), *command]

    @property
    def trace(self) -> Path:
        return self.root / "trace"

    def strace(self) -> Sequence[str]:
        """Words before a command that have its network calls written down."""
        return ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=%net", "-o", str(self.trace)]

    def network_use(self) -> NetworkUse:
        """What was seen, once the agent has ended and strace has written all of it."""
        deadline = time.monotonic() + PATIENCE_S
        while not _has_ended(text := self.trace.read_text()):
            assert time.monotonic() < deadline, f"strace has not ended: {text[-500:]}"
            time.sleep(0.05)
        named = [line for line in text.splitlines() if _GIVES_ADDRESS.search(line)]
        return NetworkUse(
            families={match["family"] for match in _SOCKET.finditer(text)},
            addresses={
                (match["host"], int(match["port"]))
                for line in named
                for match in _ADDRESS.finditer(line)
            },
        )


def _has_ended(text: str) -> bool:
    """Whether the process that made the first call, the agent itself, has exited."""
    agent = text.partition(" ")[0]
    return re.search(rf"^{agent} +\+\+\+ ", text, re.MULTILINE) is not None
