"""Every check, in the order in which they are shown."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.config import NO_TPM, Config, Examination
from swt3_agent.daemon.collectors import watched_collectors
from swt3_agent.daemon.control import call
from swt3_agent.daemon.doctor import places, software
from swt3_agent.daemon.doctor.baseline import check_baseline
from swt3_agent.daemon.doctor.counter import check_counter
from swt3_agent.daemon.doctor.finding import (
    Finding,
    failure,
    good,
    run_check,
    warning,
)
from swt3_agent.daemon.doctor.keys import check_keys, named_key
from swt3_agent.daemon.doctor.ledger import check_ledger
from swt3_agent.daemon.doctor.machine import check_clock, check_gpus, check_tpm, check_tpm_told
from swt3_agent.daemon.doctor.probe import check_probe
from swt3_agent.daemon.views import stopped_view
from swt3_agent.errors import AgentError, StateError
from swt3_agent.store.state import Holder, Layout, StateDirectory, existing_layout

DAEMON_TIMEOUT_S = 10.0


def examine_machine(found: Examination, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All findings about this machine for the configuration that ``found`` is about."""
    yield from software.check_python()
    yield from software.check_modules()
    yield from software.check_loader(environ, "this command")
    yield from check_settings(found)
    config = found.config
    if config is None:
        return
    holder = _holder(config)
    control = _control(config, holder)
    if holder is not None and holder.pid is not None:
        pid = holder.pid
        yield from run_check(
            "software", lambda: software.check_loader(software.environment_of(pid), "the agent")
        )
    yield from run_check("state", lambda: places.check_state(config.state_dir))
    named = b"" if control is not None else _named_key(config)
    yield from run_check("keys", lambda: check_keys(Layout(config.state_dir), named))
    yield from places.check_groups()
    yield from run_check(
        "intake", lambda: places.check_intake(config.socket, running=control is not None)
    )
    yield from run_check("tpm", lambda: _check_tpm(config, control))
    yield from run_check("counter", lambda: check_counter(config, _counter_shown(control)))
    if config.tpm.tcti != NO_TPM:
        yield from run_check("baseline", lambda: check_baseline(_told(control, "baseline")))
    yield from run_check("probe", lambda: check_probe(config.probe_socket))
    yield from run_check("gpu", lambda: _check_gpus(config))
    yield from check_clock()
    if config.ledger is not None:
        ledger = config.ledger
        yield from run_check("ledger", lambda: check_ledger(ledger))
    yield from run_check("agent", lambda: check_agent(config, control))


def check_settings(found: Examination) -> Iterator[Finding]:
    """What is wrong with the configuration, and what its author should know."""
    subject = "settings"
    for problem in found.problems:
        yield failure(subject, problem.code, problem.message, problem.remedy)
    for lack in found.lacks:
        # This user need not have the secrets of the agent's.
        yield warning(subject, lack.code, lack.message, lack.remedy)
    for text in found.warnings:
        yield warning(subject, "CONFIG_WARNING", text, "see `swt3-agent config check`")
    if found.config is not None and not found.lacks:
        yield good(subject, f"{found.source}: nothing is wrong")


def check_agent(config: Config, control: Path | None) -> Iterator[Finding]:
    """What the daemon that answers at ``control`` has against its readiness; where none runs,
    whether its log can be read. Raises AgentError."""
    subject = "agent"
    if control is not None:
        answer = call(control, "readiness", {}, DAEMON_TIMEOUT_S)
        for reason in answer["reasons"]:
            yield failure(subject, reason["code"], reason["detail"], reason["remedy"])
        if answer["ready"]:
            yield good(subject, "it runs and is ready")
        return
    remedy = "systemctl start swt3-agent"
    try:
        owner = existing_layout(config.state_dir).root.stat().st_uid
    except StateError as error:
        if error.code != "STATE_ABSENT":
            raise
        yield warning(subject, "AGENT_STOPPED", "it has never run here", remedy)
        return
    if owner != os.geteuid():  # root could, but what it writes beside the log would not be theirs
        detail = "it does not run, and its log is its own user's to read"
        remedy += f"; to have the log looked at: sudo -u '#{owner}' swt3-agent doctor"
        yield warning(subject, "AGENT_STOPPED", detail, remedy)
        return
    size = stopped_view(config)["log"]["tree_size"]
    detail = f"it does not run; its log of {size} records can be read"
    yield warning(subject, "AGENT_STOPPED", detail, remedy)


def _check_gpus(config: Config) -> Iterator[Finding]:
    for watched in watched_collectors(config, None):
        if watched.collector.name == GpuCollector.name:
            yield from check_gpus(watched.collector, config.gpu.expected)


def _check_tpm(config: Config, control: Path | None) -> Iterator[Finding]:
    status = None if config.tpm.tcti == NO_TPM else _told(control, "status")
    if status is None:
        user = places.AGENT_USER if os.geteuid() == 0 else None
        yield from check_tpm(config.tpm, user)
    else:  # the daemon knows better, and holds it
        yield from check_tpm_told(status["tpm"])


def _counter_shown(control: Path | None) -> dict[str, Any] | None:
    status = _told(control, "status")
    return None if status is None else status["counter"]


def _told(control: Path | None, operation: str) -> dict[str, Any] | None:
    """The daemon's answer; None where none runs."""
    if control is None:
        return None
    answer: dict[str, Any] = call(control, operation, {}, DAEMON_TIMEOUT_S)
    return answer


def _named_key(config: Config) -> bytes:
    try:
        return named_key(config)
    except AgentError:  # the check of the agent says why
        return b""


def _holder(config: Config) -> Holder | None:
    try:
        return StateDirectory.peek(config.state_dir)
    except AgentError:  # the check of the state directory says why
        return None


def _control(config: Config, holder: Holder | None) -> Path | None:
    """Where the daemon answers, if one runs; who may not look into its state may ask it still."""
    if holder is not None:
        return None if holder.control is None else Path(holder.control)
    hidden = not os.access(config.state_dir, os.R_OK | os.X_OK)
    return config.control_socket if hidden and config.control_socket.exists() else None
