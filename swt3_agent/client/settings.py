"""Where a client sends, and in whose name."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import MAX_LEVEL
from swt3_agent.protocol.fingerprint import check_tenant
from swt3_agent.protocol.operational import refuse_free_text

DEFAULT_SOCKET = "/run/swt3-agent/intake.sock"
DEFAULT_TENANT = "LOCAL"

_log = logging.getLogger("swt3_agent.client")


@dataclass(frozen=True)
class ClientSettings:
    """``clearing_level`` 0 to 3 says how much of an anchor's content leaves this process.

    ``agent_id`` names the sender in anchors that name none themselves.
    """

    socket: str = DEFAULT_SOCKET
    tenant: str = DEFAULT_TENANT
    clearing_level: int = MAX_LEVEL
    agent_id: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ClientSettings":
        """SWT3_AGENT_SOCKET, SWT3_TENANT_ID, SWT3_CLEARING_LEVEL and SWT3_AGENT_ID, or defaults.

        An unusable value is warned of and never stops an inference: a bad level becomes 3, the
        strictest, a bad tenant the default one, and a bad agent id none.
        """
        level = _level(environ.get("SWT3_CLEARING_LEVEL") or str(MAX_LEVEL))
        return cls(
            socket=environ.get("SWT3_AGENT_SOCKET") or DEFAULT_SOCKET,
            tenant=_tenant(environ.get("SWT3_TENANT_ID") or DEFAULT_TENANT),
            clearing_level=level,
            agent_id=_agent_id(environ.get("SWT3_AGENT_ID") or None, level),
        )


def _tenant(text: str) -> str:
    try:
        return check_tenant(text)
    except FormatError as error:
        _log.warning("SWT3_TENANT_ID: %s; using %s", error.message, DEFAULT_TENANT)
        return DEFAULT_TENANT


def _agent_id(text: str | None, level: int) -> str | None:
    """An id that level 3 does not let through would have every anchor refused."""
    try:
        if level == MAX_LEVEL:
            refuse_free_text({"agent_id": text})
    except FormatError as error:
        _log.warning("SWT3_AGENT_ID: %s; sending none", error.message)
        return None
    return text


def _level(text: str) -> int:
    if text.strip() in {str(level) for level in range(MAX_LEVEL + 1)}:
        return int(text)
    _log.warning("SWT3_CLEARING_LEVEL is %a, not 0 to 3; using %d, the strictest", text, MAX_LEVEL)
    return MAX_LEVEL
