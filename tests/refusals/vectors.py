"""The vectors as they lie on disk: one index, and every file once, named by its digest."""

import gzip
import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.refusals import (
    archives,
    bundles,
    challenges,
    counters,
    ek_certificates,
    enrol_answers,
    enrol_files,
    enrol_requests,
    logs,
    memory,
    proofs,
    statements,
    structures,
    successions,
)
from tests.refusals.case import Case, Maker

DIRECTORY = Path(__file__).parents[1] / "vectors" / "refusals"
MAKERS: tuple[Maker, ...] = (
    proofs.cases,
    ek_certificates.cases,
    enrol_requests.cases,
    enrol_answers.cases,
    bundles.cases,
    counters.cases,
    archives.cases,
    successions.cases,
    challenges.cases,
    statements.cases,
    memory.cases,
    logs.cases,
    structures.cases,
    enrol_files.cases,
)
_COMPRESS_FROM = 8 * 1024


def every_case() -> list[Case]:
    """Every case, in order; each name once."""
    made = [case for maker in MAKERS for case in maker()]
    names = [case.name for case in made]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return made


def write(directory: Path, made: Sequence[Case]) -> None:
    """Replace the files and the index in ``directory``; what else is there stays."""
    shutil.rmtree(directory / "files", ignore_errors=True)
    (directory / "files").mkdir(parents=True)
    entries = [_entry(directory, case) for case in made]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    (directory / "index.json").write_text(f"[\n{lines}\n]\n")


def _entry(directory: Path, case: Case) -> dict[str, Any]:
    files = {role: _stored(directory, data) for role, data in case.files.items()}
    return {
        "name": case.name,
        "threat": case.threat,
        "judge": case.judge,
        "files": files,
        "options": dict(case.options),
        "code": case.code,
        "exit_code": case.exit_code,
    }


def _stored(directory: Path, data: bytes) -> str:
    name = f"files/{sha256(data).hexdigest()[:16]}"
    if len(data) >= _COMPRESS_FROM:
        name, data = f"{name}.gz", gzip.compress(data, mtime=0)
    (directory / name).write_bytes(data)
    return name


def read(directory: Path) -> list[tuple[dict[str, Any], dict[str, bytes]]]:
    """Each entry of the index with the bytes of its files by role."""
    entries = json.loads((directory / "index.json").read_text())
    return [
        (entry, {role: _load(directory / name) for role, name in entry["files"].items()})
        for entry in entries
    ]


def _load(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
