"""What is accepted, quarantined or dropped (docs/formats.md, "Intake")."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import KEPT_THROUGH, clear
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.judgement import BatchJudgement, Rules, judge
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.peer import Peer
from swt3_agent.relay.provenance import Origin
from swt3_agent.relay.request import SubmitRequest
from tests.support.anchors import inference_anchor

_HASH = "315f5bdb76d078c4"
_OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "ai_model_id": st.sampled_from([_HASH, "llama", "llama3:70b", ""]),
    "ai_prompt_hash": st.sampled_from([_HASH, ""]),
    "ai_system_prompt_hash": st.just(_HASH),
    "ai_latency_ms": st.integers(0, 5),
    "ai_context": st.one_of(
        st.dictionaries(
            st.sampled_from(["provider", "hostname", "sandbox_id", "guardrails", "a:b"]),
            st.none() | st.integers() | st.sampled_from(["x", "", "a:b"]) | st.just([1]),
        ),
        st.just({"gpus": [{"uuid": "GPU-1"}]}),
        st.just('{"hostname":"x"}'),
    ),
    "agent_id": st.sampled_from(["node", "spiffe://node", ""]),
    "references": st.just(["c059eb5938c0"]),
    "new_field": st.just(1),
}
_payloads = st.fixed_dictionaries({}, optional=_OPTIONAL)


def _judged(payload: bytes, level: int) -> tuple[str, ...]:
    rules = Rules("LOCAL", level, IntakeLimits())
    return judge(payload, payload.count(b":"), rules)[1]


@given(extra=_payloads, declared=st.integers(0, 3), level=st.integers(0, 3), spaced=st.booleans())
def test_names_exactly_what_clearing_would_change(
    extra: dict[str, Any], declared: int, level: int, spaced: bool
) -> None:
    anchor = inference_anchor(**extra, clearing_level=declared)
    payload = json.dumps(anchor, separators=None if spaced else (",", ":")).encode()
    assert sorted(_judged(payload, level)) == sorted(clear(anchor, max(declared, level))[1])


@given(extra=_payloads, name=st.sampled_from([*_OPTIONAL, "factor_a", "cycle_id"]))
def test_a_repeated_key_is_refused_whatever_else_is_there(extra: dict[str, Any], name: str) -> None:
    anchor = inference_anchor(**extra)
    value = anchor.get(name, "x")
    twice = json.dumps({**anchor, name: value})[:-1] + f",{json.dumps(name)}:{json.dumps(value)}}}"
    payload = twice.encode()
    with pytest.raises(FormatError) as raised:
        _judged(payload, 0)
    assert raised.value.code == "BAD_FIELD"


def test_every_field_of_a_witness_has_a_clearing_rule() -> None:
    from swt3_agent.protocol.payload import Witness

    assert set(Witness.__struct_fields__) == set(KEPT_THROUGH)


def _judgement(*payloads: bytes, level: int = 3, batch: int | None = 4) -> BatchJudgement:
    key = None if batch is None else ("client", batch)
    colons = [payload.count(b":") for payload in payloads]
    request = SubmitRequest("id", key, list(payloads), colons)
    origin = Origin("intake", "LOCAL", Peer(1000, 1000, 42, 7, "/system.slice/x"))
    return BatchJudgement(request, Rules("LOCAL", level, IntakeLimits()), origin)


def _encoded(**changes: Any) -> bytes:
    return json.dumps(inference_anchor(**changes)).encode()


def test_is_done_in_portions_of_bounded_size() -> None:
    payloads = [_encoded() for _ in range(10)]
    judgement = _judgement(*payloads)
    portions = 0
    while not judgement.done:
        assert judgement.advance(2 * len(payloads[0])) <= 3 * len(payloads[0])
        portions += 1
    assert portions == 5
    assert [payload for _, _, payload in judgement.drafts()] == payloads


def test_the_first_record_of_a_batch_says_what_the_batch_lost() -> None:
    judgement = _judgement(_encoded(ai_latency_ms=1), _encoded(), _encoded(), _encoded(cycle_id=5))
    judgement.advance(100_000)
    drafts = judgement.drafts()
    assert [kind for kind, _, _ in drafts] == [Kind.RELAYED, Kind.RELAYED, Kind.QUARANTINE]
    first, second, third = (json.loads(provenance) for _, provenance, _ in drafts)
    assert [group["indexes"] for group in first["dropped"]] == [[0]]
    assert "dropped" not in second
    assert third["index"] == 3
    assert [(r.index, r.quarantined) for r in judgement.rejections()] == [(0, False), (3, True)]


def test_provenance_differs_by_sender_and_level_only_where_they_do() -> None:
    judgement = _judgement(
        _encoded(agent_id="a"), _encoded(agent_id="b", clearing_level=2), _encoded(agent_id="a")
    )
    judgement.advance(100_000)
    said = [json.loads(provenance) for _, provenance, _ in judgement.drafts()]
    assert [one["agent"] for one in said] == ["a", "b", "a"]
    assert [one["declared_level"] for one in said] == [3, 2, 3]
    assert {one["batch"] for one in said} == {4}
    assert said[0]["cgroup"] == "/system.slice/x"


def test_without_a_batch_nothing_of_the_kind_is_said() -> None:
    judgement = _judgement(_encoded(), batch=None)
    judgement.advance(100_000)
    assert not {"client", "batch"} & json.loads(judgement.drafts()[0][1]).keys()
