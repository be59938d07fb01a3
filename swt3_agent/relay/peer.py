"""Who is at the other end of a Unix socket, as the kernel says (unix(7), SO_PEERCRED).

Provenance and a rate key, never an identity: that is the listener, because inside of containers
user ids repeat (docs/formats.md, "Intake").
"""

import os
import select
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_UCRED = struct.Struct("=iII")
_SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h, Linux 6.5
_START_TIME = 22 - 3  # proc(5), stat: the 22nd field, counted from the state, which is the third


@dataclass(frozen=True, slots=True)
class Peer:
    """Ids are those at the moment of connect(2).

    ``start`` is the start time of the process in clock ticks since boot, None where it is gone or
    hidden; with it a process id names one process for as long as the machine is up. ``cgroup`` is
    the path in the unified hierarchy.
    """

    uid: int
    gid: int
    pid: int
    start: int | None = None
    cgroup: str | None = None


def peer_of(connection: socket.socket, proc: Path = Path("/proc")) -> Peer:
    """The peer of a connected Unix socket. Raises OSError where the kernel will not say."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)
    if pid <= 0:  # in a process namespace that is not ours to see
        return Peer(uid, gid, pid)
    before = _start_time(proc, pid)
    cgroup = _cgroup(proc, pid)
    if before is None or not _is_still(connection, before, _start_time(proc, pid)):
        return Peer(uid, gid, pid)
    return Peer(uid, gid, pid, before, cgroup)


def _is_still(connection: socket.socket, before: int, after: int | None) -> bool:
    """Whether what was read in between belongs to the peer and not to a successor of its id."""
    try:
        descriptor = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return before == after
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return not poll.poll(0)  # readable once the process has ended
    finally:
        os.close(descriptor)


def _start_time(proc: Path, pid: int) -> int | None:
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b") ")[2].split()  # the command name before it may hold anything
    return int(fields[_START_TIME]) if len(fields) > _START_TIME else None


def _cgroup(proc: Path, pid: int) -> str | None:
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line[3:] for line in lines if line.startswith("0::")), None)
