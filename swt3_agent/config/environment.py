"""The variables of docs/protocol.md 12.2 as a layer of settings over the file's."""

import math
import re
from collections.abc import Callable, Mapping

import msgspec

from swt3_agent.config.checks import TCTI_FORMS, names_a_tpm
from swt3_agent.config.dsn import parse_dsn
from swt3_agent.config.layers import Layer
from swt3_agent.config.problems import Findings
from swt3_agent.config.reading import did_you_mean
from swt3_agent.config.settings import Intervals
from swt3_agent.errors import ConfigError

DEFAULT_ENDPOINT = "https://sovereign.tenova.io"
"""Of the clients, for SWT3_MODE=cloud alone: nothing goes there because a key happens to be set."""

_TEXTS = {
    "SWT3_ENDPOINT": "endpoint",
    "SWT3_API_KEY": "api_key",
    "SWT3_TENANT_ID": "tenant_id",
    "SWT3_AGENT_ID": "agent_id",
    "SWT3_SIGNING_KEY": "signing_key",
    "SWT3_SIGNING_KEY_ID": "signing_key_id",
    "SWT3_JURISDICTION": "jurisdiction",
    "SWT3_LEGAL_BASIS": "legal_basis",
    "SWT3_PURPOSE_CLASS": "purpose_class",
    "SWT3_STATE_DIR": "agent.state_dir",
    "SWT3_AGENT_SOCKET": "agent.socket",
}
_OTHERS = frozenset(
    {
        "SWT3_DSN",
        "SWT3_PROFILE",
        "SWT3_CLEARING_LEVEL",
        "SWT3_TPM_TCTI",
        "SWT3_MODE",
        "SWT3_INTERVAL",
        "SWT3_HEALTH_PORT",
    }
)
_OF_CLIENTS = frozenset(
    {
        "SWT3_MODEL_ID",
        "SWT3_SENTINEL_SOCKET",
        "SWT3_REDIS_URL",
        "SWT3_REDIS_STREAM",
        "SWT3_CONFIG_FILE",
        "SWT3_CONFIG_PATH",
        "SWT3_UPSTREAM",
    }
)
VARIABLES = frozenset(_TEXTS) | _OTHERS
"""Those that this agent reads."""

_NOT_A_COLLECTOR = frozenset({"checkpoint"})
_MAX_INTERVAL_S = 366 * 24 * 3600


def environment_layer(environ: Mapping[str, str], findings: Findings) -> Layer:
    """What ``environ`` sets; an empty variable sets nothing. What is wrong goes to ``findings``."""
    layer = Layer("environment", {}, {})
    for variable, path in _TEXTS.items():
        if value := environ.get(variable):
            layer.put(path, value, variable)
    _put(layer, environ, "SWT3_CLEARING_LEVEL", _clearing_level, findings)
    _put(layer, environ, "SWT3_TPM_TCTI", _tcti, findings)
    _put(layer, environ, "SWT3_HEALTH_PORT", _health_port, findings)
    _put(layer, environ, "SWT3_INTERVAL", _intervals, findings)
    if dsn := environ.get("SWT3_DSN"):
        _put_dsn(layer, dsn, environ, findings)
    _check_mode(environ.get("SWT3_MODE", ""), findings)
    _warn_of_unknown(environ, findings)
    return layer


def is_local(environ: Mapping[str, str]) -> bool:
    """Whether the environment says that nothing is delivered, whatever else is set."""
    return environ.get("SWT3_MODE") == "local"


def _put(
    layer: Layer,
    environ: Mapping[str, str],
    variable: str,
    read: Callable[[str], Mapping[str, object]],
    findings: Findings,
) -> None:
    if not (value := environ.get(variable)):
        return
    try:
        settings = read(value)
    except ValueError as error:
        findings.bad_value(variable, f"is {value[:64]!r}", str(error))
        return
    for path, setting in settings.items():
        layer.put(path, setting, variable)


def _clearing_level(value: str) -> Mapping[str, object]:
    if not re.fullmatch("[0-3]", value):
        raise ValueError("set it to 0, 1, 2 or 3; a wrong level must not fall back to an open one")
    return {"clearing_level": int(value)}


def _tcti(value: str) -> Mapping[str, object]:
    if not names_a_tpm(value):
        raise ValueError(f"it names no TPM: use {TCTI_FORMS}")
    return {"agent.tpm.tcti": value}


def _health_port(value: str) -> Mapping[str, object]:
    if not (re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= 65535):
        raise ValueError("set it to a port, 1 to 65535")
    return {"agent.ops.port": int(value)}


def _intervals(value: str) -> Mapping[str, object]:
    """Of every collector: the DaemonSet had one interval for all that it witnessed."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= _MAX_INTERVAL_S:
        raise ValueError(f"set it to seconds, 1 to {_MAX_INTERVAL_S}")
    names = [field.name for field in msgspec.structs.fields(Intervals)]
    return {f"agent.intervals.{name}": seconds for name in names if name not in _NOT_A_COLLECTOR}


def _put_dsn(layer: Layer, text: str, environ: Mapping[str, str], findings: Findings) -> None:
    try:
        dsn = parse_dsn(text)
    except ConfigError as error:
        findings.take(error, "SWT3_DSN")
        for path in ("endpoint", "api_key"):  # half of a ledger would only add to the confusion
            layer.drop(path)
        return
    settings = {"endpoint": dsn.endpoint, "api_key": dsn.api_key, "tenant_id": dsn.tenant}
    for variable in ("SWT3_ENDPOINT", "SWT3_API_KEY", "SWT3_TENANT_ID"):
        value = environ.get(variable)
        if value and value.rstrip("/") != settings[_TEXTS[variable]]:
            findings.warn(f"SWT3_DSN says otherwise than {variable}, and wins")
    for path, setting in settings.items():
        layer.put(path, setting, "SWT3_DSN")


def _check_mode(mode: str, findings: Findings) -> None:
    if mode not in ("", "local", "cloud"):
        findings.bad_value("SWT3_MODE", f"is {mode[:64]!r}", "set it to local or cloud")


def _warn_of_unknown(environ: Mapping[str, str], findings: Findings) -> None:
    for variable in sorted(environ):
        if variable.startswith("SWT3_") and variable not in VARIABLES | _OF_CLIENTS:
            hint = did_you_mean(variable, sorted(VARIABLES))
            near = hint if hint.startswith("did") else "it is not one of this agent"
            findings.warn(f"{variable[:64]} is set and read by nobody here: {near}")
