"""Directories, sockets and groups: whether they are there, ours, private and large enough."""

import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from swt3_agent.daemon.control import OPERATORS
from swt3_agent.daemon.disk import room_at, shortage
from swt3_agent.daemon.doctor.finding import Finding, failure, good, of_reason, warning
from swt3_agent.daemon.sockets import RUNTIME_DIRECTORY
from swt3_agent.relay.intake import CLIENT_GROUP

AGENT_USER = "swt3"
CONNECT_TIMEOUT_S = 2.0
_FORGETFUL = frozenset({"tmpfs", "ramfs", "overlay"})


def check_state(root: Path) -> Iterator[Finding]:
    """The state directory: owner, modes, room, and whether it outlives a reboot."""
    subject = "state"
    try:
        status = root.stat()
    except FileNotFoundError:
        yield good(subject, f"{root} does not exist yet: the first start makes it")
        parent = next(path for path in root.parents if path.exists())
        yield from _check_room(subject, parent)
        return
    yield from _check_owner(subject, root, status)
    if status.st_mode & 0o077:
        detail = f"{root} has mode {stat.S_IMODE(status.st_mode):04o}: others may look into it"
        yield failure(subject, "STATE_OPEN", detail, f"chmod 0700 {root}")
    file_system = file_system_of(root)
    if file_system in _FORGETFUL:
        detail = f"{root} is on {file_system}: the log may not outlive a reboot"
        yield warning(subject, "STATE_FORGETFUL", detail, "put it on a disk (agent.state_dir)")
    yield from _check_room(subject, root)


def _check_owner(subject: str, root: Path, status: os.stat_result) -> Iterator[Finding]:
    expected = os.geteuid() or _uid_of(AGENT_USER) or 0
    if status.st_uid in (expected, os.geteuid()):
        yield good(subject, f"{root} belongs to {_name_of(status.st_uid)}")
        return
    detail = f"{root} belongs to {_name_of(status.st_uid)}, not to {_name_of(expected)}"
    remedy = "run the agent as the owner, or name a state directory of its own"
    yield warning(subject, "STATE_NOT_OURS", detail, remedy)


def _check_room(subject: str, path: Path) -> Iterator[Finding]:
    room = room_at(path)
    lack = shortage(room)
    if lack is not None:
        yield of_reason(subject, lack)
    else:
        yield good(subject, f"{room.free_bytes // 2**20} MiB are free")


def check_groups(user: str | None = None) -> Iterator[Finding]:
    """Whether the groups of the sockets exist, and whether this user may send anchors."""
    subject = "groups"
    for group, whom in (
        (CLIENT_GROUP, "the users of inference processes"),
        (OPERATORS, "operators"),
    ):
        try:
            grp.getgrnam(group)
        except KeyError:
            detail = f"there is no group {group}: only the agent's own user and root may connect"
            remedy = f"groupadd --system {group}, add {whom} to it, restart the agent"
            yield warning(subject, "GROUP_MISSING", detail, remedy)
            continue
        if group == CLIENT_GROUP and not _is_member(group):
            detail = f"{user or _name_of(os.geteuid())} is not in {group} and may not send anchors"
            remedy = f"usermod -aG {group} USER for the users of inference processes"
            yield warning(subject, "NOT_A_CLIENT", detail, remedy)


def check_intake(path: Path, *, running: bool) -> Iterator[Finding]:
    """Whether the intake can be reached, by this user."""
    subject = "intake"
    directory = path.parent
    if not directory.exists():
        if running:
            detail = f"the directory {directory} is gone"
            yield failure(subject, "SOCKET_GONE", detail, "restart the agent")
        elif directory == RUNTIME_DIRECTORY:
            yield good(subject, f"{directory} does not exist yet: the start makes it")
        else:
            detail = f"the directory {directory} does not exist: the agent will not start"
            remedy = f"make it as the agent's user: mkdir -p {directory}"
            yield failure(subject, "SOCKET_PATH", detail, remedy)
        return
    if not directory.stat().st_mode & stat.S_IXOTH and directory.stat().st_uid != os.geteuid():
        detail = f"{directory} lets only its owner and group through"
        yield warning(subject, "SOCKET_HIDDEN", detail, f"chmod 0755 {directory}")
    if not running:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(str(path))
    except PermissionError:
        detail = f"{path} may not be used by {_name_of(os.geteuid())}"
        remedy = f"only members of {CLIENT_GROUP} may; see `id`"
        yield warning(subject, "SOCKET_DENIED", detail, remedy)
    except OSError as error:
        detail = f"{path} does not answer: {error.strerror or error}"
        yield failure(subject, "SOCKET_GONE", detail, "restart the agent")
    else:
        yield good(subject, f"{path} answers")


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system that ``path`` is on; empty where it cannot be told."""
    resolved = path.resolve()
    found, longest = "", -1
    for line in mounts.read_text("utf-8", "replace").splitlines():
        _, point, kind, *_ = line.split(" ")
        place = Path(point.encode("ascii", "replace").decode("unicode_escape"))
        depth = len(place.parts)
        if depth >= longest and resolved.is_relative_to(place):
            found, longest = kind, depth
    return found


def _is_member(group: str) -> bool:
    gid = grp.getgrnam(group).gr_gid
    return os.geteuid() == 0 or gid in (os.getegid(), *os.getgroups())


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
