from pathlib import Path

import pytest

from swt3_agent.config import Config, examine, load_config
from swt3_agent.config.environment import VARIABLES
from swt3_agent.errors import ConfigError

KEY = "axm_live_SECRETMARKER"
DSN = f"https://{KEY}@ledger.example.com/ACME"


def test_the_connection_string_goes_before_the_three_variables() -> None:
    config = load_config(
        {
            "SWT3_DSN": DSN,
            "SWT3_ENDPOINT": "https://other.example.com",
            "SWT3_API_KEY": "axm_other",
            "SWT3_TENANT_ID": "OTHER",
        }
    )
    assert config.ledger is not None
    assert (config.ledger.endpoint, config.ledger.api_key) == ("https://ledger.example.com", KEY)
    assert config.tenant == "ACME"
    assert len(config.warnings) == 3
    assert "SECRETMARKER" not in repr(config)


def test_the_three_variables_name_a_ledger() -> None:
    config = load_config(
        {
            "SWT3_ENDPOINT": "https://ledger.example.com/",
            "SWT3_API_KEY": KEY,
            "SWT3_TENANT_ID": "ACME",
        }
    )
    assert config.ledger is not None
    assert config.ledger.endpoint == "https://ledger.example.com"


def test_the_default_level_depends_on_whether_anything_leaves() -> None:
    assert load_config({}).clearing_level == 3
    assert load_config({"SWT3_DSN": DSN}).clearing_level == 1
    assert load_config({"SWT3_DSN": DSN, "SWT3_MODE": "local"}).clearing_level == 3
    assert load_config({"SWT3_DSN": DSN, "SWT3_CLEARING_LEVEL": "0"}).clearing_level == 0


def test_an_empty_variable_is_none() -> None:
    assert load_config(dict.fromkeys(VARIABLES, "")) == load_config({})


def test_local_mode_delivers_nothing_and_says_so() -> None:
    config = load_config({"SWT3_DSN": DSN, "SWT3_MODE": "local"})
    assert config.ledger is None
    assert any("local" in warning for warning in config.warnings)


def test_only_cloud_mode_has_a_ledger_by_default() -> None:
    config = load_config({"SWT3_MODE": "cloud", "SWT3_API_KEY": KEY})
    assert config.ledger is not None
    assert config.ledger.endpoint == "https://sovereign.tenova.io"
    with pytest.raises(ConfigError, match="endpoint"):
        load_config({"SWT3_API_KEY": KEY})


def test_cloud_mode_does_not_go_before_an_endpoint_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("endpoint: https://ledger.example.com\n")
    config = load_config({"SWT3_MODE": "cloud", "SWT3_API_KEY": KEY}, file)
    assert config.ledger is not None
    assert config.ledger.endpoint == "https://ledger.example.com"


def test_the_daemon_sets_variables_set_every_interval_and_the_health_port() -> None:
    config = load_config({"SWT3_INTERVAL": "120", "SWT3_HEALTH_PORT": "9090"})
    assert (config.intervals.gpu, config.intervals.host) == (120, 120)
    assert config.intervals.checkpoint == 10
    assert config.ops.port == 9090


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SWT3_INTERVAL", "0"),
        ("SWT3_INTERVAL", "nan"),
        ("SWT3_INTERVAL", "1h"),
        ("SWT3_HEALTH_PORT", "0"),
        ("SWT3_HEALTH_PORT", "65536"),
        ("SWT3_HEALTH_PORT", "http"),
        ("SWT3_MODE", "clout"),
        ("SWT3_DSN", f"{KEY}@ledger"),
        ("SWT3_ENDPOINT", f"https://{KEY}@ledger"),
        ("SWT3_API_KEY", "SECRETMARKER"),
        ("SWT3_AGENT_ID", "a\x1bb"),
        ("SWT3_TENANT_ID", "a b"),
        ("SWT3_PROFILE", "defense-govcom"),
        ("SWT3_JURISDICTION", "x" * 200),
        ("SWT3_SIGNING_KEY", " "),
    ],
)
def test_a_wrong_variable_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({variable: value})
    assert "SECRETMARKER" not in f"{caught.value} {caught.value.remedy}"


def test_a_misspelt_variable_is_warned_of() -> None:
    warnings = load_config({"SWT3_CLEARING_LEVLE": "3", "SWT3_MODEL_ID": "m"}).warnings
    assert len(warnings) == 1
    assert "SWT3_CLEARING_LEVEL" in warnings[0]


def test_labels_and_key_come_from_the_environment() -> None:
    config: Config = load_config(
        {
            "SWT3_SIGNING_KEY": "SECRETMARKER-0123456789",
            "SWT3_SIGNING_KEY_ID": "k1",
            "SWT3_JURISDICTION": "DE",
            "SWT3_LEGAL_BASIS": "contract",
            "SWT3_PURPOSE_CLASS": "inference",
        }
    )
    assert config.signing is not None
    assert (config.signing.algorithm, config.signing.key_id) == ("hmac-sha256", "k1")
    assert (config.labels.jurisdiction, config.labels.purpose_class) == ("DE", "inference")
    assert "SECRETMARKER" not in repr(config)


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = examine({"SWT3_CLEARING_LEVEL": "9", "SWT3_MODE": "x", "SWT3_TPM_TCTI": "y"})
    assert {problem.key for problem in found.problems} == {
        "SWT3_CLEARING_LEVEL",
        "SWT3_MODE",
        "SWT3_TPM_TCTI",
    }
    with pytest.raises(ConfigError) as caught:
        load_config({"SWT3_CLEARING_LEVEL": "9", "SWT3_MODE": "x", "SWT3_TPM_TCTI": "y"})
    assert "2 more" in caught.value.remedy
