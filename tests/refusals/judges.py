"""Judges of what is no proof, bundle or enrolment: files and options to a code and an exit code."""

from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.errors import FormatError
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.event_log import parse_event_log
from swt3_agent.tcg.ima_log import check_boot_aggregates, parse_ima_log, replay
from swt3_agent.tcg.measured_boot import measured_values
from swt3_agent.tcg.nv_public import check_counter, parse_nv_public
from swt3_agent.tcg.public import parse_key
from swt3_agent.tcg.signature import der_to_tpmt, tpmt_to_der
from swt3_agent.verify import ChallengeReport, Report, verify_challenge, verify_statement
from swt3_agent.verify.course import Course
from swt3_agent.verify.enrolment import renew
from swt3_agent.verify.references import examine_reference
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.remembering import remember
from swt3_agent.verify.report import Outcome, Verification

Files = Mapping[str, bytes]
Options = Mapping[str, Any]


def remembered(report: Report | ChallengeReport, files: Files) -> tuple[str, int]:
    """What ``report`` comes to for a reader who remembers."""
    if "memory" in files:
        held, _ = remember(report, files["memory"], files["trust"])
        return verdict(held)
    return verdict(report)


def verdict(report: Verification) -> tuple[str, int]:
    """How ``report`` ends; with what to do about it, as docs/refusals.md says."""
    told = "" if report.code == "VERIFIED" else refusal(report.code, "").remedy
    assert report.remedy == told, report.code
    return report.code, report.exit_code


def judge_challenge(files: Files, options: Options) -> tuple[str, int]:
    nonce = options["nonce"]
    report = verify_challenge(
        files,
        nonce=None if nonce is None else bytes.fromhex(nonce),
        trust=files.get("trust"),
        reference=files.get("reference"),
        allow_software_tpm=options["allow_software_tpm"],
        now_ms=options["now_ms"],
    )
    return remembered(report, files)


def judge_statement(files: Files, options: Options) -> tuple[str, int]:
    return verdict(verify_statement(files["file"], trust=files.get("trust"), **options))


def judge_boot_log(files: Files, options: Options) -> tuple[str, int]:
    """Replay against the quoted registers; what these vouch for against the reference."""
    course = Course()
    pcrs = _registers(options)
    try:
        values = None
        if "file" in files:
            values = measured_values(parse_event_log(files["file"]), pcrs).values
        examine_reference(course, files.get("reference"), pcrs, values)
    except FormatError as error:
        return error.code, course.failed(error).exit_code
    return course.doubts[0].code, Outcome.UNDECIDED.exit_code


def judge_ima_log(files: Files, options: Options) -> tuple[str, int]:
    course = Course()
    try:
        replayed = replay(parse_ima_log(files["file"]))
        if "pcrs" in options:
            check_boot_aggregates(replayed.aggregates, _registers(options))
    except FormatError as error:
        return error.code, course.failed(error).exit_code
    return "VERIFIED", 0


def _registers(options: Options) -> dict[int, bytes]:
    return {int(index): bytes.fromhex(value) for index, value in options["pcrs"].items()}


def judge_renewal(files: Files, options: Options) -> tuple[str, int]:
    """An enroller writes a trust file again."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(options["key"]))
    try:
        renew(files["file"], key, valid_days=1, now_ms=options["now_ms"])
    except FormatError as error:
        return error.code, error.exit_code
    return "VERIFIED", 0


def judge_structure(files: Files, options: Options) -> tuple[str, int]:
    """One TPM structure by itself, by its kind."""
    course = Course()
    try:
        _PARSERS[options["kind"]](files["file"])
    except FormatError as error:
        return error.code, course.failed(error).exit_code
    return "VERIFIED", 0


_PARSERS: Mapping[str, Callable[[bytes], object]] = {
    "attest": parse_attest,
    "public": parse_key,
    "nv-public": lambda data: check_counter(parse_nv_public(data)),
    "signature": tpmt_to_der,
    "signature-der": der_to_tpmt,
}
