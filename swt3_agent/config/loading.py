"""From files, profile and environment to the settings in force."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from swt3_agent.config.aliases import read_aliases
from swt3_agent.config.assembly import assembled
from swt3_agent.config.checks import check_settings
from swt3_agent.config.credentials import resolve_secrets
from swt3_agent.config.environment import DEFAULT_ENDPOINT, environment_layer
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.floors import raise_to_floors
from swt3_agent.config.ignored import ignored_keys
from swt3_agent.config.layers import Layer, Merged, file_layers, merge
from swt3_agent.config.problems import Findings, Problem, first_error
from swt3_agent.config.profile import Profile, load_profile
from swt3_agent.config.reading import cleaned
from swt3_agent.config.values import DEFAULT_FILE, Config
from swt3_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Examination:
    """All that can be said about a configuration.

    ``config`` is None where ``problems`` leave none; ``settings`` and ``merged`` are what was
    written, as far as it could be read, secrets included.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    lacks: tuple[Problem, ...]
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]
    settings: FileSettings
    merged: Merged
    profile: Profile | None


def load_config(
    environ: Mapping[str, str],
    file: Path | None = None,
    profile: str | None = None,
    *,
    complete: bool = True,
) -> Config:
    """The settings in force: ``environ`` over ``file`` over the profile over the defaults.

    ``file`` None means agent.yaml at its usual place, where it exists; ``profile`` a profile to
    take in place of the one that they name. ``complete`` False is for verbs that only look: secrets
    and what a policy demands may then be missing, and ``Config.lacks`` says what is.
    Raises ConfigError naming the key or variable.
    """
    found = examine(environ, file, profile)
    error = first_error([*found.problems, *(found.lacks if complete else ())])
    if error is not None:
        raise error
    assert found.config is not None  # noqa: S101  there is one where there is no problem
    return found.config


def examine(
    environ: Mapping[str, str], file: Path | None = None, profile: str | None = None
) -> Examination:
    """All that is right and wrong with the settings, not only the first of it."""
    findings = Findings()
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    own = [] if file is None else file_layers(file, findings)
    above = environment_layer(environ, findings)
    chosen = _chosen_profile(profile or environ.get("SWT3_PROFILE"), own, findings)
    layers = [*own[:-1], *_profile_layer(chosen, findings), *own[-1:], above]
    merged = merge(layers)
    if environ.get("SWT3_MODE") == "cloud" and "endpoint" not in merged.document:
        merged.document["endpoint"] = DEFAULT_ENDPOINT
        merged.origins["endpoint"] = "SWT3_MODE"
    raise_to_floors(merged, layers, findings)
    resolve_secrets(merged, environ, findings)
    settings = msgspec.convert(
        cleaned(merged.document, FileSettings, "the environment", findings), FileSettings
    )
    ignored = ignored_keys(own)
    check_settings(settings, findings)
    source = "defaults" if file is None else str(file)
    config = assembled(settings, merged, environ, source, chosen, ignored, findings)
    return Examination(
        None if findings.problems else config,
        tuple(findings.problems),
        tuple(findings.lacks),
        tuple(findings.warnings),
        ignored,
        settings,
        merged,
        chosen,
    )


def _chosen_profile(name: str | None, own: list[Layer], findings: Findings) -> Profile | None:
    for layer in own:
        said = layer.document.pop("profile", None)
        name = name or said
    if name is None:
        return None
    try:
        return load_profile(name)
    except ConfigError as error:
        findings.take(error, "profile")
        return None


def _profile_layer(profile: Profile | None, findings: Findings) -> list[Layer]:
    if profile is None:
        return []
    name = f"profile {profile.name}"
    document = read_aliases(profile.document, name, findings)
    return [Layer(name, cleaned(document, FileSettings, name, findings))]
