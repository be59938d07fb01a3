"""How much room is left where the state directory lies."""

import os
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.protocol.evidence import Reason

RESERVE_BYTES = 256 * 1024 * 1024
"""What a busy node fills while its operator reads his mail; on a small disk 5 % of it."""
RESERVE_FILES = 1000


@dataclass(frozen=True, slots=True)
class Room:
    """Free and total bytes, and free inodes (None where the file system does not count them)."""

    free_bytes: int
    total_bytes: int
    free_files: int | None


def room_at(path: Path) -> Room:
    """What an unprivileged user may still use at ``path``. Raises OSError."""
    status = os.statvfs(path)
    counts_files = status.f_files > 0
    return Room(
        free_bytes=status.f_bavail * status.f_frsize,
        total_bytes=status.f_blocks * status.f_frsize,
        free_files=status.f_favail if counts_files else None,
    )


def shortage(room: Room) -> Reason | None:
    """Why ``room`` is too little to go on for long; None where it is enough."""
    remedy = "free space, or move the state directory to a larger disk"
    if room.free_bytes < min(RESERVE_BYTES, room.total_bytes // 20):
        free = room.free_bytes // 2**20
        return Reason("DISK_NEARLY_FULL", f"{free} MiB are left for the state directory", remedy)
    if room.free_files is not None and room.free_files < RESERVE_FILES:
        return Reason("DISK_NEARLY_FULL", f"{room.free_files} inodes are left", remedy)
    return None
