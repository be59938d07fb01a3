"""``swt3-agent run``: the daemon in the foreground, as the service manager runs it."""

import argparse

from swt3_agent.cli.options import add_config, config_of
from swt3_agent.daemon.service import run as run_daemon
from swt3_agent.telemetry import configure_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; log lines go to standard error."""
    configure_logging()
    run_daemon(config_of(args))
    return 0
