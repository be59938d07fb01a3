"""AI-ENV.1 and AI-ENV.2: docs/protocol.md 8.7."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.appraisal import Appraisal, Outcome, appraise_environment
from swt3_agent.protocol.evidence import Evidence, Lack, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash

GPU: dict[str, Any] = {
    "uuid": "GPU-1",
    "pci": "0000:18:00.0",
    "temperature_c": 59,
    "power_mw": 629_450,
    "power_limit_mw": 700_000,
    "slowed_by": [],
    "power_capped": False,
}
COOLER = GPU | {"uuid": "GPU-2", "temperature_c": 40, "power_mw": 90_000}
CORE: dict[str, Any] = {"kind": "temperature", "of_processor": True, "value": 41_500}
ERROR = {"error": 3}


def appraise(limit: int = 85, **claims: Any) -> tuple[Appraisal, Appraisal]:
    told = {"gpus": [GPU, COOLER], "gpu_count": 2, "gpu_lack": None, "sensors": [], **claims}
    evidence = Evidence("environment", RootOfTrust.DRIVER_REPORTED, told)
    temperature, power = appraise_environment(evidence, limit)
    assert (temperature.procedure_id, power.procedure_id) == ("AI-ENV.1", "AI-ENV.2")
    return temperature, power


def codes(appraisal: Appraisal) -> list[str]:
    return [reason.code for reason in appraisal.reasons]


def test_the_hottest_gpu_and_the_one_nearest_to_its_limit_speak_for_the_node() -> None:
    temperature, power = appraise()
    assert (temperature.outcome, temperature.factors) == (Outcome.PASS, (59, 85, 1))
    assert (power.outcome, power.factors) == (Outcome.PASS, (629, 70, 0))
    assert temperature.reasons == power.reasons == ()


def test_contexts_name_gpus_by_hash_only() -> None:
    temperature, power = appraise()
    assert temperature.context["temperature_celsius"] == 59
    assert temperature.context["thermal_zones"] == 2
    assert power.context["gpus"] == [
        {
            "uuid_hash": content_hash(gpu["uuid"]),
            "power_mw": gpu["power_mw"],
            "power_limit_mw": 700_000,
            "slowed_by": [],
            "power_capped": False,
        }
        for gpu in (GPU, COOLER)
    ]
    assert "GPU-1" not in str((temperature.context, power.context))


def test_exactly_at_the_limit_is_within_it_and_above_it_is_not() -> None:
    assert appraise(59)[0].factors == (59, 59, 1)
    temperature, _ = appraise(58)
    assert (temperature.outcome, temperature.factors) == (Outcome.FAIL, (59, 58, 0))
    assert codes(temperature) == ["TEMPERATURE_HIGH"]


def test_a_gpu_at_its_power_limit_fails() -> None:
    _, power = appraise(gpus=[GPU | {"power_mw": 700_400}, COOLER])
    assert (power.outcome, power.factors) == (Outcome.FAIL, (700, 0, 0))
    assert codes(power) == ["POWER_LIMIT"]


def test_a_gpu_that_is_held_down_fails_and_says_by_what() -> None:
    _, power = appraise(gpus=[GPU, COOLER | {"slowed_by": ["power brake"]}])
    assert (power.outcome, power.factors) == (Outcome.FAIL, (629, 70, 1))
    assert codes(power) == ["GPU_SLOWED"]
    assert "GPU-2 is held down: power brake" in power.reasons[0].detail


def test_a_loaded_gpu_at_its_power_cap_is_recorded_and_passes_with_headroom() -> None:
    capped = GPU | {"power_capped": True, "power_mw": 698_200}
    _, power = appraise(gpus=[capped, COOLER])
    assert (power.outcome, power.factors) == (Outcome.PASS, (698, 1, 0))
    assert power.reasons == ()  # a reason that comes and goes with the load would fill the history
    assert power.context["throttled"] is False
    gpus: Any = power.context["gpus"]
    assert [gpu["power_capped"] for gpu in gpus] == [True, False]
    _, power = appraise(gpus=[capped | {"power_mw": 699_900}, COOLER])
    assert (power.outcome, codes(power)) == (Outcome.FAIL, ["POWER_LIMIT"])


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"gpus": [GPU, COOLER | {"temperature_c": ERROR}]}, "SENSOR_UNREADABLE"),
        ({"gpu_count": 3}, "GPU_COUNT"),
        (
            {"gpus": [], "gpu_lack": {"lack": "busy", "code": "GPU_TIMEOUT", "detail": "slow"}},
            "GPU_TIMEOUT",
        ),
        ({"gpus": [], "gpu_count": 0}, "TEMPERATURE_UNKNOWN"),
        (
            {"gpus": [], "gpu_count": 0, "sensors": [CORE | {"of_processor": False}]},
            "TEMPERATURE_UNKNOWN",
        ),
        ({"gpus": [], "gpu_count": 0, "sensors": [CORE | {"value": None}]}, "TEMPERATURE_UNKNOWN"),
        ({"gpus": [], "gpu_count": 1, "sensors": [CORE]}, "GPU_COUNT"),
    ],
)
def test_a_temperature_that_is_not_known_is_not_cool(claims: dict[str, Any], code: str) -> None:
    temperature, _ = appraise(**claims)
    assert (temperature.outcome, temperature.factors) == (Outcome.NOT_COMPARED, None)
    assert codes(temperature) == [code]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"gpus": [GPU, COOLER | {"power_mw": ERROR}]}, "SENSOR_UNREADABLE"),
        ({"gpus": [GPU, COOLER | {"power_limit_mw": ERROR}]}, "SENSOR_UNREADABLE"),
        ({"gpus": [GPU, COOLER | {"slowed_by": None}]}, "SENSOR_UNREADABLE"),
        ({"gpu_count": 3}, "GPU_COUNT"),
        ({"gpus": [], "gpu_count": 0, "sensors": [CORE]}, "POWER_UNKNOWN"),
    ],
)
def test_power_that_is_not_known_is_not_within_limits(claims: dict[str, Any], code: str) -> None:
    _, power = appraise(**claims)
    assert (power.outcome, power.factors) == (Outcome.NOT_COMPARED, None)
    assert codes(power) == [code]


def test_a_known_fault_fails_whatever_else_is_unknown() -> None:
    unread = COOLER | {"temperature_c": ERROR, "power_mw": ERROR}
    temperature, power = appraise(gpus=[GPU | {"slowed_by": ["power brake"]}, unread], limit=50)
    assert temperature.factors == (59, 50, 0)
    assert codes(temperature) == ["TEMPERATURE_HIGH", "SENSOR_UNREADABLE"]
    assert power.factors == (629, 70, 1)


def test_processors_speak_where_there_is_no_gpu() -> None:
    hotter = CORE | {"value": 61_499}
    temperature, _ = appraise(gpus=[], gpu_count=0, sensors=[CORE, hotter])
    assert (temperature.outcome, temperature.factors) == (Outcome.PASS, (61, 85, 1))


@pytest.mark.parametrize(
    ("lack", "outcome"),
    [
        (Lack.ABSENT, Outcome.ABSENT),
        (Lack.BUSY, Outcome.NOT_COMPARED),
        (Lack.DENIED, Outcome.NOT_COMPARED),
        (Lack.FAILED, Outcome.NOT_COMPARED),
    ],
)
def test_no_reading_is_never_a_verdict(lack: Lack, outcome: Outcome) -> None:
    reading = Unavailable("environment", lack, "CODE", "what", "how", {})
    for appraisal in appraise_environment(reading, 85):
        assert (appraisal.outcome, appraisal.factors) == (outcome, None)


VALUES = st.none() | st.integers(-100, 10**6) | st.text(max_size=3) | st.just(ERROR) | st.booleans()


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*GPU]), VALUES | st.lists(st.text(max_size=3))) | VALUES,
        max_size=3,
    ),
    VALUES,
)
def test_claims_of_any_shape_never_pass_by_accident_and_never_crash(
    gpus: list[Any], count: Any
) -> None:
    temperature, power = appraise(gpus=gpus, gpu_count=count)
    for gpu in gpus:
        if isinstance(gpu, dict) and type(gpu.get("temperature_c")) is not int:
            assert temperature.outcome is not Outcome.PASS
        if isinstance(gpu, dict) and type(gpu.get("power_mw")) is not int:
            assert power.outcome is not Outcome.PASS
