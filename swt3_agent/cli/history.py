"""``swt3-agent history``: which weights, on which GPUs, since when, and what changed."""

import argparse
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

from swt3_agent.cli.options import add_config, add_json, config_of, print_json
from swt3_agent.cli.text import joined, show, utc_text
from swt3_agent.daemon.asking import look
from swt3_agent.daemon.history import NEWEST, Question
from swt3_agent.telemetry import configure_logging

HISTORY_TIMEOUT_S = 300.0
_MOST_READINGS = 1_000_000
_DURATION = re.compile("([0-9]{1,6})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SHOWN = 16  # characters of a digest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--procedure", metavar="P", help="only this procedure, e.g. AI-HW.1")
    parser.add_argument("--model", metavar="M", help="only the model of this name")
    parser.add_argument("--gpu", metavar="UUID", help="only this GPU: its UUID or the beginning")
    parser.add_argument(
        "--since",
        type=parse_since,
        metavar="T",
        help="a UTC date or time, or how long ago: 7d, 12h",
    )
    parser.add_argument(
        "--newest",
        type=_count,
        default=NEWEST,
        metavar="N",
        help=f"readings of each collector to look at ({NEWEST})",
    )


def run(args: argparse.Namespace) -> int:
    """Print the history that the log holds."""
    configure_logging()
    question = Question(args.procedure, args.model, args.gpu, args.since, args.newest)
    answer = look(config_of(args), "history", asdict(question), HISTORY_TIMEOUT_S)
    if args.json:
        print_json({"schema": "swt3-agent/history/1", **answer})
    else:
        show(joined(history_lines(answer)))
    return 0


def parse_since(text: str) -> int:
    """UTC milliseconds of ``2026-03-01``, ``2026-03-01T12:30``, ``…Z``, ``…+02:00``, or ``7d`` ago.

    A time without an offset is UTC. Raises argparse.ArgumentTypeError.
    """
    duration = _DURATION.fullmatch(text)
    if duration is not None:
        return int((time.time() - int(duration[1]) * _UNIT_S[duration[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-03-01, 2026-03-01T12:30, or 7d or 12h ago"
        ) from None


def history_lines(answer: Mapping[str, Any]) -> list[str]:
    """The answer (docs/formats.md, "History") for a person."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for subject in answer["subjects"]:
        by_kind.setdefault(subject["kind"], []).append(subject)
    lines: list[str] = []
    for kind, title in (("model", "models"), ("gpu", "GPUs")):
        if kind in by_kind:
            lines += ["", title, *_subject_lines(by_kind[kind])]
    lines += _together_lines(answer["together"])
    lines += _procedure_lines(answer["procedures"], by_kind.get("procedure", []))
    lines += ["", "changes", *_event_lines(answer["events"])]
    return [*lines[1:], *_notes(answer["looked_at"])]


def _subject_lines(subjects: list[dict[str, Any]]) -> Iterator[str]:
    for subject in subjects:
        yield f"  {subject['name']}"
        for period in subject["periods"]:
            state = period["state"]
            what = "not there" if state is None else _state(subject["kind"], state)
            span = _span(period["first_ms"], period["until_ms"], begins=period["begins"])
            yield f"    {span}  {what}"
            last = utc_text(period["last_ms"])
            yield f"      seen {period['readings']}×, last {last} in record {period['last_record']}"


def _state(kind: str, state: Mapping[str, Any]) -> str:
    if kind == "gpu":
        parts = [state["name"], state["slot"], f"driver {state['driver'] or 'unknown'}"]
    else:
        approved = {True: "approved", False: "NOT the approved one", None: "nothing approved"}
        digest = state["digest"]
        parts = ["unreadable" if digest is None else f"{digest[:_SHOWN]}…"]
        parts += [approved[state["approved"]]] if digest else []
        quantization = state["quantization"] or {}
        if quantization.get("method"):
            bits = quantization.get("bits")
            parts.append(quantization["method"] + (f" {bits} bits" if bits else ""))
        parts += [_adapter(adapter) for adapter in state["adapters"]]
    return ", ".join([*(part for part in parts if part), *state["problems"]])


def _adapter(adapter: Mapping[str, Any]) -> str:
    """With its digest: an adapter that was put in another's place has the same name."""
    digest = adapter["digest"]
    return f"adapter {adapter['name']} " + ("unreadable" if not digest else f"{digest[:_SHOWN]}…")


def _together_lines(pairs: list[dict[str, Any]]) -> list[str]:
    if not pairs:
        return []
    groups: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        span = _span(pair["from_ms"], pair["to_ms"], begins=pair["begins"])
        key = (span, pair["model"], pair["digest"])
        groups.setdefault(key, []).append(pair["gpu"])
    lines = [
        "",
        "weights and GPUs on this node at the same time (not which process used which GPU)",
    ]
    for (span, model, digest), gpus in groups.items():
        lines.append(f"  {span}  {model} {digest[:_SHOWN]}…")
        lines += [f"    {gpu}" for gpu in gpus]
    return lines


def _procedure_lines(counts: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> Iterator[str]:
    if counts:
        yield from ("", "procedures")
    for one in counts:
        last = utc_text(one["last_ms"])
        yield f"  {one['procedure_id']:<12} {one['count']} anchors, last {last}"
        for subject in verdicts:
            name, _, model = subject["name"].partition(" ")
            if name != one["procedure_id"]:
                continue
            period = subject["periods"][-1]
            state = period["state"]
            why = f" ({', '.join(state['reasons'])})" if state["reasons"] else ""
            of = f" {model}" if model else ""
            since = _start(period["first_ms"], begins=period["begins"])
            yield f"    {state['verdict']}{of} since {since}{why}"


def _event_lines(events: list[dict[str, Any]]) -> Iterator[str]:
    if not events:
        yield "  none"
    for _, group in groupby(events, _but_for_its_subject):
        alike = list(group)
        event, subjects = alike[0], [one["subject"] for one in alike]
        kind, what = event["kind"], f"{event['event']}, record {event['record']}"
        who = " ".join(dict.fromkeys((kind, subjects[0] or "readings")))
        if len(subjects) > 1:
            who = f"{len(subjects)} {kind}s"
        yield f"  {utc_text(event['utc_ms'])}  {who} {what}"
        if event["event"] == "unread":
            yield f"    {event['changes']['code']}"
        elif event["event"] in ("changed", "returned"):
            for key, (old, new) in event["changes"].items():
                yield f"    {key}: {_value(old)} → {_value(new)}"
        if len(subjects) > 1:
            yield from (f"      {subject}" for subject in subjects)


def _but_for_its_subject(event: dict[str, Any]) -> tuple[Any, ...]:
    """A driver that is replaced changes every GPU at once: that is one thing to read."""
    changes = event["changes"] if event["event"] in ("changed", "returned") else None
    return event["record"], event["kind"], event["event"], changes


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, dict):
        return " ".join(_value(one) for one in value.values() if one is not None)
    return "none" if value in (None, "") else str(value)


def _notes(looked_at: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for kind, counts in looked_at.items():
        if counts["readings"] < counts["of"]:
            yield (
                f"note: the newest {counts['readings']} of {counts['of']} readings ({kind}) were"
                " looked at; --newest N looks further back"
            )


def _span(start_ms: int, end_ms: int | None, *, begins: bool) -> str:
    end = "now" if end_ms is None else utc_text(end_ms)
    return f"{_start(start_ms, begins=begins)} – {end}"


def _start(utc_ms: int, *, begins: bool) -> str:
    return utc_text(utc_ms) if begins else f"{utc_text(utc_ms)} or before"


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", text) or not 0 < int(text) <= _MOST_READINGS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_READINGS}")
    return int(text)
