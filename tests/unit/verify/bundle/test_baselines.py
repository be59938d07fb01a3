"""Who accepted the boot state by which a node judged itself, as an assessor reads it."""

import io
import json

import pytest

from swt3_agent.protocol.record import Kind
from swt3_agent.verify import BundleReport, verify_bundle
from tests.support.paper_bundle import PaperLog, trust_in

REASON = "installed by ada, ticket 4711"


def judged(log: PaperLog) -> BundleReport:
    return verify_bundle(io.BytesIO(log.bundle()), trust=trust_in(), allow_software_tpm=True)


def accept(log: PaperLog, **changes: object) -> int:
    by = {"uid": 1000, "gid": 1000, "user": "ada"}
    change = {"subject": "platform", "event": "accepted", "by": by, "reason": REASON, **changes}
    return log.append(Kind.BASELINE, change)


def judge_by(log: PaperLog, record: int) -> int:
    provenance = {"listener": "agent", "verdict": "PASS", "baseline": record}
    content = {"procedure_id": "AI-HW.3", "clearing_level": 3}
    return log.append(Kind.MINTED, content, json.dumps(provenance).encode())


def begun() -> PaperLog:
    log = PaperLog()
    log.start()
    return log


def test_who_accepted_what_and_why_is_told() -> None:
    log = begun()
    record = accept(log)
    judge_by(log, record)
    log.head()
    report = judged(log)
    assert report.code == "VERIFIED", report.render()
    text = report.render()
    assert f"  baseline    record {record}, accepted by ada (uid 1000), " in text
    assert REASON in text
    assert "not in this bundle" not in text
    assert any("the node's own baseline" in limit for limit in report.not_proven)
    bundle = report.to_json()["bundle"]
    assert isinstance(bundle, dict)
    (change,) = bundle["baselines"]
    assert (change["seq"], change["event"], change["uid"]) == (record, "accepted", 1000)
    assert (change["user"], change["reason"]) == ("ada", REASON)
    assert bundle["judged_by"] == [record]


def test_a_baseline_from_before_the_range_is_named_by_its_record() -> None:
    log = begun()
    judge_by(log, 7000)
    log.head()
    assert "held against that of record 7000, which is not in this bundle" in judged(log).render()


def test_without_a_verdict_by_one_nothing_is_said_of_it() -> None:
    log = begun()
    log.head()
    report = judged(log)
    assert "baseline" not in "\n".join([report.render(), *report.not_proven])


def test_what_a_stranger_wrote_into_one_is_bounded_and_cannot_steer_a_terminal() -> None:
    log = begun()
    accept(log, reason="\x1b[2J" + "x" * 10**5, by={"uid": None, "user": "\n" * 10**4})
    log.head()
    text = judged(log).render()
    assert "\x1b" not in text
    assert len(text) < 10_000


@pytest.mark.parametrize("content", [b"", b"[]", b"{", {"event": 1}, {"by": "root"}])
def test_what_is_no_baseline_is_refused(content: object) -> None:
    log = begun()
    log.append(Kind.BASELINE, content)
    log.head()
    assert judged(log).code == "RECORD_CONTENT"


def test_the_registers_are_shown_as_they_are_not_judged() -> None:
    log = begun()
    log.head()
    text = judged(log).render()
    for index, value in log.pcrs.items():
        if index in (0, 7) and any(value):
            assert f"  PCR {index:<8}{value.hex()}" in text
    assert "  PCR" in text
