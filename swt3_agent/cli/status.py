"""``swt3-agent status``: the agent, its log and its collectors at a glance."""

import argparse
from collections import Counter
from typing import Any

from swt3_agent.cli.baseline import baseline_lines
from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.queue import delivery_lines
from swt3_agent.cli.text import printable, show, utc_text
from swt3_agent.daemon.asking import look

STATUS_TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the daemon's own view, or, where none runs, what its log says."""
    status = look(config_of(args), "status", {}, STATUS_TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/status/1", **status})
    else:
        show(printable("\n".join(status_lines(status))))
    return 0


def status_lines(status: dict[str, Any]) -> list[str]:
    """``status`` (docs/formats.md, "JSON") for a person: a label and a fact on each line."""
    log, tpm = status["log"], status["tpm"]
    lines = [
        f"agent       {'running, pid ' + str(status['pid']) if status['running'] else 'stopped'}",
        *_readiness(status["readiness"]),
        f"node        {status['node_id'] or 'has no name before the first start'}",
        f"tenant      {status['tenant']}, clearing level {status['clearing_level']}",
        f"tpm         {tpm['kind']}" + (f": {tpm['detail']}" if tpm.get("detail") else ""),
        f"log         {log['tree_size']} records, root {log['root'][:16]}…",
        f"last head   {utc_text(log['checkpoint_time'])}, "
        + ("signed" if log["checkpoint_signed"] else "UNSIGNED"),
        *_head_trouble(log),
        *_counter(status["counter"]),
        *_baseline(status["baseline"]),
        *_intake(status["intake"]),
        *_custody(status["custody"]),
        *delivery_lines(status["delivery"]),
        *_airgap(status["airgap"]),
    ]
    for collector in status["collectors"]:
        last = collector["last_run"]
        outcome = f"{_outcomes(collector)} at {utc_text(last)}" if last else "not run yet"
        lines.append(f"{collector['name']:<12}{outcome}")
    lines += coverage_lines(status["coverage"])
    findings = (f"finding     {f['code']}: {f['detail']}" for f in status["findings"])
    return [*lines, *findings]


def _outcomes(collector: dict[str, Any]) -> str:
    """What a run came to, those alike counted: "AI-HW.1 PASS, nvlink RECORDED"."""
    told = Counter(
        f"{row['procedure_id'] or row['subject']} {row['verdict']}".strip()
        for row in collector["appraisals"]
    )
    return ", ".join(f"{text} ×{count}" if count > 1 else text for text, count in told.items())


def coverage_lines(coverage: dict[str, Any]) -> list[str]:
    """What the profile requires, and what of it lacks; nothing where nothing is required."""
    if not coverage["required"]:
        return []
    by = f"profile {coverage['profile']}" if coverage["profile"] else "the policy"
    lines = [f"coverage    {coverage['fresh']} of {coverage['required']} that {by} requires"]
    for state in ("stale", "missing", "awaited"):
        named = [p["procedure_id"] for p in coverage["procedures"] if p["state"] == state]
        if named:
            lines.append(f"{'':<12}{state}: {', '.join(named)}")
    return lines


def _readiness(readiness: dict[str, Any] | None) -> list[str]:
    """Whether what the node says can be relied upon; nothing where no daemon runs."""
    if readiness is None:
        return []
    if readiness["ready"]:
        return ["ready       yes"]
    codes = ", ".join(reason["code"] for reason in readiness["reasons"])
    return [f"ready       no: {codes}", "            `swt3-agent doctor` says why, and what to do"]


def _head_trouble(log: dict[str, Any]) -> list[str]:
    """Why heads fail or bear no signature, where they do: until then nothing new can be proved."""
    error = log.get("checkpoint_error")
    if error:
        lines = [f"heads       none signed since {utc_text(error['since'])}"]
        lines.append(f"            {error['code']}: {error['detail']}")
        remedy = error.get("remedy")
        return [*lines, f"            remedy: {remedy}"] if remedy else lines
    if log["checkpoint_time"] is not None and not log["checkpoint_signed"]:
        return ["heads       no TPM signs them: `verify` will say LOG_UNSIGNED"]
    return []


def _counter(counter: dict[str, Any] | None) -> list[str]:
    """Where the counter stands, and what a reset could drop unseen; nothing where none counts."""
    if counter is None or (counter["certified"] is None and counter["error"] is None):
        return []
    lines = []
    if counter["certified"] is not None:
        lines.append(
            f"counter     at {counter['value']}, certified at {utc_text(counter['certified'])};"
            f" a reset could drop records from {counter['unprotected_from']} on"
        )
    if error := counter["error"]:
        lines.append(f"counter     not stepped since {utc_text(error['since'])}")
        lines.append(f"            {error['code']}: {error['detail']}")
        lines.append(f"            remedy: {error['remedy']}")
    return lines


def _airgap(airgap: dict[str, Any]) -> list[str]:
    """What left in bundles, and what of it nobody has signed for; nothing where nothing did."""
    last = airgap["last_export"]
    if last is None:
        return []
    lines = [f"exported    records up to {last['end'] - 1}, last at {utc_text(last['time'])}"]
    if airgap["unreceipted"]:
        lines.append(
            f"            {airgap['unreceipted']} bundles without receipts, from record"
            f" {airgap['oldest_unreceipted']} on"
        )
    return lines


def _baseline(baseline: dict[str, Any]) -> list[str]:
    """What the boot state is held against, and what of it is not judged."""
    if error := baseline["error"]:
        return [f"baseline    {error['code']}: {error['detail']}"]
    return baseline_lines(baseline, brief=True)


def _intake(intake: dict[str, Any] | None) -> list[str]:
    """What came in since the daemon started; nothing where none runs."""
    if intake is None:
        return []
    took = f"{intake['requests']} requests, {intake['relayed']} relayed"
    refused = ", ".join(f"{code} {count}" for code, count in sorted(intake["rejected"].items()))
    took += f", {intake['quarantined']} quarantined, {intake['cleared']} cleared"
    return [f"intake      {took}, rejected: {refused or 'none'}"]


def _custody(custody: dict[str, Any] | None) -> list[str]:
    """What was removed since the daemon started, and why it cannot be kept where it should be."""
    if custody is None:
        return []
    sealed = len(custody["recipients"])
    to = f", sealed to {sealed} custodian{'s' if sealed > 1 else ''}" if sealed else ""
    lines = [f"custody     {custody['entries']} records lost something to it{to}"]
    if lack := custody["lack"]:
        lines.append(f"            {lack['code']}: {lack['detail']}; nothing is forwarded")
        lines.append(f"            remedy: {lack['remedy']}")
    return lines
