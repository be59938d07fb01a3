from typing import Any

from swt3_agent.cli.status import status_lines

STATUS: dict[str, Any] = {
    "running": True,
    "pid": 7,
    "node_id": "ab" * 16,
    "tenant": "LOCAL",
    "clearing_level": 3,
    "tpm": {"kind": "tpm"},
    "log": {
        "log_id": "cd" * 16,
        "tree_size": 12,
        "root": "00" * 32,
        "checkpoint_time": 1_785_000_000_000,
        "checkpoint_size": 11,
        "checkpoint_signed": True,
    },
    "collectors": [],
    "findings": [],
    "readiness": {"ready": True, "reasons": []},
    "intake": None,
    "custody": None,
    "delivery": {"lane": "none"},
    "airgap": {"last_export": None},
    "counter": None,
    "baseline": {"in_force": None, "staged": None, "error": None},
    "coverage": {"required": 0},
}


def shown(*, log: dict[str, Any] | None = None, **changes: Any) -> str:
    return "\n".join(status_lines({**STATUS, **changes, "log": {**STATUS["log"], **(log or {})}}))


def test_what_keeps_the_node_from_being_ready_is_named() -> None:
    assert "ready       yes" in shown()
    reasons = [{"code": code, "detail": "", "remedy": ""} for code in ("DISK_FULL", "QUARANTINE")]
    text = shown(readiness={"ready": False, "reasons": reasons})
    assert "ready       no: DISK_FULL, QUARANTINE" in text
    assert "swt3-agent doctor" in text


ACCEPTED = {
    "record": 12,
    "time_ms": 1_785_000_000_000,
    "event": "accepted",
    "by": {"uid": 1001, "gid": 100, "user": "ada"},
    "reason": "as installed",
    "evidence_record": 11,
    "expires_ms": None,
    "expired": False,
    "digest": "ab" * 32,
    "pcrs": [0, 7],
    "values": ["command-line"],
    "unjudged": [1, 9],
}


def test_what_the_boot_state_is_held_against_is_shown_with_who_and_why_and_what_is_not() -> None:
    assert "none is in force: the boot state is compared with nothing" in shown()
    staged = {**ACCEPTED, "record": 30, "expires_ms": 1_786_000_000_000, "unjudged": []}
    text = shown(baseline={"in_force": ACCEPTED, "staged": staged, "error": None})
    assert "baseline    record 12, by ada (uid 1001) at 2026-07-25 17:20:00 UTC: as in" in text
    assert "NOT judged, or not wholly: PCR 1, 9" in text
    assert "pending     record 30, until 2026-08-06 07:06:40 UTC, by ada" in text
    expired = {**staged, "expired": True}
    text = shown(baseline={"in_force": ACCEPTED, "staged": expired, "error": None})
    assert "EXPIRED" in text
    error = {"code": "BASELINE_MALFORMED", "detail": "record 7 is no baseline", "remedy": ""}
    text = shown(baseline={"in_force": None, "staged": None, "error": error})
    assert "baseline    BASELINE_MALFORMED: record 7 is no baseline" in text


def test_a_stopped_agent_is_neither_ready_nor_unready() -> None:
    text = shown(running=False, pid=None, node_id=None, readiness=None)
    assert "ready " not in text
    assert "None" not in text


def test_signed_heads_give_no_reason_to_worry() -> None:
    text = shown(log={"checkpoint_error": None})
    assert "UTC, signed" in text
    assert "heads " not in text


def test_heads_that_fail_are_named_with_since_when_and_why() -> None:
    error = {
        "code": "TPM_BUSY",
        "detail": "no answer within 30 s",
        "remedy": "see who else uses it",
        "since": 1_785_000_000_000,
    }
    text = shown(log={"checkpoint_error": error})
    assert "none signed since 2026-07-25 17:20:00 UTC" in text
    assert "TPM_BUSY: no answer within 30 s" in text
    assert "remedy: see who else uses it" in text


def test_a_collector_says_what_each_outcome_is_about_and_counts_those_alike() -> None:
    told = [
        {"procedure_id": "AI-MDL.1", "subject": "a", "verdict": "PASS"},
        {"procedure_id": "AI-MDL.1", "subject": "b", "verdict": "PASS"},
        {"procedure_id": None, "subject": "nvlink", "verdict": "RECORDED"},
        {"procedure_id": None, "subject": "", "verdict": "RECORDED"},
    ]
    ran = {"name": "gpu", "last_run": 1_785_000_000_000, "outcome": "", "appraisals": told}
    text = shown(collectors=[ran, {"name": "host", "last_run": None, "appraisals": []}])
    assert "gpu         AI-MDL.1 PASS ×2, nvlink RECORDED, RECORDED at 2026-" in text
    assert "host        not run yet" in text


def test_unsigned_heads_are_named() -> None:
    text = shown(log={"checkpoint_signed": False})
    assert "UNSIGNED" in text
    assert "LOG_UNSIGNED" in text


def test_what_the_intake_took_and_refused_is_counted() -> None:
    intake = {
        "connections": 1,
        "requests": 5,
        "relayed": 40,
        "quarantined": 3,
        "cleared": 2,
        "rejected": {"BUSY": 1, "BAD_FIELD": 3},
    }
    took = "intake      5 requests, 40 relayed, 3 quarantined, 2 cleared"
    assert f"{took}, rejected: BAD_FIELD 3, BUSY 1" in shown(intake=intake)
    assert "rejected: none" in shown(intake={**intake, "rejected": {}})
    assert "intake" not in shown()


def test_custody_is_counted_and_what_hinders_it_is_named() -> None:
    custody: dict[str, Any] = {"entries": 7, "recipients": ["ab" * 32], "lack": None}
    assert "custody     7 records lost something to it, sealed to 1 custodian" in shown(
        custody=custody
    )
    lack = {"code": "CUSTODY_FULL", "detail": "there is no room in /x", "remedy": "make room"}
    text = shown(custody={**custody, "lack": lack})
    assert "CUSTODY_FULL: there is no room in /x; nothing is forwarded" in text
    assert "remedy: make room" in text


def test_what_hinders_delivery_is_named_with_what_to_do() -> None:
    error = {"code": "LEDGER_NAME", "detail": "not known", "remedy": "mend it", "since": 0}
    delivery: dict[str, Any] = {
        "lane": "backing-off",
        "backlog": 7,
        "ledger": "ledger.example",
        "last_success": None,
        "error": error,
    }
    text = shown(delivery=delivery)
    assert "delivery    backing-off, 7 records wait" in text
    assert "LEDGER_NAME since 1970-01-01 00:00:00 UTC: not known" in text
    assert "remedy: mend it" in text
    assert "delivery" not in shown()
