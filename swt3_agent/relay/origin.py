"""Where records come from: who is at the other end of a connection, and what is kept of that.

The kernel says who (unix(7), SO_PEERCRED). That is provenance and a rate key, never an identity:
the identity is the listener, because inside of containers user ids repeat (docs/formats.md,
"Intake").
"""

import json
import os
import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.relay.answers import Rejection
from swt3_agent.relay.request import SubmitRequest

_UCRED = struct.Struct("=iII")
_SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h, Linux 6.5
_START_TIME = 22 - 3  # proc(5), stat: the 22nd field, counted from the state, which is the third

_BATCH_SLOT = b'"batch":0'
_ORIGINAL_SLOT = b'"original":""'
"""Quotes inside of a JSON text are escaped, so these can only be the members themselves."""

_MOST_TEMPLATES = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """Ids are those at the moment of connect(2), None where the peer came over TCP.

    ``start`` is the start time of the process in clock ticks since boot, None where it is gone or
    hidden; with it a process id names one process for as long as the machine is up. ``cgroup`` is
    the path in the unified hierarchy.
    """

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    start: int | None = None
    cgroup: str | None = None


@dataclass(slots=True)
class Origin:
    """One connection of one listener: all that its records' provenance has in common.

    ``bearer``: it showed the token, and that is all that is known of it.
    """

    listener: str
    tenant: str
    peer: Peer
    bearer: bool = False
    _templates: dict[tuple[str, str | None, int, int], tuple[bytes, bytes]] = field(
        default_factory=dict
    )

    def relayed(
        self, request: SubmitRequest, agent: str | None, declared: int, applied: int
    ) -> bytes:
        """RFC 8785 JSON for an accepted record: who sent it, and which clearing levels held."""
        about = {"agent": agent, "declared_level": declared, "applied_level": applied}
        if request.batch_key is None:
            return self._encoded(None, about)
        client, batch = request.batch_key
        key = (client, agent, declared, applied)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            head, _, tail = self._encoded((client, 0), about).partition(_BATCH_SLOT)
            template = self._templates[key] = (head, tail)
        return b'%b"batch":%d%b' % (template[0], batch, template[1])

    def opaque(self, request: SubmitRequest) -> bytes:
        """RFC 8785 JSON for bytes that are no witness: who sent them, and what became of them."""
        return self._encoded(request.batch_key, {"status": "unparsed"})

    def quarantined(
        self, request: SubmitRequest, rejection: Rejection, original: str | None
    ) -> bytes:
        """RFC 8785 JSON for a record that is kept but not accepted: the same, why, and the
        commitment to it where custody has more of it."""
        about = {
            "code": rejection.code,
            "error": rejection.error,
            "index": rejection.index,
            "original": original,
        }
        return self._encoded(request.batch_key, about)

    def _encoded(self, batch_key: tuple[str, int] | None, about: Mapping[str, object]) -> bytes:
        client, batch = batch_key or (None, None)
        members = {
            "listener": self.listener,
            "tenant": self.tenant,
            "client": client,
            "batch": batch,
            "uid": self.peer.uid,
            "gid": self.peer.gid,
            "pid": self.peer.pid,
            "start": self.peer.start,
            "cgroup": self.peer.cgroup,
            "bearer": self.bearer or None,
            **about,
        }
        return canonical_json({name: value for name, value in members.items() if value is not None})


def with_original(provenance: bytes, original: str) -> bytes:
    """The provenance of a cleared record: it commits to what arrived (64 hex digits)."""
    head, tail = _around_original(provenance)
    return b'%b"original":"%b"%b' % (head, original.encode(), tail)


@lru_cache(maxsize=_MOST_TEMPLATES)
def _around_original(provenance: bytes) -> tuple[bytes, bytes]:
    members = {**json.loads(provenance), "original": ""}
    head, _, tail = canonical_json(members).partition(_ORIGINAL_SLOT)
    return head, tail


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
