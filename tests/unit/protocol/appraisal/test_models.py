"""AI-MDL.5, AI-MDL.6 and AI-MDL.7: docs/protocol.md 8.6."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.appraisal import Appraisal, Outcome, appraise_weights
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash

GOOD, OTHER = "aa" * 32, "bb" * 32
ADAPTER: dict[str, Any] = {
    "name": "polite",
    "within": "adapters/polite",
    "digest": GOOD,
    "approved": None,
    "base_model": "maker/base",
    "problems": [],
}
APPROVED = ADAPTER | {"approved": GOOD}
BF16: dict[str, Any] = {
    "method": "bf16",
    "bits": 16,
    "group_size": None,
    "calibration": None,
    "statements": [{"source": "headers", "told": "BF16"}],
    "contradictions": [],
    "unknown": [],
}
MODEL: dict[str, Any] = {
    "name": "llama",
    "digest": GOOD,
    "approved": None,
    "stage": None,
    "problems": [],
    "approved_files": [],
    "adapters": [],
    "quantization": BF16,
}
PROBLEM = {"code": "FILE_CHANGED", "detail": "it changed", "remedy": "read it again"}


def appraise(procedure: str, **changes: Any) -> Appraisal:
    claims = {"models": [MODEL | changes]}
    reading = Evidence("weights", RootOfTrust.FILE_CONTENT, claims)
    (found,) = [one for one in appraise_weights(reading) if one.procedure_id == procedure]
    return found


def codes(appraisal: Appraisal) -> list[str]:
    return [reason.code for reason in appraisal.reasons]


def file(**changes: Any) -> dict[str, Any]:
    return {"path": "model.gguf", "approved": GOOD, "sha256": GOOD, "bytes": 9, **changes}


def test_a_file_with_its_approved_digest_passes_with_its_stage() -> None:
    found = appraise("AI-MDL.5", approved_files=[file()], stage="deployment")
    assert (found.outcome, found.factors) == (Outcome.PASS, (1, 1, 3))
    assert (found.subject, found.model_id) == ("llama/model.gguf", "gguf")
    assert found.context == {
        "provider": "model-weights",
        "file_hash": GOOD,
        "expected_hash": GOOD,
        "file_path_hash": content_hash("model.gguf"),
        "file_size_bytes": 9,
        "format": "gguf",
        "lifecycle_stage": "deployment",
    }


@pytest.mark.parametrize("stage", [None, "retired", 3])
def test_a_stage_that_nobody_named_is_0(stage: object) -> None:
    found = appraise("AI-MDL.5", approved_files=[file()], stage=stage)
    assert found.factors == (1, 1, 0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"approved_files": [file(sha256=OTHER)]}, "WEIGHT_FILE_DIFFERS"),
        ({"approved_files": [file(sha256=None)]}, "WEIGHT_FILE_MISSING"),
        ({"approved_files": [file(approved="", sha256="")]}, "WEIGHT_FILE_MISSING"),
        ({"approved_files": [file()], "problems": [PROBLEM]}, "FILE_CHANGED"),
    ],
)
def test_a_file_that_is_not_the_approved_one_fails(changes: dict[str, Any], code: str) -> None:
    found = appraise("AI-MDL.5", **changes)
    assert (found.outcome, found.factors) == (Outcome.FAIL, (1, 0, 0))
    assert codes(found) == [code]


def test_adapters_with_their_approved_digests_pass() -> None:
    found = appraise("AI-MDL.6", adapters=[APPROVED, APPROVED | {"name": "terse"}])
    assert (found.outcome, found.factors) == (Outcome.PASS, (2, 1, 0))
    assert codes(found) == ["ADAPTERS"]
    assert found.reasons[0].detail == "polite (for maker/base), terse (for maker/base)"
    adapters: Any = found.context["adapters"]
    assert adapters[0] == {
        "name": "polite",
        "hash": GOOD,
        "expected_hash": GOOD,
        "base_model": "maker/base",
    }


@pytest.mark.parametrize(
    ("adapter", "outcome", "expected"),
    [
        (APPROVED, Outcome.PASS, ["ADAPTERS", "ADAPTER_BASE_DIFFERS"]),
        (ADAPTER, Outcome.NOT_COMPARED, ["ADAPTER_UNAPPROVED", "ADAPTER_BASE_DIFFERS"]),
        (APPROVED | {"digest": OTHER}, Outcome.FAIL, ["ADAPTER_DIFFERS", "ADAPTER_BASE_DIFFERS"]),
    ],
)
def test_an_adapter_for_another_base_is_told_and_judged_by_its_digest(
    adapter: dict[str, Any], outcome: Outcome, expected: list[str]
) -> None:
    found = appraise("AI-MDL.6", adapters=[adapter | {"base_named": False}])
    assert (found.outcome, codes(found)) == (outcome, expected)
    assert "made for maker/base" in found.reasons[-1].detail


def test_a_long_stack_is_summed_up() -> None:
    found = appraise("AI-MDL.6", adapters=[APPROVED] * 300)
    assert found.reasons[0].detail.endswith("polite (for maker/base), 292 more")


def test_a_base_model_that_is_a_path_travels_as_its_hash_only() -> None:
    found = appraise("AI-MDL.6", adapters=[APPROVED | {"base_model": "/home/jo/base"}])
    assert "/home/jo" not in str(found.context)
    assert content_hash("/home/jo/base") in str(found.context)


def test_an_approved_model_approves_the_adapters_within_it() -> None:
    found = appraise("AI-MDL.6", adapters=[ADAPTER], approved=GOOD)
    assert (found.outcome, found.factors) == (Outcome.PASS, (1, 1, 0))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"adapters": [APPROVED | {"digest": OTHER}]}, ["ADAPTER_DIFFERS"], id="another"
        ),
        pytest.param(
            {"adapters": [APPROVED | {"digest": None, "problems": [PROBLEM]}]},
            ["FILE_CHANGED"],
            id="unread",
        ),
        pytest.param({"adapters": [APPROVED | {"digest": None}]}, ["ADAPTER_DIFFERS"], id="silent"),
        pytest.param(
            {"adapters": [APPROVED, ADAPTER | {"name": "guest"}]},
            ["ADAPTER_UNAPPROVED"],
            id="one beside the approved",
        ),
        pytest.param(
            {"adapters": [ADAPTER], "approved": OTHER}, ["ADAPTER_UNVERIFIED"], id="changed model"
        ),
        pytest.param(
            {"adapters": [ADAPTER], "approved": GOOD, "problems": [PROBLEM]},
            ["FILE_CHANGED", "ADAPTER_UNVERIFIED"],
            id="unread model",
        ),
        pytest.param(
            {"adapters": [ADAPTER | {"within": None}, APPROVED], "approved": GOOD},
            ["ADAPTER_UNAPPROVED"],
            id="outside of the approved model",
        ),
    ],
)
def test_one_adapter_that_is_not_approved_fails_the_stack(
    changes: dict[str, Any], expected: list[str]
) -> None:
    found = appraise("AI-MDL.6", **changes)
    assert found.outcome is Outcome.FAIL
    assert found.factors == (len(changes["adapters"]), 0, 0)
    assert codes(found) == expected


def test_adapters_that_nobody_approved_are_not_compared() -> None:
    found = appraise("AI-MDL.6", adapters=[ADAPTER])
    assert (found.outcome, found.factors) == (Outcome.NOT_COMPARED, None)
    assert codes(found) == ["ADAPTER_UNAPPROVED"]
    assert GOOD in found.reasons[0].detail


def test_no_adapter_is_absent_and_never_a_passing_stack() -> None:
    found = appraise("AI-MDL.6")
    assert (found.outcome, found.factors) == (Outcome.ABSENT, None)
    assert codes(found) == ["NO_ADAPTER"]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("fp32", 0),
        ("fp16", 1),
        ("bf16", 2),
        ("int8", 3),
        ("int4", 4),
        ("gptq", 5),
        ("awq", 6),
        ("gguf", 7),
    ],
)
def test_a_known_method_has_its_code(method: str, code: int) -> None:
    found = appraise("AI-MDL.7", quantization=BF16 | {"method": method})
    assert (found.outcome, found.factors) == (Outcome.PASS, (1, 1, code))
    assert found.model_id == f"quantization-{method}"


def test_the_context_says_what_is_known() -> None:
    told = BF16 | {"method": "gptq", "bits": 4, "group_size": 128, "calibration": "c4"}
    assert appraise("AI-MDL.7", quantization=told).context == {
        "provider": "quantization",
        "method": "gptq",
        "bits": 4,
        "group_size": 128,
        "calibration": "c4",
        "model_name": "llama",
        "model_hash": GOOD,
    }


def test_a_method_that_the_files_contradict_fails() -> None:
    told = BF16 | {"method": "gptq", "contradictions": [PROBLEM]}
    found = appraise("AI-MDL.7", quantization=told)
    assert (found.outcome, found.factors) == (Outcome.FAIL, (1, 0, 5))
    assert codes(found) == ["FILE_CHANGED", "QUANTIZATION"]


@pytest.mark.parametrize(
    "told",
    [
        BF16 | {"method": None},
        BF16 | {"method": "fp8"},
        BF16 | {"method": 7},
        BF16 | {"unknown": [PROBLEM]},
        BF16 | {"method": None, "contradictions": [PROBLEM]},
        {},
    ],
)
def test_a_method_without_a_code_is_never_coded_as_another(told: dict[str, Any]) -> None:
    found = appraise("AI-MDL.7", quantization=told)
    assert (found.outcome, found.factors) == (Outcome.NOT_COMPARED, None)
    assert found.reasons


def test_what_was_not_read_escapes_no_reference() -> None:
    claims = {
        "name": "llama",
        "digest": None,
        "approved": None,
        "approved_files": [file(sha256=None)],
        "adapters": [{"name": "polite", "within": None, "digest": None, "approved": GOOD}],
    }
    reading = Unavailable("weights", Lack.BUSY, "TIMEOUT", "slow", "wait", {"models": [claims]})
    found = {one.procedure_id: one for one in appraise_weights(reading)}
    assert found["AI-MDL.1"].outcome is Outcome.NOT_COMPARED
    assert found["AI-MDL.5"].factors == (1, 0, 0)
    assert found["AI-MDL.6"].factors == (1, 0, 0)
    assert "AI-MDL.7" not in found
    assert all("TIMEOUT" in codes(one) for one in found.values())


VALUES = st.none() | st.integers() | st.sampled_from([GOOD, OTHER, "", "bf16"]) | st.booleans()
ADAPTERS = st.lists(
    st.dictionaries(st.sampled_from([*ADAPTER]), VALUES | st.lists(VALUES, max_size=2)) | VALUES,
    max_size=3,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "digest": VALUES,
            "approved": VALUES,
            "adapters": ADAPTERS | VALUES,
            "approved_files": st.lists(
                st.dictionaries(st.sampled_from(["path", "approved", "sha256"]), VALUES),
                max_size=2,
            ),
            "quantization": st.dictionaries(st.sampled_from([*BF16]), VALUES) | VALUES,
        },
    )
)
def test_claims_of_any_shape_never_pass_by_accident_and_never_crash(model: dict[str, Any]) -> None:
    reading = Evidence("weights", RootOfTrust.FILE_CONTENT, {"models": [model]})
    for found in appraise_weights(reading):
        if found.outcome is not Outcome.PASS:
            continue
        if found.procedure_id == "AI-MDL.6":
            for adapter in model["adapters"]:
                if isinstance(adapter, dict):
                    covered = model.get("digest") == model.get("approved") in (GOOD, OTHER)
                    own = adapter.get("approved") in (GOOD, OTHER)
                    assert adapter.get("digest") == adapter.get("approved") if own else covered
        elif found.procedure_id == "AI-MDL.7":
            assert model["quantization"]["method"] == "bf16"
