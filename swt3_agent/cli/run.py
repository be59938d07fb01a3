"""``swt3-agent run``: the daemon in the foreground, as the service manager runs it."""

import argparse
import contextlib
import json
import logging
import os

from swt3_agent.cli.options import add_config, add_json, add_profile, config_of
from swt3_agent.config import Config
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.service import run as run_daemon
from swt3_agent.telemetry import Event, configure_logging, fields

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_profile(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; log lines go to standard error.

    With ``--json`` standard output gets one line when the sockets answer and one at the end.
    """
    configure_logging()

    def load() -> Config:
        config = config_of(args, complete=True)
        for warning in config.warnings:
            logger.warning("configuration %s", fields(Event.CONFIG_WARNING, warning=warning))
        return config

    config = load()
    if not args.json:
        run_daemon(config, load=load)
        return 0

    def print_ready(node: Node) -> None:
        _print_event(
            "ready",
            pid=os.getpid(),
            node_id=node.node_id,
            log_id=node.log_id,
            socket=str(config.socket),
            control=str(config.control_socket),
            state_dir=str(config.state_dir),
        )

    run_daemon(config, print_ready, load)
    _print_event("stopped")
    return 0


def _print_event(event: str, **facts: object) -> None:
    """A reader that went away, or whose disk is full, is no reason to stop taking anchors."""
    with contextlib.suppress(OSError):
        print(json.dumps({"schema": "swt3-agent/run/1", "event": event, **facts}), flush=True)
