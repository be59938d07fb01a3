from pathlib import Path

import pytest

from swt3_agent.config import load_config
from tests.unit.config.support import loaded, refused

SIGNED = {
    "SWT3_SIGNING_KEY": "0123456789abcdef0123456789abcdef",
    "SWT3_AGENT_ID": "a",
    "SWT3_JURISDICTION": "DE",
}


def test_a_level_below_the_profiles_floor_is_refused_from_wherever(tmp_path: Path) -> None:
    error = refused(tmp_path, "profile: defense-govcon\nclearing_level: 1\n", **SIGNED)
    assert error.code == "CONFIG_FLOOR"
    assert "defense-govcon" in error.message
    error = refused(tmp_path, "profile: defense-govcon\n", **SIGNED, SWT3_CLEARING_LEVEL="2")
    assert "SWT3_CLEARING_LEVEL" in error.message


def test_a_level_above_the_floor_is_taken(tmp_path: Path) -> None:
    config = loaded(tmp_path, "profile: fintech-model-risk\nclearing_level: 3\n", **SIGNED)
    assert config.clearing_level == 3


def test_the_default_level_gives_way_to_the_floor(tmp_path: Path) -> None:
    dsn = "https://axm_k@ledger.example.com/T"
    config = loaded(tmp_path, "policy: {min_clearing_level: 2}\n", SWT3_DSN=dsn)
    assert config.clearing_level == 2


@pytest.mark.parametrize(
    "loosened",
    [
        "policy: {min_clearing_level: 0}\nclearing_level: 0\n",
        "policy: {require_signing: false}\nclearing_level: 2\n",
    ],
)
def test_a_file_cannot_loosen_what_its_profile_demands(tmp_path: Path, loosened: str) -> None:
    environ = {"SWT3_AGENT_ID": "a", "SWT3_JURISDICTION": "DE"}
    refused(tmp_path, f"profile: fintech-model-risk\n{loosened}", **environ)


def test_a_file_can_demand_more_than_its_profile(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "profile: fintech-model-risk\n"
        "policy: {min_clearing_level: 3, required_procedures: [AI-HW.3]}\n"
        "clearing_level: 3\nhardware: {attestation_freshness: 600}\n",
        **SIGNED,
    )
    assert config.required.procedures[-1] == "AI-HW.3"
    assert "AI-INF.1" in config.required.procedures
    assert config.required.attestation_freshness == 600
    assert (config.intervals.platform, config.intervals.gpu) == (300, 300)


def test_an_attempt_to_loosen_is_warned_of(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "profile: multi-silicon\nhardware: {attestation_freshness: 90000}\n"
        "agent: {intervals: {gpu: 7200}}\n",
        **SIGNED,
    )
    assert config.required.attestation_freshness == 1800
    assert config.intervals.gpu == 900
    told = " ".join(config.warnings)
    assert "hardware.attestation_freshness" in told
    assert "agent.intervals.gpu" in told


@pytest.mark.parametrize(
    ("key", "left_out"),
    [
        ("signing_key", "SWT3_SIGNING_KEY"),
        ("agent_id", "SWT3_AGENT_ID"),
        ("jurisdiction", "SWT3_JURISDICTION"),
    ],
)
def test_what_a_policy_demands_and_nobody_set_is_named(
    tmp_path: Path, key: str, left_out: str
) -> None:
    environ = {name: value for name, value in SIGNED.items() if name != left_out}
    error = refused(tmp_path, "profile: eu-ai-act-high-risk\n", **environ)
    assert error.code == "CONFIG_REQUIRED"
    assert error.message.startswith(key)
    assert left_out in error.remedy


def test_a_verb_that_looks_does_without(tmp_path: Path) -> None:
    config = load_config({"SWT3_PROFILE": "eu-ai-act-high-risk"}, complete=False)
    assert len(config.lacks) == 3
    with pytest.raises(Exception, match="signing_key") as caught:
        config.refuse_incomplete()
    assert "2 more" in str(getattr(caught.value, "remedy", ""))


def test_attestation_that_this_agent_cannot_give_is_refused(tmp_path: Path) -> None:
    text = "hardware: {require_attestation: true, allowed_methods: [sgx]}\n"
    assert refused(tmp_path, text).message.startswith("hardware.allowed_methods")
    text = "hardware: {require_attestation: true}\nagent: {tpm: {tcti: none}}\n"
    assert refused(tmp_path, text).message.startswith("agent.tpm.tcti")


def test_configured_procedures_must_hold_what_is_required(tmp_path: Path) -> None:
    text = "policy: {required_procedures: [AI-INF.1]}\nprocedures: [AI-INF.2]\n"
    assert "AI-INF.1" in refused(tmp_path, text).message


def test_the_shorter_cadence_holds(tmp_path: Path) -> None:
    text = "profile: nist-ai-rmf\nagent: {cadence: {inference: 3600, schedule: 999999}}\n"
    cadence = loaded(tmp_path, text, **SIGNED).required.cadence
    assert (cadence.inference, cadence.schedule) == (3600, 93_600)


def test_published_words_that_the_schema_lacks_are_read_strictly(tmp_path: Path) -> None:
    text = "hardware: {allowed_methods: [tpm2, sgx]}\ntrust_mesh: {mode: standard}\n"
    config = loaded(tmp_path, text)
    assert len(config.warnings) == 2
