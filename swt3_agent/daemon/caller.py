"""Who asks: the process at the other end of the control socket, or this one where no daemon runs.

For what must be answered for later, such as a changed baseline. The kernel says which user it is
(unix(7), SO_PEERCRED), as of connect(2).
"""

import os
import pwd
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """``user`` is the name of ``uid`` on this node; None where it has none, as of a container."""

    uid: int
    gid: int
    user: str | None

    @classmethod
    def of(cls, uid: int, gid: int) -> "Caller":
        """The user with these ids, by name where the node knows one."""
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = None
        return cls(uid, gid, name)

    def to_json(self) -> Mapping[str, object]:
        """``by`` of a record (docs/formats.md, "Baselines")."""
        return {"uid": self.uid, "gid": self.gid, "user": self.user}


PEER: ContextVar[tuple[int, int] | None] = ContextVar("PEER", default=None)
"""User and group id of who asks over the control socket; set for each connection."""


def caller() -> Caller:
    """Who asks for the operation under way."""
    uid, gid = PEER.get() or (os.geteuid(), os.getegid())
    return Caller.of(uid, gid)
