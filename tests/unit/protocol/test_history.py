from typing import Any

from swt3_agent.protocol.history import (
    MOST_GAPS,
    Timeline,
    gpu_states,
    host_states,
    model_states,
    platform_states,
    together,
)

A, B = "a" * 64, "b" * 64


def model(digest: str | None, **more: Any) -> dict[str, Any]:
    return {"name": "llama", "digest": digest, **more}


def models(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"models": list(entries)}


def test_equal_readings_make_one_period_and_a_change_ends_it() -> None:
    line = Timeline("model")
    for utc_ms, digest in ((1, A), (2, A), (3, B), (4, B), (5, A)):
        line.see(model_states(models(model(digest))), utc_ms, utc_ms * 10)
    periods = line.periods["llama"]
    assert [
        (p.state and p.state["digest"], p.first_ms, p.last_ms, p.until_ms) for p in periods
    ] == [
        (A, 1, 2, 3),
        (B, 3, 4, 5),
        (A, 5, 5, None),
    ]
    assert [p.readings for p in periods] == [2, 2, 1]
    assert periods[0].last_record == 20


def test_what_is_in_no_reading_any_more_has_left_and_may_return() -> None:
    line = Timeline("gpu")
    for utc_ms, uuids in ((1, ["GPU-1", "GPU-2"]), (2, ["GPU-1"]), (3, ["GPU-1"]), (4, ["GPU-2"])):
        claims = {"gpus": [{"uuid": uuid, "pci": "0000:01:00.0"} for uuid in uuids]}
        line.see(gpu_states(claims), utc_ms, utc_ms)
    assert [(p.state is None, p.first_ms, p.until_ms) for p in line.periods["GPU-1"]] == [
        (False, 1, 4),
        (True, 4, None),
    ]
    assert [(p.state is None, p.first_ms, p.until_ms) for p in line.periods["GPU-2"]] == [
        (False, 1, 2),
        (True, 2, 4),
        (False, 4, None),
    ]


def test_readings_that_did_not_come_are_told_and_change_nothing() -> None:
    line = Timeline("model")
    line.see(model_states(models(model(A))), 1, 1)
    for record in (2, 3):
        line.miss("COLLECTOR_TIMEOUT", record, record)
    line.miss("EVIDENCE_MISSING", 4, 4)
    line.see(model_states(models(model(A))), 5, 5)
    line.miss("EVIDENCE_MISSING", 6, 6)
    assert len(line.periods["llama"]) == 1
    assert [(gap.code, gap.first_record, gap.last_record) for gap in line.gaps] == [
        ("COLLECTOR_TIMEOUT", 2, 3),
        ("EVIDENCE_MISSING", 4, 4),
        ("EVIDENCE_MISSING", 6, 6),
    ]
    for number in range(10 * MOST_GAPS):
        line.miss(f"CODE_{number % 2}", number, number)
    assert len(line.gaps) == MOST_GAPS


def test_weights_and_gpus_are_together_while_both_are_on_the_node() -> None:
    weights, gpus = Timeline("model"), Timeline("gpu")
    for utc_ms, digest in ((10, A), (20, None), (30, B)):
        weights.see(model_states(models(model(digest))), utc_ms, utc_ms)
    for utc_ms, driver, uuids in (
        (5, "1", ["G"]),
        (12, "2", ["G"]),
        (15, "2", []),
        (25, "2", ["G"]),
    ):
        claims = {"driver": driver, "gpus": [{"uuid": uuid} for uuid in uuids]}
        gpus.see(gpu_states(claims), utc_ms, utc_ms)
    found = [(one.digest, one.from_ms, one.to_ms) for one in together(weights, gpus)]
    assert found == [(A, 10, 15), (B, 30, None)]


def test_a_models_state_is_digest_approval_adapters_and_quantization() -> None:
    claims = models(
        model(
            A,
            approved=A.upper(),
            adapters=[{"name": "lora", "digest": B, "rank": 8}],
            quantization={"method": "awq", "bits": 4, "group_size": 128, "statements": []},
            problems=[{"code": "FILE_CHANGED", "detail": "x"}],
        )
    )
    assert model_states(claims) == {
        "llama": {
            "digest": A,
            "approved": True,
            "adapters": [{"name": "lora", "digest": B}],
            "quantization": {"method": "awq", "bits": 4, "group_size": 128},
            "problems": ["FILE_CHANGED"],
        }
    }
    assert model_states(models(model(A, approved=B)))["llama"]["approved"] is False
    assert model_states(models(model(A)))["llama"]["approved"] is None


def test_claims_of_any_shape_are_read() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"models": 5, "gpus": "x", "quote": [], "kernel": 3},
        {"models": [{"name": 7, "quantization": 3, "adapters": {}}], "gpus": [{"uuid": 9}]},
        {"quote": {"pcrs": [1, 2]}},
    ]
    for claims in odd:
        for states in (model_states, gpu_states, platform_states, host_states):
            states(claims)


def test_another_boot_state_is_a_change_of_the_platform() -> None:
    def boot_state(pcr4: str) -> object:
        quote = {"pcrs": {"0": "aa", "4": pcr4, "14": pcr4}}
        return platform_states({"kind": "tpm", "quote": quote})["tpm"]["boot_state"]

    assert boot_state("bb") == boot_state("bb") != boot_state("cc")
