"""Where the ledger is: the connection string and the endpoint (docs/protocol.md 12.1).

Nothing here puts any part of what it is given into an error: a key may stand in it.
"""

import ipaddress
import re
from dataclasses import dataclass, field

from swt3_agent.errors import ConfigError, FormatError
from swt3_agent.protocol.fingerprint import check_tenant

API_KEY = re.compile("axm_[A-Za-z0-9_-]{1,256}")

_HOST = r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
_AUTHORITY = _HOST + r"(?::(?P<port>[0-9]{1,5}))?"
_DSN = re.compile(
    rf"(?P<scheme>https?)://(?P<key>{API_KEY.pattern})@{_AUTHORITY}/(?P<tenant>[^/?#@:\s]+)"
)
_ENDPOINT = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY}(?P<path>(?:/[A-Za-z0-9._~-]+)*)/*")
_DSN_FORM = "https://axm_KEY@HOST[:PORT]/TENANT"
_ENDPOINT_FORM = "https://HOST[:PORT][/PATH]"


@dataclass(frozen=True, slots=True)
class Dsn:
    """A ledger, the key for it, and the tenant there."""

    endpoint: str
    api_key: str = field(repr=False)
    tenant: str


def parse_dsn(text: str) -> Dsn:
    """The parts of ``text``; raises ConfigError CONFIG_DSN, which shows none of it."""
    match = _DSN.fullmatch(text)
    if match is None:
        raise _bad("SWT3_DSN", _DSN_FORM)
    try:
        tenant = check_tenant(match["tenant"])
    except FormatError:
        raise _bad("SWT3_DSN", f"{_DSN_FORM}, TENANT of letters, digits, _ and -") from None
    return Dsn(_endpoint(match, "SWT3_DSN", _DSN_FORM), match["key"], tenant)


def parse_endpoint(text: str) -> str:
    """``text`` without a trailing slash, its host in lower case.

    Raises ConfigError CONFIG_DSN for anything but https, or http to this machine itself.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise _bad("endpoint", _ENDPOINT_FORM)
    return _endpoint(match, "endpoint", _ENDPOINT_FORM) + match["path"]


def _endpoint(match: "re.Match[str]", what: str, form: str) -> str:
    host, port = match["host"].lower(), match["port"]
    if port is not None and not 1 <= int(port) <= 65535:
        raise _bad(what, f"{form}, PORT from 1 to 65535")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise _bad(what, form) from None
    if match["scheme"] == "http" and not _is_loopback(host):
        raise ConfigError(
            "CONFIG_DSN",
            f"{what} is http to another machine: key and anchors would cross the network in clear",
            remedy=f"use {form}; http is for a ledger on this machine",
        )
    return f"{match['scheme']}://{host}" + ("" if port is None else f":{port}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bad(what: str, form: str) -> ConfigError:
    return ConfigError(
        "CONFIG_DSN", f"{what} does not name a ledger (it is not shown)", remedy=f"write {form}"
    )
