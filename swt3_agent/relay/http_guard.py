"""Who may speak HTTP to the agent: decided from the head of a request, before its body is read.

A Unix socket is guarded by its file. On TCP everybody on the machine gets through, a browser that
a web page commands included: so the bearer token is asked for, the name that the caller believes
to speak to is checked (a page can point its own name at 127.0.0.1), and pages are turned away.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Turned:
    """The answer to a caller who may not go on: status and what it says."""

    status: int
    code: str
    error: str


@dataclass(frozen=True, slots=True)
class Guard:
    """``token`` None: a Unix socket, where who may connect has been decided already."""

    token: str | None = field(default=None, repr=False)

    def turns_away(self, headers: Mapping[str, str]) -> Turned | None:
        """Why a request with these headers goes no further; None lets it. Names in lower case."""
        page = turns_page_away(headers, on_tcp=self.token is not None)
        if page is not None or self.token is None:
            return page
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), self.token.encode())
        if not same or scheme.lower() != "bearer":
            return Turned(401, "DENIED", "the bearer token is missing or another one")
        return None


def turns_page_away(headers: Mapping[str, str], *, on_tcp: bool) -> Turned | None:
    """Why a request that a web page may have brought about goes no further; None lets it."""
    if "origin" in headers:
        return Turned(403, "DENIED", "web pages may not ask")
    if on_tcp and _host_name(headers.get("host", "")) not in _LOOPBACK_NAMES:
        return Turned(403, "DENIED", "Host names another machine; use 127.0.0.1")
    return None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
