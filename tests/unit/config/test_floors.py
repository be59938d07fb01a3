from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.config import examine, load_config, load_profile, profile_names
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


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {"SWT3_DSN": "https://axm_k@ledger.example.com/T"}),
        ("", {"SWT3_ENDPOINT": "https://ledger.example.com", "SWT3_API_KEY": "axm_k"}),
        ("endpoint: https://ledger.example.com\napi_key: axm_k\n", {}),
    ],
)
def test_an_air_gapped_node_takes_no_ledger_from_wherever(
    tmp_path: Path, text: str, variables: dict[str, str]
) -> None:
    error = refused(tmp_path, f"{text}agent:\n  air_gap: true\n", **variables)
    assert error.message.startswith("agent.air_gap is true")
    assert "axm_k" not in error.message + error.remedy
    assert loaded(tmp_path, "agent:\n  air_gap: true\n").ledger is None


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


def test_naming_another_profile_takes_no_floor_away(tmp_path: Path) -> None:
    """Of several that are named one brings the settings, and all of them their demands."""
    error = refused(tmp_path, "profile: defense-govcon\n", **SIGNED, SWT3_PROFILE="minimal")
    assert error.code == "CONFIG_FLOOR"
    assert "defense-govcon" in error.message
    error = refused(tmp_path, "profile: owasp-agentic-top10\n", SWT3_PROFILE="minimal")
    assert error.code == "CONFIG_REQUIRED"
    assert "profile owasp-agentic-top10 requires it" in error.message
    error = refused(tmp_path, "profile: defense-govcom\n", **SIGNED, SWT3_PROFILE="minimal")
    assert error.code == "CONFIG_PROFILE"


def test_of_two_profiles_the_stronger_word_is_in_force_and_both_hold(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("profile: owasp-agentic-top10\n")
    config = loaded(
        tmp_path,
        "extends: base.yaml\nprofile: multi-silicon\n",
        **SIGNED,
        SWT3_PROFILE="nist-ai-rmf",
    )
    assert config.profile == "nist-ai-rmf"
    assert config.required.attestation_freshness == 1800
    assert {"AI-GRD.1", "AI-HW.1", "AI-TOOL.1"} <= set(config.required.procedures)
    assert config.required.cadence.inference == 86_400
    assert config.required.cadence.review == 90 * 86_400
    assert "multi-silicon" in " ".join(config.warnings)


POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "require_signing": st.booleans(),
        "require_agent_id": st.booleans(),
        "require_jurisdiction": st.booleans(),
        "min_clearing_level": st.integers(0, 3),
        "required_procedures": st.lists(st.sampled_from(["AI-INF.1", "AI-HW.1", "AI-MDL.1"])),
    },
)
HARDWARE = st.fixed_dictionaries(
    {},
    optional={
        "require_attestation": st.booleans(),
        "attestation_freshness": st.floats(2, 7200),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "policy": POLICIES | st.none(),
        "hardware": HARDWARE | st.none(),
        "clearing_level": st.integers(0, 3) | st.none(),
        "profile": st.sampled_from(profile_names()) | st.none(),
        "endpoint": st.just("https://ledger.example.com"),
    },
)


@settings(max_examples=50, deadline=None)
@given(
    files=st.lists(FILES, min_size=1, max_size=3),
    named=st.sampled_from([None, *profile_names()]),
    argument=st.sampled_from([None, *profile_names()]),
    environ=st.fixed_dictionaries(
        {},
        optional={
            "SWT3_CLEARING_LEVEL": st.sampled_from("0123"),
            "SWT3_MODE": st.sampled_from(["local", "cloud"]),
            "SWT3_DSN": st.just("https://axm_k@ledger.example.com/T"),
            **{name: st.just(value) for name, value in SIGNED.items()},
        },
    ),
)
def test_nothing_that_is_set_above_lowers_a_floor(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[dict[str, Any]],
    named: str | None,
    argument: str | None,
    environ: dict[str, str],
) -> None:
    directory = tmp_path_factory.mktemp("floors")
    for number, document in enumerate(files):
        below = {"extends": f"{number + 1}.yaml"} if number + 1 < len(files) else {}
        (directory / f"{number}.yaml").write_text(yaml.safe_dump({**document, **below}))
    if named is not None:
        environ = {**environ, "SWT3_PROFILE": named}
    found = examine(environ, directory / "0.yaml", argument)
    profiles = [name for name in (argument, named, *(one.get("profile") for one in files)) if name]
    sources = [*files, *(load_profile(name).document for name in profiles)]
    policies = [source.get("policy") or {} for source in sources]
    hardware = [source.get("hardware") or {} for source in sources]
    floor = max([0, *(policy.get("min_clearing_level", 0) for policy in policies)])
    for flag in ("require_signing", "require_agent_id", "require_jurisdiction"):
        asked = any(policy.get(flag) for policy in policies)
        key = flag.removeprefix("require_").replace("signing", "signing_key")
        lacking = key in {lack.key for lack in found.lacks}
        assert lacking == (asked and f"SWT3_{key.upper()}" not in environ)
    if found.config is None:
        assert {problem.code for problem in found.problems} <= {"CONFIG_FLOOR", "CONFIG_VALUE"}
        return
    assert found.config.clearing_level >= floor
    required = found.config.required
    for policy in policies:
        assert set(policy.get("required_procedures", ())) <= set(required.procedures)
    for section in hardware:
        assert required.attestation_freshness <= section.get("attestation_freshness", 1e9)
        if section.get("require_attestation"):
            assert found.settings.hardware.require_attestation
    for name in profiles:
        facts = load_profile(name).facts.cadence
        assert required.cadence.inference <= facts.inference
        assert required.cadence.review <= facts.review


def test_a_required_procedure_that_nobody_knows_is_warned_of(tmp_path: Path) -> None:
    """It may be another registry's; a misspelt one would keep the node unready for ever."""
    config = loaded(tmp_path, "policy: {required_procedures: [AI-INF.11, AI-INF.1]}\n")
    assert ["AI-INF.11 " in warning for warning in config.warnings] == [True]
