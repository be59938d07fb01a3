"""What `queue` says to a person."""

from typing import Any

from swt3_agent.cli.queue import queue_lines

QUEUE: dict[str, Any] = {
    "ledger": "ledger.example",
    "lane": "idle",
    "backlog": 0,
    "oldest": None,
    "last_success": 1_785_000_000_000,
    "error": None,
    "settled": 12,
    "refused": 0,
    "withheld": 0,
    "differing": 0,
    "refused_records": [],
}


def shown(**changes: Any) -> str:
    return "\n".join(queue_lines({**QUEUE, **changes}))


def test_a_lane_with_nothing_to_do_is_shown_with_what_it_did() -> None:
    text = shown()
    assert "idle, 0 records wait" in text
    assert "ledger.example at 2026-07-25 17:20:00 UTC" in text
    assert "settled     12 records" in text


def test_what_waits_is_shown_with_since_when() -> None:
    text = shown(backlog=5, oldest=1_785_000_000_000)
    assert "waiting     5 records, the oldest since 2026-07-25 17:20:00 UTC" in text


def test_refused_records_are_listed_with_their_reason() -> None:
    refusal = {"record": 3, "error": "bad signature", "by": "ledger", "source": "x", "receipt": 9}
    text = shown(refused=4, refused_records=[refusal], differing=2)
    assert "record 3: bad signature (receipt 9)" in text
    assert "and 3 more" in text
    assert "2 of the ledger are not this agent's" in text


def test_a_node_without_a_ledger_says_so() -> None:
    assert "no ledger is configured" in shown(lane="none", ledger=None)
    assert "no agent runs" in shown(lane="not-running", ledger=None)
