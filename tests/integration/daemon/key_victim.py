"""A node that dies (SIGKILL) at a chosen step of a change of keys.

key_victim.py rotate|replace STEP       with the settings in the environment
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from swt3_agent.config import load_config
from swt3_agent.daemon.caller import caller
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_heads import NodeHeads
from swt3_agent.daemon.node_keys import NodeKeys
from swt3_agent.tpm.client import Tpm

STEPS: dict[str, tuple[type, str, bool]] = {
    "prepare": (Tpm, "prepare_successor", False),
    "prepared": (Tpm, "prepare_successor", True),
    "named": (NodeKeys, "_append", True),
    "covered": (Tpm, "adopt_successor", False),
    "adopted": (Tpm, "adopt_successor", True),
    "head": (NodeHeads, "rotate_key", True),
    "made": (NodeKeys, "_append", False),
}
"""Class, method, and whether death comes after it."""


def die_at(step: str) -> None:
    """Have this process killed at ``step``."""
    owner, name, after = STEPS[step]
    real: Callable[..., Any] = getattr(owner, name)

    def fatal(*args: Any, **options: Any) -> None:
        if after:
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, fatal)


if __name__ == "__main__":
    with Node(load_config(os.environ)) as node:
        die_at(sys.argv[2])
        change = {"rotate": node.heads.rotate_key, "replace": node.heads.replace_key}[sys.argv[1]]
        change("a test", caller())
