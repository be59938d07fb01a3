"""Where secrets come from, and that none is ever shown."""

import json
import os
from pathlib import Path

import pytest

from swt3_agent.config import examine, load_config, shown_settings
from swt3_agent.protocol.custodian import generate_custodian
from tests.unit.config.support import loaded, refused, written

KEY = "axm_live_SECRETMARKER"
SIGNING = "SECRETMARKER-0123456789abcdef"
ENDPOINT = "endpoint: https://ledger.example.com\n"


def credentials(directory: Path, **secrets: str) -> dict[str, str]:
    for name, secret in secrets.items():
        file = directory / name.replace("_", "-")
        file.write_text(secret + "\n")
        file.chmod(0o400)
    return {"CREDENTIALS_DIRECTORY": str(directory)}


def test_a_key_may_come_from_a_named_variable(tmp_path: Path) -> None:
    text = f"{ENDPOINT}api_key_env: MY_KEY\nsigning_key_env: MY_SIGNING\n"
    config = loaded(tmp_path, text, MY_KEY=KEY, MY_SIGNING=SIGNING)
    assert config.ledger is not None
    assert config.signing is not None
    assert (config.ledger.api_key, config.signing.key) == (KEY, SIGNING)
    assert "SECRETMARKER" not in repr(config)


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path, f"{ENDPOINT}api_key_env: MY_KEY\n")
    assert error.code == "CONFIG_SECRET"
    assert "MY_KEY" in error.message


def test_a_key_may_come_from_the_service_manager(tmp_path: Path) -> None:
    environ = credentials(tmp_path, ledger_key=KEY, signing_key=SIGNING)
    config = loaded(tmp_path, ENDPOINT, **environ)
    assert config.ledger is not None
    assert config.signing is not None
    assert (config.ledger.api_key, config.signing.key) == (KEY, SIGNING)


def test_the_environment_goes_before_the_file_and_that_before_the_credential(
    tmp_path: Path,
) -> None:
    environ = credentials(tmp_path, ledger_key="axm_credential")
    config = loaded(tmp_path, f"{ENDPOINT}api_key: axm_file\n", **environ)
    assert config.ledger is not None
    assert config.ledger.api_key == "axm_file"
    text = f"{ENDPOINT}api_key_env: MY_KEY\n"
    config = loaded(tmp_path, text, **environ, SWT3_API_KEY=KEY)
    assert config.ledger is not None
    assert config.ledger.api_key == KEY


def test_a_secret_in_a_file_that_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    file = written(tmp_path, f"signing_key: {SIGNING}\n")
    file.chmod(0o644)
    assert any("chmod 0640" in warning for warning in load_config({}, file).warnings)
    file.chmod(0o640)
    assert load_config({}, file).warnings == ()


def test_a_credential_without_an_endpoint_only_warns(tmp_path: Path) -> None:
    config = loaded(tmp_path, "", **credentials(tmp_path, ledger_key=KEY))
    assert config.ledger is None
    assert config.warnings


def test_a_key_and_its_variable_do_not_go_together(tmp_path: Path) -> None:
    text = f"{ENDPOINT}api_key: {KEY}\napi_key_env: MY_KEY\n"
    assert refused(tmp_path, text).message.startswith("api_key_env")


def test_an_endpoint_without_a_key_is_refused_except_to_those_who_look(tmp_path: Path) -> None:
    assert refused(tmp_path, ENDPOINT).code == "CONFIG_SECRET"
    config = load_config({}, written(tmp_path, ENDPOINT), complete=False)
    assert config.ledger is not None
    assert config.ledger.api_key == ""
    assert config.clearing_level == 1
    assert config.lacks


def test_a_credential_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    environ = credentials(tmp_path, signing_key=SIGNING)
    (tmp_path / "signing-key").chmod(0o444)
    error = refused(tmp_path, "", **environ)
    assert error.code == "CONFIG_FILE"
    assert "chmod" in error.remedy


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\nb", b"a" * 70_000])
def test_a_credential_that_is_no_line_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "signing-key"
    file.write_bytes(content)
    file.chmod(0o400)
    error = refused(tmp_path, "", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert error.code == "CONFIG_FILE"


def test_a_pipe_in_place_of_a_credential_does_not_stop_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "signing-key", 0o600)
    error = refused(tmp_path, "", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert error.code == "CONFIG_FILE"


@pytest.mark.parametrize(
    ("mode", "content", "good"),
    [
        (0o640, "axm_token\n", True),
        (0o644, "axm_token\n", False),
        (0o600, "SECRETMARKER\n", False),
        (0o600, "", False),
    ],
)
def test_a_token_file_holds_a_token_that_not_everybody_reads(
    tmp_path: Path, mode: int, content: str, good: bool
) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    token.chmod(mode)
    text = f"agent: {{http: {{port: 8480, token_file: {token}}}}}\n"
    if good:
        assert loaded(tmp_path, text).http.port == 8480
    else:
        assert refused(tmp_path, text).code == "CONFIG_FILE"


def test_files_that_are_named_must_be_there(tmp_path: Path) -> None:
    for section in ("ledger: {ca: /none.pem}", "custody: {recipients: [/none.pem]}"):
        assert "/none.pem" in refused(tmp_path, f"agent: {{{section}}}\n").message


def test_a_recipient_is_a_public_key(tmp_path: Path) -> None:
    file = tmp_path / "alice.pem"
    text = f"agent: {{custody: {{recipients: [{file}]}}}}\n"
    private, public = generate_custodian()
    file.write_bytes(public)
    assert loaded(tmp_path, text).custody.recipients == (str(file),)
    file.write_bytes(private)
    error = refused(tmp_path, text)
    assert error.code == "CONFIG_FILE"
    assert "private key" in error.message
    assert private.decode().splitlines()[1] not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "signing_key: [SECRETMARKER\n",
        "signing_key: *SECRETMARKER\n",
        "signing_key: !SECRETMARKER x\n",
        "signing_key: '\\SECRETMARKER\n",
        "signing_key: SECRETMARKER: x\n",
        "signing_key: {a: SECRETMARKER}\n",
        "signing_key:\n\t- SECRETMARKER\n",
        'signing_key: "SECRETMARKER\\x1"\n',
        "api_key: SECRETMARKER\n",
        f"endpoint: https://{KEY}@host\n",
        f"tenant_id: {KEY}@\n",
        f"profile: {KEY}\n",
        f"{KEY}: 1\n",
        "signing_algorithm: ml-dsa-65\nsigning_key: SECRETMARKER\n",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    refused(tmp_path, text)


def test_what_is_shown_of_the_settings_has_no_secret_and_says_who_set_what(
    tmp_path: Path,
) -> None:
    found = examine(
        {"SWT3_DSN": f"https://{KEY}@ledger.example.com/ACME", "SWT3_SIGNING_KEY": SIGNING},
        written(tmp_path, "agent: {gpu: {expected: 8}}\nprofile: nist-ai-rmf\nagent_id: a\n"),
    )
    shown = {one.path: one for one in shown_settings(found)}
    assert "SECRETMARKER" not in json.dumps([one.value for one in shown.values()])
    assert (shown["api_key"].value, shown["api_key"].origin) == ("****", "SWT3_DSN")
    assert (shown["signing_key"].value, shown["signing_key"].origin) == ("****", "SWT3_SIGNING_KEY")
    assert shown["tenant_id"].origin == "SWT3_DSN"
    assert shown["agent.gpu.expected"].origin.endswith("agent.yaml")
    assert shown["clearing_level"].origin == "profile nist-ai-rmf"
    assert shown["profile"].origin.endswith("agent.yaml")
    assert shown["agent.gpu.library"].origin == "default"


@pytest.mark.parametrize(
    "text",
    [
        "signing_algorithm: secretmarker\n",
        "signing_key_env: secretmarker0123456789\n",
        "signing_key_env: 0SECRETMARKER\n",
        "api_key_env: SECRET-MARKER\n",
        "endpoint: https://SECRETMARKER@ledger.example.com/ACME\n",
        "endpoint: https://ledger.example.com?key=SECRETMARKER\n",
        "api_key: SECRETMARKER\nendpoint: SECRETMARKER\n",
        "hardware: {allowed_methods: [SECRETMARKER]}\n",
    ],
)
@pytest.mark.parametrize("is_set", [False, True])
def test_a_secret_in_the_wrong_place_is_not_shown_either(
    tmp_path: Path, text: str, is_set: bool
) -> None:
    environ = {"secretmarker0123456789": SIGNING} if is_set else {}
    found = examine(environ, written(tmp_path, text))
    said = [problem.as_view() for problem in (*found.problems, *found.lacks)]
    shown = [(one.value, one.origin) for one in shown_settings(found)]
    everything = json.dumps([said, shown, found.warnings, found.ignored]) + repr(found)
    assert "MARKER" not in everything.upper()
