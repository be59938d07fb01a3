"""From files, profile and environment to the settings in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from swt3_agent.config.assembly import assembled
from swt3_agent.config.checks import check_settings
from swt3_agent.config.credentials import resolve_secrets
from swt3_agent.config.documents import is_there
from swt3_agent.config.environment import DEFAULT_ENDPOINT, environment_layer
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.floors import raise_to_floors
from swt3_agent.config.ignored import ignored_keys
from swt3_agent.config.layers import Layer, Merged, file_layers, merge
from swt3_agent.config.problems import Findings, Problem, first_error
from swt3_agent.config.profile import Profile, load_profile
from swt3_agent.config.reading import cleaned, read_aliases
from swt3_agent.config.values import DEFAULT_FILE, Config
from swt3_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Examination:
    """All that can be said about a configuration.

    ``config`` is None where ``problems`` leave none; ``settings`` and ``merged`` are what was
    written, as far as it could be read, secrets included. ``source`` is the file.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    lacks: tuple[Problem, ...]
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]
    settings: FileSettings = field(repr=False)
    merged: Merged
    source: str


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
    if file is None and is_there(DEFAULT_FILE):
        file = DEFAULT_FILE
    own = [] if file is None else file_layers(file, findings)
    above = environment_layer(environ, findings)
    named = _named_profiles(profile, environ, own)
    profiles = _loaded_profiles(named, findings)
    in_profiles = [_profile_layer(one, findings) for one in profiles]
    layers = [*own[:-1], *in_profiles[:1], *own[-1:], above]
    merged = merge(layers)
    for name, by in named[:1]:
        merged.document["profile"] = name
        merged.origins["profile"] = by
    if environ.get("SWT3_MODE") == "cloud" and "endpoint" not in merged.document:
        merged.document["endpoint"] = DEFAULT_ENDPOINT
        merged.origins["endpoint"] = "SWT3_MODE"
    raise_to_floors(merged, [*in_profiles[1:], *layers], findings)
    resolve_secrets(merged, environ, findings)
    settings = msgspec.convert(
        cleaned(merged.document, FileSettings, "the environment", findings), FileSettings
    )
    ignored = ignored_keys(own)
    check_settings(settings, findings)
    source = "defaults" if file is None else str(file)
    config = assembled(settings, merged, environ, source, profiles, ignored, findings)
    return Examination(
        None if findings.problems else config,
        tuple(findings.problems),
        tuple(findings.lacks),
        tuple(findings.warnings),
        ignored,
        settings,
        merged,
        source,
    )


def _named_profiles(
    argument: str | None, environ: Mapping[str, str], own: list[Layer]
) -> list[tuple[str, str]]:
    """The profiles that are named and by whom, the strongest word first, each once."""
    in_files = [(layer.document.pop("profile", None), layer.name) for layer in reversed(own)]
    said = [(argument, "--profile"), (environ.get("SWT3_PROFILE"), "SWT3_PROFILE"), *in_files]
    named: dict[str, str] = {}
    for name, by in said:
        if name:
            named.setdefault(name, by)
    return list(named.items())


def _loaded_profiles(named: Sequence[tuple[str, str]], findings: Findings) -> list[Profile]:
    """The profile that is in force, and those that it displaced: their floors hold as well, or a
    variable would do away with what a file demands."""
    loaded = []
    for name, by in named:
        try:
            loaded.append(load_profile(name))
        except ConfigError as error:
            findings.take(error, "profile")
            continue
        if name != named[0][0]:
            findings.warn(
                f"profile: {named[0][1]} names {named[0][0][:64]}, and what {name} ({by}) demands"
                " holds as well"
            )
    return loaded


def _profile_layer(profile: Profile, findings: Findings) -> Layer:
    name = f"profile {profile.name}"
    document = read_aliases(profile.document, name, findings)
    return Layer(name, cleaned(document, FileSettings, name, findings))
