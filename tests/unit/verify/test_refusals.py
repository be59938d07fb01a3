"""Every stored file that a verifier must refuse is refused, each with its own code."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.verify import verify_bundle, verify_proof
from swt3_agent.verify.enrolment import (
    Policy,
    accept_answer,
    issue_challenge,
    pending_state,
    read_authorities,
)
from tests.refusals import judges
from tests.refusals.vectors import DIRECTORY, every_case, read, write
from tests.support.forge import ENROLLER

Judge = Callable[[Mapping[str, bytes], Mapping[str, Any]], tuple[str, int]]


def judge_proof(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[str, int]:
    report = verify_proof(files["file"], trust=files.get("trust"), **options)
    return judges.remembered(report, files)


def judge_bundle(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[str, int]:
    report = verify_bundle(BytesIO(files["file"]), trust=files.get("trust"), **options)
    return judges.verdict(report)


def judge_request(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[str, int]:
    pins = options.get("ek")

    def challenge() -> object:
        policy = Policy(
            read_authorities({"roots.pem": files["roots"]}) if "roots" in files else None,
            None if pins is None else frozenset(map(bytes.fromhex, pins)),
        )
        return issue_challenge(files["file"], policy, options["now_ms"])

    return refusal(challenge)


def judge_answer(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[str, int]:
    return refusal(
        lambda: accept_answer(
            files["file"],
            pending_state(files["state"]),
            ENROLLER,
            name="enroller.example",
            valid_days=1,
            now_ms=options["now_ms"],
            allow_software_tpm=False,
        )
    )


def refusal(step: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        step()
    return caught.value.code, caught.value.exit_code


JUDGES: Mapping[str, Judge] = {
    "proof": judge_proof,
    "bundle": judge_bundle,
    "enrol-request": judge_request,
    "enrol-answer": judge_answer,
    "challenge": judges.judge_challenge,
    "statement": judges.judge_statement,
    "boot-log": judges.judge_boot_log,
    "ima-log": judges.judge_ima_log,
    "enrol-renew": judges.judge_renewal,
    "structure": judges.judge_structure,
}
STORED = read(DIRECTORY)


@pytest.mark.parametrize(("entry", "files"), STORED, ids=[entry["name"] for entry, _ in STORED])
def test_what_must_be_refused_is_refused(entry: dict[str, Any], files: dict[str, bytes]) -> None:
    answer = JUDGES[entry["judge"]](files, entry["options"])
    assert answer == (entry["code"], entry["exit_code"])


def test_the_stored_files_are_those_that_the_generator_makes(tmp_path: Path) -> None:
    write(tmp_path, every_case())
    assert read(tmp_path) == STORED
