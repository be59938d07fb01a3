"""Hold quoted registers, and what a boot log says, against reference values."""

from collections.abc import Mapping

from swt3_agent.errors import FormatError
from swt3_agent.protocol.reference import Reference, compare, parse_reference
from swt3_agent.verify.course import Course
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.report import Check

_LACKING = frozenset({"BOOT_LOG_MISSING", "PCR_NOT_QUOTED"})
"""What is not here to compare, and may well be as it should."""


def read_reference(data: bytes) -> Reference:
    """The reference file in ``data``. Raises FormatError ``REFERENCE_*``."""
    try:
        return parse_reference(data)
    except FormatError as error:
        if error.code.startswith("REFERENCE_"):
            raise
        raise refusal(
            "REFERENCE_INVALID", f"the reference file cannot be read: {error.message}"
        ) from None


def examine_reference(
    course: Course,
    data: bytes | None,
    pcrs: Mapping[int, bytes],
    values: Mapping[str, tuple[str, ...]] | None,
) -> Reference | None:
    """The reference in ``data``, if the registers, and ``values`` of a boot log, are as it says.

    What it names and nobody quoted is a doubt. Raises FormatError ``REFERENCE_*``, and the code of
    the first reason why the state is another.
    """
    course.begin("reference")
    if data is None:
        course.not_applicable("no reference values were given: the state is shown, not judged")
        return None
    reference = read_reference(data)
    reasons = compare(reference, pcrs, values)
    for reason in reasons:
        if reason.code in _LACKING:
            course.doubt(reason.code, reason.detail)
    found = [reason for reason in reasons if reason.code not in _LACKING]
    if found:
        course.checks += [Check(course.step, False, reason.detail) for reason in found[1:]]
        raise refusal(found[0].code, found[0].detail)
    if not reasons:
        unjudged = reference.unjudged(pcrs)
        rest = f"; not judged: PCRs {', '.join(map(str, unjudged))}" if unjudged else ""
        course.passed(f"the boot state is one that the reference accepts{rest}")
    return reference
