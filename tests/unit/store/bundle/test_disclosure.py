"""Which records may leave in a bundle."""

import json
from typing import Any

import pytest

from swt3_agent.protocol.bundle import Disclosure
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.store.bundle.disclosure import disclosure_of
from tests.support.anchors import inference_anchor


def record(kind: Kind, provenance: dict[str, object], **changes: Any) -> Record:
    payload = json.dumps(inference_anchor(**changes)).encode()
    return Record(0, kind, 0, 0, json.dumps(provenance).encode(), payload)


@pytest.mark.parametrize(
    ("kind", "provenance", "changes", "expected"),
    [
        (Kind.QUARANTINE, {}, {}, Disclosure.QUARANTINE),
        (Kind.OPAQUE, {}, {}, Disclosure.OPAQUE),
        (Kind.BOOT, {"tenant": "OTHER"}, {}, Disclosure.SHOWN),
        (Kind.RELAYED, {"tenant": "LOCAL", "applied_level": 3}, {}, Disclosure.PAYLOAD),
        (Kind.RELAYED, {"tenant": "OTHER", "applied_level": 3}, {}, Disclosure.TENANT),
        (Kind.RELAYED, {"tenant": "LOCAL", "applied_level": 1}, {}, Disclosure.PAYLOAD),
        (
            Kind.RELAYED,
            {"tenant": "LOCAL", "applied_level": 1},
            {"clearing_level": 1, "ai_context": {"provider": "vllm"}},
            Disclosure.LEVEL,
        ),
        (
            Kind.MINTED,
            {"tenant": "LOCAL"},
            {"clearing_level": 0, "ai_latency_ms": 4},
            Disclosure.LEVEL,
        ),
        (Kind.MINTED, {"tenant": "LOCAL"}, {"clearing_level": 3}, Disclosure.SHOWN),
    ],
)
def test_what_may_leave_at_level_3(
    kind: Kind, provenance: dict[str, object], changes: dict[str, object], expected: Disclosure
) -> None:
    assert disclosure_of(record(kind, provenance, **changes), "LOCAL", 3) is expected


@pytest.mark.parametrize(
    ("level", "expected"), list(enumerate([Disclosure.SHOWN] * 2 + [Disclosure.PAYLOAD] * 2))
)
def test_who_sent_a_record_leaves_below_level_2_only(level: int, expected: Disclosure) -> None:
    sent = record(Kind.RELAYED, {"tenant": "LOCAL", "applied_level": level})
    assert disclosure_of(sent, "LOCAL", level) is expected


@pytest.mark.parametrize("provenance", [b"", b"[]", b'{"tenant":7}'])
def test_who_cannot_be_told_does_not_leave(provenance: bytes) -> None:
    unknown = Record(0, Kind.RELAYED, 0, 0, provenance, b"{}")
    assert disclosure_of(unknown, "LOCAL", 0) is Disclosure.TENANT


def test_what_is_no_json_does_not_leave_a_cleared_node() -> None:
    broken = Record(0, Kind.RELAYED, 0, 0, b'{"applied_level":0}', b"{")
    assert disclosure_of(broken, "LOCAL", 1) is Disclosure.LEVEL
