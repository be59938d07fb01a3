"""The PEFT adapters of a model: directories with an adapter_config.json, and those configured.

An adapter's digest is that of its own directory's manifest (collect/manifest.py): what sha256sum
and `model_digest` of the directory alone would come to. One that lies within its model is not
hashed a second time.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swt3_agent.collect.base_models import ModelNames
from swt3_agent.collect.manifest import FileEntry, LinkEntry, ModelManifest
from swt3_agent.collect.measure import Measurement
from swt3_agent.collect.measured_files import Document, MeasuredFiles
from swt3_agent.collect.model_files import Problem
from swt3_agent.protocol.fingerprint import content_hash

CONFIGURATION = "adapter_config.json"

MOST_ADAPTERS = 256
"""Adapters of one model that are described beside those configured."""

_MOST_TEXT = 256
_MOST_NUMBER = 1 << 20

Measure = Callable[[Path], Measurement]


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """An adapter to watch: a directory, from / on or relative to its model's. ``approved``: its
    manifest digest, in hex."""

    name: str
    path: Path
    approved: str | None = None


def adapter_directories(files: MeasuredFiles) -> tuple[str, ...]:
    """Directories of adapters within a model, relative to it."""
    return tuple(
        str(path.parent)
        for name in files.names
        if (path := PurePosixPath(name)).name == CONFIGURATION
    )


def within(name: str, directory: str) -> bool:
    """Whether a file of the model lies in one of its directories."""
    return directory == "." or name.startswith(f"{directory}/")


def adapter_claims(
    base: Path,
    files: MeasuredFiles | None,
    specs: Sequence[AdapterSpec],
    measure: Measure,
    names: ModelNames,
) -> list[dict[str, object]]:
    """One claim for each adapter: ``name``, ``path_hash``, ``within`` (the directory within the
    model, or null), ``digest`` (null where there are problems), ``files``, ``bytes``, ``approved``,
    ``peft_type``, ``rank``, ``base_model``, ``base_named`` (whether that is one of ``names``, those
    of the model; null where nobody says) and ``problems``.

    ``files`` None: the model could not be measured; then configured adapters are measured alone.
    ``measure`` hashes a directory that is not part of the model.
    """
    inside = {} if files is None else dict.fromkeys(adapter_directories(files), files)
    claims = []
    for spec in specs:
        directory = _directory_within(base, spec)
        if files is not None and directory in inside:
            claims.append(_from_model(inside.pop(directory), directory, spec.name, spec.approved))
        else:
            claims.append(_measured(spec, base, measure))
    for directory, of_model in list(inside.items())[:MOST_ADAPTERS]:
        name = PurePosixPath(directory).name or of_model.base.name
        claims.append(_from_model(of_model, directory, name, None))
    for claim in claims:
        base_model = claim["base_model"]
        claim["base_named"] = names.include(base_model if isinstance(base_model, str) else None)
    if len(inside) > MOST_ADAPTERS:
        claims.append(_too_many(len(inside)))
    return claims


def _too_many(count: int) -> dict[str, object]:
    problem = Problem(
        "ADAPTER_TOO_MANY",
        f"{count} adapters lie in the model, {MOST_ADAPTERS} are described",
        "name the directory of one model only, or name each adapter in the configuration",
    )
    return {"name": "the others", "within": ".", "digest": None, "problems": [problem.as_json()]}


def _directory_within(base: Path, spec: AdapterSpec) -> str:
    return os.path.relpath(os.path.realpath(base / spec.path), base)


def _from_model(
    files: MeasuredFiles, directory: str, name: str, approved: str | None
) -> dict[str, object]:
    """An adapter within its model, from what was hashed already."""
    entries, problems = _entries(files.manifest, directory)
    configuration = files.document(_joined(directory, CONFIGURATION))
    if isinstance(configuration, Problem):
        problems.append(configuration)
    manifest = ModelManifest.of(entries)
    sizes = [entry.size for entry in entries if isinstance(entry, FileEntry)]
    return {
        "name": name,
        "path_hash": content_hash(str(files.base / directory)),
        "within": directory,
        "digest": None if problems else manifest.digest(),
        "files": len(sizes),
        "bytes": sum(sizes),
        "approved": approved,
        **_described(configuration),
        "problems": [problem.as_json() for problem in problems],
    }


def _entries(
    manifest: ModelManifest, directory: str
) -> tuple[list[FileEntry | LinkEntry], list[Problem]]:
    """The adapter's part of the model's manifest, as its own directory would have it."""
    start = "" if directory == "." else f"{directory}/"
    entries: list[FileEntry | LinkEntry] = []
    problems = []
    for entry in manifest.entries:
        if not entry.path.startswith(start):
            continue
        path = entry.path[len(start) :]
        if isinstance(entry, FileEntry):
            entries.append(FileEntry(path, entry.size, entry.sha256))
        elif entry.link.startswith(start):
            entries.append(LinkEntry(path, entry.link[len(start) :]))
        else:
            problems.append(
                Problem(
                    "LINK_OUTSIDE",
                    f"{entry.path} is a link that leads out of the adapter",
                    "copy the file to its place",
                )
            )
    return entries, problems


def _measured(spec: AdapterSpec, base: Path, measure: Measure) -> dict[str, object]:
    """An adapter of its own place."""
    path = base / spec.path
    found = measure(path)
    configuration = None if found.measured is None else found.measured.document(CONFIGURATION)
    problems = list(found.problems)
    if isinstance(configuration, Problem):
        problems.append(configuration)
    elif configuration is None and not problems:
        problems.append(
            Problem(
                "ADAPTER_CONFIG",
                f"{path} has no {CONFIGURATION}",
                "name the directory that PEFT wrote",
            )
        )
    return {
        "name": spec.name,
        "path_hash": content_hash(str(path)),
        "within": None,
        "digest": None if problems or found.manifest is None else found.manifest.digest(),
        "files": found.files,
        "bytes": found.size,
        "approved": spec.approved,
        **_described(configuration),
        "problems": [problem.as_json() for problem in problems],
    }


def _described(configuration: Document | Problem | None) -> dict[str, object]:
    """What adapter_config.json says; null where it says nothing of that form."""
    document = configuration if isinstance(configuration, dict) else {}
    rank = document.get("r")
    return {
        "peft_type": _text(document.get("peft_type")),
        "rank": rank if type(rank) is int and 0 <= rank <= _MOST_NUMBER else None,
        "base_model": _text(document.get("base_model_name_or_path")),
    }


def _text(value: object) -> str | None:
    return value[:_MOST_TEXT] if isinstance(value, str) else None


def _joined(directory: str, name: str) -> str:
    return name if directory == "." else f"{directory}/{name}"
