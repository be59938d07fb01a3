"""Who this node is: an id derived from the machine id, which itself is never shown."""

import secrets
from pathlib import Path

from swt3_agent.protocol.checkpoint import node_id
from swt3_agent.store.durable import write_durably

MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def find_node_id(state_root: Path, machine_id: Path = MACHINE_ID) -> str:
    """32 hex digits that are this machine's and tell nothing of its machine id.

    Where the machine has none (a container, an image before its first boot) a random one is
    kept in the state directory instead, so that the node at least stays the same.
    """
    try:
        own = machine_id.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        own = ""
    if len(own) == 32:
        return node_id(own)
    substitute = state_root / "machine-id"
    if not substitute.exists():
        write_durably(substitute, secrets.token_hex(16).encode())
    return node_id(substitute.read_text("ascii").strip())


def boot_id() -> str:
    """The kernel's random id of this boot."""
    return BOOT_ID.read_text("ascii").strip()
