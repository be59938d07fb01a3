from datetime import date

import pytest

from swt3_agent.config import load_config, load_profile, profile_names
from swt3_agent.errors import ConfigError
from swt3_agent.protocol.catalogue import CATALOGUE

ALL = (
    "autonomous-systems",
    "content-platform",
    "cost-conscious",
    "defense-govcon",
    "energy-grid",
    "eu-ai-act-high-risk",
    "fintech-model-risk",
    "healthcare-clinical",
    "insurance-underwriting",
    "minimal",
    "multi-silicon",
    "nist-ai-rmf",
    "owasp-agentic-top10",
    "telecom-compliance",
)
COMPLETE = {
    "SWT3_SIGNING_KEY": "0123456789abcdef0123456789abcdef",
    "SWT3_AGENT_ID": "a",
    "SWT3_JURISDICTION": "DE",
}


_OWN = {"tenant_id", "agent_id", "endpoint", "api_key", "api_key_env", "signing_key_env", "agent"}


def required(name: str) -> list[str]:
    procedures: list[str] = load_profile(name).document["policy"].get("required_procedures", [])
    return procedures


def test_there_are_fourteen() -> None:
    assert profile_names() == ALL


@pytest.mark.parametrize("name", ALL)
def test_each_is_in_force_once_it_has_what_it_demands(name: str) -> None:
    config = load_config({**COMPLETE, "SWT3_PROFILE": name})
    document = load_profile(name).document
    assert config.profile == name
    assert config.clearing_level == document["clearing_level"]
    assert list(config.required.procedures) == required(name)
    assert config.warnings == ()
    assert config.ignored == ()


@pytest.mark.parametrize("name", ALL)
def test_each_says_whose_rules_it_reflects_and_of_when(name: str) -> None:
    profile = load_profile(name)
    facts = profile.facts
    assert facts.framework
    assert date(2026, 4, 17) < facts.rules_as_of
    policy = profile.document["policy"]
    hardware = profile.document.get("hardware", {})
    signed = "signed" if policy.get("require_signing") else "unsigned"
    assert facts.signing_tier == ("hardware" if hardware.get("require_attestation") else signed)
    assert facts.cadence.schedule > 86_400  # the day is sealed after midnight
    assert not _OWN & set(profile.document)


@pytest.mark.parametrize("name", ALL)
def test_each_names_procedures_of_the_catalogue_only(name: str) -> None:
    assert set(required(name)) <= set(CATALOGUE)
    assert len(set(required(name))) == len(required(name))


@pytest.mark.parametrize(
    ("name", "level", "of_the_guide"),
    [
        ("defense-govcon", 3, {"AI-HW.1", "AI-HW.3", "AI-INF.1", "AI-ACC.1", "AI-SBOM.1"}),
        ("fintech-model-risk", 2, {"AI-DRIFT.1", "AI-BASE.1", "AI-INF.1", "AI-AUDIT.1"}),
        ("healthcare-clinical", 3, {"AI-CONSENT.1", "AI-DATA.1", "AI-INF.1", "AI-EXPL.1"}),
        ("autonomous-systems", 3, {"AI-SAFE.1", "AI-ROBUST.1", "AI-HW.1", "AI-CHAIN.1"}),
    ],
)
def test_where_two_sources_differ_the_stricter_holds(
    name: str, level: int, of_the_guide: set[str]
) -> None:
    document = load_profile(name).document
    assert (document["clearing_level"], document["policy"]["min_clearing_level"]) == (level, level)
    assert of_the_guide <= set(required(name))


def test_rules_that_moved_are_said_to_have() -> None:
    finance = " ".join(load_profile("fintech-model-risk").facts.notes)
    assert "SR 26-2" in finance
    assert "2026-04-17" in finance
    assert "2027-01-01" in finance
    europe = " ".join(load_profile("eu-ai-act-high-risk").facts.notes)
    assert "2027-12-02" in europe
    assert "2028-08-02" in europe


@pytest.mark.parametrize("name", ["defense-govcom", "../values", "", "x" * 1000, "a/b"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(name)
    assert caught.value.code == "CONFIG_PROFILE"


def test_a_misspelt_profile_is_refused_with_what_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"SWT3_PROFILE": "defense-govcom"})
    assert "defense-govcon" in caught.value.remedy


def test_an_argument_goes_before_the_environment() -> None:
    config = load_config({**COMPLETE, "SWT3_PROFILE": "minimal"}, profile="nist-ai-rmf")
    assert config.profile == "nist-ai-rmf"
