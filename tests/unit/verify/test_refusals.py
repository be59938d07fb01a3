"""Every stored file that a verifier must refuse is refused, each with its own code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.verify import verify_proof
from tests.refusals.vectors import DIRECTORY, every_case, read, write

Judge = Callable[[Mapping[str, bytes], Mapping[str, Any]], tuple[str, int]]


def judge_proof(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[str, int]:
    report = verify_proof(files["file"], trust=files.get("trust"), **options)
    return report.code, report.exit_code


JUDGES: Mapping[str, Judge] = {"proof": judge_proof}
STORED = read(DIRECTORY)


@pytest.mark.parametrize(("entry", "files"), STORED, ids=[entry["name"] for entry, _ in STORED])
def test_what_must_be_refused_is_refused(entry: dict[str, Any], files: dict[str, bytes]) -> None:
    answer = JUDGES[entry["judge"]](files, entry["options"])
    assert answer == (entry["code"], entry["exit_code"])


def test_the_stored_files_are_those_that_the_generator_makes(tmp_path: Path) -> None:
    write(tmp_path, every_case())
    assert read(tmp_path) == STORED
