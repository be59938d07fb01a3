"""Clearing: docs/protocol.md 6."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import (
    FIELDS,
    IN_CONTEXT,
    INFERENCE,
    KEPT_THROUGH,
    MODEL_OF_OTHERS,
    UNLISTED,
    Fate,
    clear,
)
from swt3_agent.protocol.fingerprint import content_hash
from swt3_agent.protocol.payload import Witness

REQUIRED: dict[str, object] = {
    "procedure_id": "AI-INF.1",
    "factor_a": 1,
    "factor_b": 1,
    "factor_c": 0,
    "clearing_level": 0,
    "anchor_fingerprint": "c059eb5938c0",
    "anchor_epoch": 1774800000,
    "fingerprint_timestamp_ms": 1774800000000,
}
OPERATIONAL: dict[str, object] = {
    name: "text" for name in KEPT_THROUGH if name not in REQUIRED and not name.startswith("ai_")
}
MODEL = "llama-3-70b"
CONTENT: dict[str, object] = {
    "ai_model_id": MODEL,
    "ai_prompt_hash": "315f5bdb76d078c4",
    "ai_response_hash": "315f5bdb76d078c4",
    "ai_system_prompt_hash": "315f5bdb76d078c4",
    "ai_latency_ms": 12,
    "ai_input_tokens": 3,
    "ai_output_tokens": 4,
    "ai_context": {"provider": "openai", "guardrails": ["pii"], "system_fingerprint": "fp"},
}

OF_INFERENCE = [
    "AI-INF.1",
    "AI-INF.2",
    "AI-MDL.1",
    "AI-MDL.2",
    "AI-GRD.1",
    "AI-GRD.2",
    "AI-ID.1",
]
OTHERS = ["AI-HW.1", "AI-HW.3", "AI-MDL.5", "AI-MDL.6", "AI-MDL.7", "AI-ENV.1", "AI-ENV.2"]
TOOLS = ["AI-TOOL.1", "AI-ACC.1", "AI-SHELL.1", "AI-REV.1", "AI-UNKNOWN.7"]

PROMPT_AND_RESPONSE = {"ai_prompt_hash", "ai_response_hash"}


def a_record(procedure: str) -> dict[str, object]:
    return REQUIRED | OPERATIONAL | CONTENT | {"procedure_id": procedure}


def content_left(procedure: str, level: int) -> dict[str, object]:
    cleared, _ = clear(a_record(procedure), level)
    return {name: value for name, value in cleared.items() if name.startswith("ai_")}


def test_the_table_knows_every_field_of_a_witness() -> None:
    assert set(KEPT_THROUGH) == set(Witness.__struct_fields__)


@pytest.mark.parametrize("procedure", OF_INFERENCE + OTHERS + TOOLS)
@pytest.mark.parametrize("level", [0, 1])
def test_levels_0_and_1_keep_content(procedure: str, level: int) -> None:
    cleared, removed = clear(a_record(procedure), level)
    assert cleared == a_record(procedure)
    assert removed == ()


@pytest.mark.parametrize("procedure", OF_INFERENCE)
def test_level_2_keeps_model_and_hashes_of_an_inference(procedure: str) -> None:
    left = content_left(procedure, 2)
    assert left.keys() == PROMPT_AND_RESPONSE | {"ai_model_id"}
    assert left["ai_model_id"] == MODEL


@pytest.mark.parametrize("procedure", OF_INFERENCE)
def test_level_3_keeps_only_the_hash_of_the_model(procedure: str) -> None:
    assert content_left(procedure, 3) == {"ai_model_id": content_hash(MODEL)}


@pytest.mark.parametrize("procedure", OTHERS + TOOLS)
def test_other_anchors_name_nothing_from_level_2_on(procedure: str) -> None:
    assert content_left(procedure, 2).keys() == PROMPT_AND_RESPONSE
    assert content_left(procedure, 3) == {}


@pytest.mark.parametrize("procedure", OF_INFERENCE + OTHERS + TOOLS)
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_required_and_operational_fields_always_survive(procedure: str, level: int) -> None:
    cleared, _ = clear(a_record(procedure), level)
    for name in REQUIRED | OPERATIONAL:
        assert cleared[name] == a_record(procedure)[name]


def test_what_was_removed_or_hashed_is_named_in_order() -> None:
    _, removed = clear(a_record("AI-INF.1"), 3)
    assert removed == tuple(CONTENT)


def test_a_field_that_nobody_has_classified_goes_with_the_context() -> None:
    record = REQUIRED | {"prompt": "the raw prompt"}
    assert clear(record, 1) == (record, ())
    assert clear(record, 2) == (REQUIRED, ("prompt",))
    assert clear(record, 3) == (REQUIRED, ("prompt",))


def test_a_model_that_is_a_hash_already_is_left_alone() -> None:
    record = REQUIRED | {"ai_model_id": content_hash(MODEL)}
    assert clear(record, 3) == (record, ())


@pytest.mark.parametrize("level", [0, 1])
def test_file_path_hostname_and_serials_never_travel_raw(level: int) -> None:
    context = {
        "provider": "weights",
        "file_path": "/srv/models/secret.gguf",
        "hostname": "node-17",
        "gpus": [{"name": "H100", "serial": 1650923, "uuid": "GPU-1"}],
    }
    cleared, changed = clear(REQUIRED | {"ai_context": context}, level)
    assert cleared["ai_context"] == {
        "provider": "weights",
        "file_path_hash": content_hash("/srv/models/secret.gguf"),
        "hostname_hash": content_hash("node-17"),
        "gpus": [
            {
                "name": "H100",
                "serial_hash": content_hash("1650923"),
                "uuid_hash": content_hash("GPU-1"),
            }
        ],
    }
    assert changed == (
        "ai_context.file_path",
        "ai_context.hostname",
        "ai_context.gpus.0.serial",
        "ai_context.gpus.0.uuid",
    )


def test_an_identifier_of_odd_type_is_removed() -> None:
    cleared, changed = clear(REQUIRED | {"ai_context": {"serial": ["a", "b"]}}, 0)
    assert cleared["ai_context"] == {}
    assert changed == ("ai_context.serial",)


def test_a_context_that_is_json_in_a_text_is_cleared_as_well() -> None:
    cleared, changed = clear(REQUIRED | {"ai_context": '{"hostname": "node-17", "a": 1}'}, 1)
    assert cleared["ai_context"] == f'{{"hostname_hash":"{content_hash("node-17")}","a":1}}'
    assert changed == ("ai_context.hostname",)


@pytest.mark.parametrize("text", ["free text", '{"a": 1}', "1", "[" * 32])
def test_a_context_text_without_identifiers_stays_byte_for_byte(text: str) -> None:
    record = REQUIRED | {"ai_context": text}
    assert clear(record, 1) == (record, ())


@pytest.mark.parametrize("depth", [33, 600, 5000, 100_000])
def test_a_context_text_too_deep_to_look_into_does_not_travel(depth: int) -> None:
    for text in ("[" * depth + '{"hostname":"node-17"}' + "]" * depth, "[" * depth):
        record = REQUIRED | {"ai_context": text}
        assert clear(record, 0) == (REQUIRED, ("ai_context",))


@pytest.mark.parametrize(
    "text",
    [
        '{"hostname":"\\ud800"}',
        '{"x":{"hostname":"node-17"},"x":1}',
        '{"hostname":"node-17","limit":NaN}',
    ],
)
def test_a_context_text_that_only_some_readers_can_read_does_not_travel(text: str) -> None:
    record = REQUIRED | {"ai_context": text}
    assert clear(record, 0) == (REQUIRED, ("ai_context",))


def test_an_identifier_that_is_no_text_at_all_is_refused() -> None:
    with pytest.raises(FormatError, match="surrogate"):
        clear(REQUIRED | {"ai_context": {"hostname": "\ud800"}}, 1)


def test_a_sandbox_is_named_by_its_short_hash_from_level_1_on() -> None:
    record = REQUIRED | {"ai_context": {"sandbox_id": "box"}}
    assert clear(record, 0) == (record, ())
    cleared, changed = clear(record, 1)
    assert cleared["ai_context"] == {"sandbox_id_hash": content_hash("box")[:12]}
    assert changed == ("ai_context.sandbox_id",)


def test_guardrail_names_go_at_level_1_where_that_is_wanted() -> None:
    record = REQUIRED | {"ai_context": {"provider": "x", "guardrails": ["pii"]}}
    assert clear(record, 0, drop_guardrail_names=True) == (record, ())
    cleared, changed = clear(record, 1, drop_guardrail_names=True)
    assert cleared["ai_context"] == {"provider": "x"}
    assert changed == ("ai_context.guardrails",)


@pytest.mark.parametrize("level", [-1, 4, 1.0, True, "1", None])
def test_there_are_four_levels(level: Any) -> None:
    with pytest.raises(FormatError, match="clearing level"):
        clear(REQUIRED, level)


texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from(["file_path", "hostname", "Serial", "sandbox_id"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
records = st.builds(
    lambda procedure, fields: REQUIRED | fields | {"procedure_id": procedure},
    st.sampled_from(OF_INFERENCE + OTHERS + TOOLS),
    st.dictionaries(
        st.sampled_from([*CONTENT, "x_future", "agent_id"]) | texts, values, max_size=8
    ).map(lambda fields: {k: v for k, v in fields.items() if k not in REQUIRED}),
)
levels = st.integers(0, 3)


@given(records, levels)
def test_clearing_twice_changes_nothing_more(record: dict[str, object], level: int) -> None:
    once, _ = clear(record, level)
    assert clear(once, level) == (once, ())


@given(records, levels, levels)
def test_clearing_in_steps_gives_what_one_step_gives(
    record: dict[str, object], first: int, second: int
) -> None:
    lower, higher = sorted((first, second))
    assert clear(clear(record, lower)[0], higher)[0] == clear(record, higher)[0]


@given(records, levels)
def test_nothing_named_means_nothing_changed(record: dict[str, object], level: int) -> None:
    before = repr(record)
    cleared, changed = clear(record, level)
    assert repr(record) == before
    assert (cleared == record) == (changed == ())


@given(records, levels)
def test_fingerprint_inputs_and_declared_level_are_never_touched(
    record: dict[str, object], level: int
) -> None:
    cleared, _ = clear(record, level)
    assert {name: cleared[name] for name in REQUIRED} == {name: record[name] for name in REQUIRED}
    assert cleared.keys() <= record.keys()


_DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_documented_table_is_that_of_the_code() -> None:
    """docs/protocol.md 6.1, row by row."""
    section = _DOCUMENT.read_text().split("### 6.1 ")[1].split("### 6.2 ")[0]
    documented: dict[str, tuple[str, ...]] = {}
    for line in section.splitlines():
        label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        row = tuple(cells[:4])
        if not set(row) <= {"yes", "hash", "no"} or not row:
            continue
        names = re.findall("`([^`]+)`", label)
        where = "in the context: " if label.startswith("in the context") else ""
        documented |= dict.fromkeys([where + name for name in names] or [label], row)
    code = dict(FIELDS)
    code |= {f"in the context: {name}": row for name, row in IN_CONTEXT.items()}
    code |= {"model id of all other anchors": MODEL_OF_OTHERS, "any other field": UNLISTED}
    assert documented == {name: tuple(fate.value for fate in row) for name, row in code.items()}
    assert set(re.findall(r"AI-[A-Z]+\.\d", section)) == INFERENCE


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("procedure", OF_INFERENCE + OTHERS + TOOLS)
def test_clearing_does_what_the_table_says(procedure: str, level: int) -> None:
    record = a_record(procedure) | {"prompt": "the raw prompt"}
    cleared, changed = clear(record, level)
    for name, value in record.items():
        row = FIELDS.get(name, UNLISTED)
        if name == "ai_model_id" and procedure not in INFERENCE:
            row = MODEL_OF_OTHERS
        expected = {Fate.KEPT: value, Fate.HASHED: content_hash(MODEL), Fate.REMOVED: None}
        assert cleared.get(name) == expected[row[level]]
        assert (name in changed) == (row[level] is not Fate.KEPT)
