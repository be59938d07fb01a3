"""Settings from the environment never stop an inference, and fail closed."""

import logging

import pytest

from swt3_agent.client.settings import ClientSettings


def test_defaults_are_the_strictest() -> None:
    settings = ClientSettings.from_environment({})
    assert settings == ClientSettings("/run/swt3-agent/intake.sock", "LOCAL", 3, None)


def test_the_environment_is_read() -> None:
    environ = {
        "SWT3_AGENT_SOCKET": "/tmp/s",
        "SWT3_TENANT_ID": "ACME",
        "SWT3_CLEARING_LEVEL": "1",
        "SWT3_AGENT_ID": "node-7",
    }
    assert ClientSettings.from_environment(environ) == ClientSettings("/tmp/s", "ACME", 1, "node-7")


@pytest.mark.parametrize("level", ["4", "-1", "low", "1.0", "٣"])
def test_a_bad_level_becomes_the_strictest_and_is_warned_of(
    level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert ClientSettings.from_environment({"SWT3_CLEARING_LEVEL": level}).clearing_level == 3
    assert "SWT3_CLEARING_LEVEL" in caplog.text


def test_a_bad_tenant_becomes_the_default_and_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert ClientSettings.from_environment({"SWT3_TENANT_ID": "a:b"}).tenant == "LOCAL"
    assert "SWT3_TENANT_ID" in caplog.text


def test_an_agent_id_that_level_3_does_not_let_through_is_warned_of_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"SWT3_AGENT_ID": "my agent", "SWT3_CLEARING_LEVEL": "2"}
    assert ClientSettings.from_environment(environ).agent_id == "my agent"
    environ["SWT3_CLEARING_LEVEL"] = "3"
    assert ClientSettings.from_environment(environ).agent_id is None
    assert "SWT3_AGENT_ID" in caplog.text
    assert "my agent" not in caplog.text
