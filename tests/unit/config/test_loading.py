from pathlib import Path

import pytest

from swt3_agent.config import load_config
from swt3_agent.errors import ConfigError
from tests.unit.config.support import refused


def test_without_file_or_environment_nothing_may_leave_the_node() -> None:
    config = load_config({})
    assert (config.tenant, config.clearing_level) == ("LOCAL", 3)
    assert config.quoted_pcrs == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14)
    assert config.control_socket == Path("/run/swt3-agent/control.sock")


def test_relative_paths_are_those_of_the_start() -> None:
    config = load_config({"SWT3_STATE_DIR": "state", "SWT3_AGENT_SOCKET": "intake.sock"})
    assert config.state_dir == Path.cwd() / "state"
    assert config.control_socket == Path.cwd() / "control.sock"


def test_environment_wins_over_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "tenant_id: FROM_FILE\nclearing_level: 1\nagent:\n  state_dir: /file\n"
        "  tpm: {log_pcr: 12, tcti: 'device:/dev/tpmrm9'}\n"
    )
    config = load_config(
        {
            "SWT3_TENANT_ID": "FROM_ENV",
            "SWT3_CLEARING_LEVEL": "2",
            "SWT3_STATE_DIR": "/env",
            "SWT3_AGENT_SOCKET": "/env/other",
            "SWT3_TPM_TCTI": "none",
        },
        file,
    )
    assert (config.tenant, config.clearing_level) == ("FROM_ENV", 2)
    assert config.state_dir == Path("/env")
    assert config.control_socket == Path("/env/other.control")
    assert config.tpm.tcti == "none"
    assert config.tpm.log_pcr == 12


@pytest.mark.parametrize("level", ["4", "-1", "one", "1.0", " 1"])
def test_a_wrong_clearing_level_never_falls_back_to_an_open_one(level: str) -> None:
    with pytest.raises(ConfigError, match="SWT3_CLEARING_LEVEL"):
        load_config({"SWT3_CLEARING_LEVEL": level})


def test_an_unknown_key_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    error = refused(tmp_path, "clearing_levle: 2\n")
    assert error.code == "CONFIG_UNKNOWN_KEY"
    assert "clearing_level" in error.remedy


def test_an_unknown_key_deep_inside_is_named_by_its_path(tmp_path: Path) -> None:
    error = refused(tmp_path, "agent:\n  models:\n    - {name: a, path: /a, aproved: x}\n")
    assert "agent.models[0].aproved" in error.message
    assert "approved" in error.remedy


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("clearing_level: 1\nclearing_level: 3\n", "CONFIG_SYNTAX"),
        ("a: [1\n", "CONFIG_SYNTAX"),
        ("1: 2\n", "CONFIG_SYNTAX"),
        ("agent: &a {models: []}\ntenant_id: *a\n", "CONFIG_SYNTAX"),
        ("[" * 5000, "CONFIG_SYNTAX"),
        ("!!python/object/apply:os.system [true]\n", "CONFIG_SYNTAX"),
        ("clearing_level: '3'\n", "CONFIG_VALUE"),
        ("- 1\n", "CONFIG_VALUE"),
        ("agent: 7\n", "CONFIG_VALUE"),
    ],
)
def test_bad_yaml_is_refused(tmp_path: Path, text: str, code: str) -> None:
    assert refused(tmp_path, text).code == code


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("tenant_id: 'a:b'\n", "tenant_id"),
        ("clearing_level: 7\n", "clearing_level"),
        ("agent: {tpm: {log_pcr: 16}}\n", "agent.tpm.log_pcr"),
        ("agent: {socket: ''}\n", "agent.socket"),
        ("agent: {tpm: {log_pcr: 7}}\n", "agent.tpm.log_pcr"),
        ("agent: {tpm: {timeout: 0}}\n", "agent.tpm.timeout"),
        ("agent: {tpm: {counter: '01c00002'}}\n", "agent.tpm.counter"),
        ("agent: {tpm: {counter: 01800053, log_pcr: 9}}\n", "agent.tpm.log_pcr"),
        ("agent: {intervals: {counter: 59}}\n", "agent.intervals.counter"),
        ("agent: {tpm: {timeout: .inf}}\n", "agent.tpm.timeout"),
        ("agent: {intervals: {gpu: 0}}\n", "agent.intervals.gpu"),
        ("agent: {intervals: {gpu: .inf}}\n", "agent.intervals.gpu"),
        ("agent: {intervals: {checkpoint: .nan}}\n", "agent.intervals.checkpoint"),
        ("agent: {gpu: {expected: -1}}\n", "agent.gpu.expected"),
        ("agent_id: ''\n", "agent_id"),
        ('agent_id: "a\\eb"\n', "agent_id"),
        ("agent: {models: [{name: '', path: /a}]}\n", "agent.models[0].name"),
        ("agent: {models: [{name: a, path: models/a}]}\n", "agent.models[0].path"),
        ("agent: {models: [{name: a, path: /a, approved: ABC}]}\n", "agent.models[0].approved"),
        ("agent: {models: [{name: a, path: /a}, {name: a, path: /b}]}\n", "agent.models"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(tmp_path: Path, text: str, key: str) -> None:
    assert refused(tmp_path, text).message.startswith(key)


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config({}, tmp_path / "absent.yaml")


def test_an_oversized_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="larger than"):
        load_config({}, file)


@pytest.mark.parametrize(
    "tcti",
    [
        "none",
        "device",
        "device:/dev/tpmrm0",
        "swtpm:path=/run/tpm.sock",
        "swtpm:host=localhost,port=2321",
        "mssim",
        "mssim:host=localhost,port=2321",
        "tabrmd",
        "tabrmd:bus_type=session",
    ],
)
def test_a_tpm_may_be_named_in_any_form_that_leads_to_one(tcti: str) -> None:
    assert load_config({"SWT3_TPM_TCTI": tcti}).tpm.tcti == tcti


@pytest.mark.parametrize(
    "tcti",
    [
        "bogus",
        "None",
        "device:",
        "device:tpmrm0",
        "/dev/tpmrm0",
        "swtpm:/run/s",
        "swtpm:path=",
        " ",
    ],
)
def test_what_names_no_tpm_is_refused_by_the_name_of_its_setting(tmp_path: Path, tcti: str) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"agent: {{tpm: {{tcti: '{tcti}'}}}}\n")
    for environ, source, key in (
        ({"SWT3_TPM_TCTI": tcti}, None, "SWT3_TPM_TCTI"),
        ({}, file, "agent.tpm.tcti"),
    ):
        with pytest.raises(ConfigError, match=key) as caught:
            load_config(environ, source)
        assert caught.value.exit_code == 78
        assert "device:PATH" in caught.value.remedy
