"""The settings in force as they may be shown: every value with who set it, and no secret."""

from dataclasses import dataclass
from typing import Any

import msgspec

from swt3_agent.config.dsn import parse_endpoint
from swt3_agent.config.loading import Examination
from swt3_agent.config.problems import without_api_keys
from swt3_agent.errors import ConfigError

MASK = "****"
_SECRETS = frozenset({"api_key", "signing_key"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting: its path, its value as JSON has it, and who set it (``default``: nobody)."""

    path: str
    value: Any
    origin: str


def shown_settings(found: Examination) -> list[Shown]:
    """Every setting, in the order of docs/configuration.md; secrets are ``****``."""
    shown: list[Shown] = []
    _flatten(msgspec.to_builtins(found.settings), "", found, shown)
    return shown


def _flatten(value: dict[str, Any], path: str, found: Examination, shown: list[Shown]) -> None:
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if isinstance(inner, dict):
            _flatten(inner, where, found, shown)
        else:
            shown.append(_in_force(where, inner, found))


def _is_endpoint(text: str) -> bool:
    try:
        parse_endpoint(text)
    except ConfigError:
        return False
    return True


def _in_force(path: str, value: Any, found: Examination) -> Shown:
    """What holds in the end: some values follow from others."""
    origin = found.merged.origin(path)
    if path in _SECRETS:
        return Shown(path, None if value is None else MASK, origin)
    if path == "endpoint" and value is not None and not _is_endpoint(value):
        return Shown(path, MASK, origin)  # keys are part of connection strings
    config = found.config
    if config is not None:
        if path == "clearing_level" and value is None:
            value, origin = config.clearing_level, "follows from ledger and policy"
        elif path.startswith("agent.intervals."):
            in_force = getattr(config.intervals, path.rpartition(".")[2])
            if in_force != value:
                value, origin = in_force, "hardware.attestation_freshness"
        elif path.startswith("agent.cadence."):
            value = getattr(config.required.cadence, path.rpartition(".")[2])
            origin = origin if origin != "default" or config.profile is None else "profile"
    return Shown(path, without_api_keys(value) if isinstance(value, str) else value, origin)
