"""What stands in the end: whose keys signed, which doubts remain, how each boot came to be."""

from swt3_agent.protocol.boot_state import whole_values
from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.verify.bundle.archive import Archive
from swt3_agent.verify.bundle.boot_state import judge_boots
from swt3_agent.verify.bundle.examination import Examination
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.bundle.tree import reaches
from swt3_agent.verify.references import examine_reference


def examine_counter(examination: Examination, history: History) -> None:
    """Nothing follows in the log. Raises FormatError ``COUNTER_UNCOVERED``."""
    examination.begin("counter")
    history.finish()
    counter = history.counter
    if counter.last is None:
        examination.not_applicable("no certificate of a counter: every head says ctr=0")
        return
    examination.passed(
        f"{counter.steps} steps follow each other without a gap, to {counter.value}, each certified"
        " before and after over a quoted head"
    )


def examine_signers(
    examination: Examination, manifest: Manifest, statement: TrustStatement | None
) -> None:
    """Heads are the enrolled key's, and what an honest node can have too is explained or said.

    Raises FormatError ``TRUST_AK``.
    """
    examination.begin("signers")
    history = examination.history
    assert history is not None  # noqa: S101  set before
    floor = 0  # of what the enroller saw, and this bundle goes on from
    if statement is not None and history.chain.signed:
        history.chain.signers.check_enrolled(parse_tpmt(statement.ak_public))
        if reaches(statement.floors, manifest):
            floor = statement.floors.size
        examination.passed("every signed head is the enrolled key's")
    else:
        examination.not_applicable("nobody vouches for a key, or no head is signed")
    for found in history.irregularities:
        if found.decides and (not found.size or found.size > floor):
            examination.doubt(found.code, found.detail)


def examine_boots(
    examination: Examination,
    archive: Archive,
    manifest: Manifest,
    statement: TrustStatement | None,
    reference: bytes | None,
) -> None:
    """Quotes and logs of each boot hold, and show what the reader accepts.

    Raises FormatError as ``judge_boots`` and ``examine_reference``.
    """
    examination.begin("boots")
    history = examination.history
    assert history is not None  # noqa: S101  set before
    enrolled = None if statement is None else parse_tpmt(statement.ak_public)
    keys = history.chain.signers.vouched(enrolled)
    examination.boots = judge_boots(archive, manifest, history.boots, keys)
    quotes = sum(boot.quotes for boot in examination.boots)
    logs = sum(boot.log is not None for boot in examination.boots)
    if quotes:
        examination.passed(f"{quotes} quotes of {len(examination.boots)} boots hold, {logs} logs")
    else:
        examination.not_applicable("no boot has a quote of its platform here")
    if reference is None or not examination.boots:
        examine_reference(examination, reference, {}, None)
        return
    for boot in examination.boots:
        log, values = boot.log, None
        if log is not None:
            values = whole_values(log.values, boot.pcrs, log.matched, log.differing)
        examine_reference(examination, reference, boot.pcrs, values)
    examination.reference = True
