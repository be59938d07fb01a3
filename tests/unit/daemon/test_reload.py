"""What a new configuration changes while the agent runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.config import Config, Labels, load_config
from swt3_agent.config.settings import Intervals, ModelSettings
from swt3_agent.daemon.reload import AT_RUN_TIME, NO_SETTINGS, plan


@pytest.fixture
def config() -> Config:
    return load_config({"SWT3_CLEARING_LEVEL": "1"})


def test_nothing_changes_where_nothing_did(config: Config) -> None:
    found = plan(config, replace(config, source="elsewhere"))
    assert (found.applied, found.at_restart) == ((), ())


def test_a_higher_clearing_level_is_in_force_at_once(config: Config) -> None:
    found = plan(config, replace(config, clearing_level=3))
    assert found.config.clearing_level == 3
    assert found.applied == ("clearing_level",)


def test_a_lower_one_waits_for_a_restart(config: Config) -> None:
    found = plan(config, replace(config, clearing_level=0))
    assert found.config.clearing_level == 1
    assert found.at_restart == ("clearing_level",)


def test_what_the_node_holds_open_waits_for_a_restart(config: Config) -> None:
    wanted = replace(config, state_dir=Path("/elsewhere"), tenant="OTHER", labels=Labels("c"))
    found = plan(config, wanted)
    assert found.at_restart == ("tenant", "state_dir")
    assert found.applied == ("labels",)
    assert found.config == replace(config, labels=Labels("c"))


def test_only_the_collectors_that_it_concerns_run_at_once(config: Config) -> None:
    model = ModelSettings(name="m", path="/m")
    assert plan(config, replace(config, models=(model,))).collectors == {"weights"}
    assert plan(config, replace(config, intervals=Intervals(gpu=1))).collectors == frozenset()


SETTINGS = set(Config.__dataclass_fields__) - NO_SETTINGS
AT_RESTART = {
    "clearing",
    "tenant",
    "state_dir",
    "socket",
    "listeners",
    "tpm",
    "custody",
    "http",
    "ops",
    "probe",
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_that_changes_is_in_force_or_named_as_waiting(
    config: Config, name: str
) -> None:
    other: Any = 2 if name == "clearing_level" else object()
    wanted = replace(config, **{name: other})
    found = plan(config, wanted)
    if name in AT_RESTART:
        assert (found.applied, found.at_restart) == ((), (name,))
        assert found.config == config
    else:
        assert (found.applied, found.at_restart) == ((name,), ())
        assert found.config == wanted


def test_every_setting_is_one_that_the_configuration_has() -> None:
    assert AT_RUN_TIME | AT_RESTART == SETTINGS
