"""``swt3-agent status``: the agent, its log and its collectors at a glance."""

import argparse
from datetime import datetime, timezone
from typing import Any

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import printable
from swt3_agent.daemon.operations import status_of

STATUS_TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the daemon's own view, or, where none runs, what its log says."""
    status = status_of(config_of(args), STATUS_TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/status/1", **status})
    else:
        print(printable("\n".join(_lines(status))))
    return 0


def _lines(status: dict[str, Any]) -> list[str]:
    log, tpm = status["log"], status["tpm"]
    lines = [
        f"agent       {'running, pid ' + str(status['pid']) if status['running'] else 'stopped'}",
        f"node        {status['node_id']}",
        f"tenant      {status['tenant']}, clearing level {status['clearing_level']}",
        f"tpm         {tpm['kind']}" + (f": {tpm['detail']}" if tpm.get("detail") else ""),
        f"log         {log['tree_size']} records, root {log['root'][:16]}…",
        f"last head   {_time(log['checkpoint_time'])}, "
        + ("signed" if log["checkpoint_signed"] else "unsigned"),
    ]
    for collector in status["collectors"]:
        last = collector["last_run"]
        outcome = f"{collector['outcome']} at {_time(last)}" if last else "not run yet"
        lines.append(f"{collector['name']:<12}{outcome}")
    findings = (f"finding     {f['code']}: {f['detail']}" for f in status["findings"])
    return [*lines, *findings]


def _time(utc_ms: int | None) -> str:
    if utc_ms is None:
        return "never"
    moment = datetime.fromtimestamp(utc_ms / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
