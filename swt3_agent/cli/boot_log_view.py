"""Boot and IMA logs for a person, and as JSON (docs/formats.md, "JSON")."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from swt3_agent.errors import FormatError
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.tcg.event_log import Event, EventLog, coverage, decode
from swt3_agent.tcg.event_log.log import BANKS
from swt3_agent.tcg.ima_log import ImaEntry, Replayed, parse_ima_log, reach
from swt3_agent.tcg.ima_log.replay import IMA_PCR, replay
from swt3_agent.tcg.measured_boot import measured_values

MAX_WHAT = 160  # characters of an event for a person
_SHORT = 16  # hex digits of a digest for a person
_MARKS = {"data": " ", "content": " ", "unverified": "?", "information": "i"}

View = dict[str, Any]


def boot_view(log: EventLog, size: int, pcrs: Mapping[int, bytes] | None) -> View:
    """A boot log of ``size`` bytes, held against quoted ``pcrs`` of the SHA-256 bank.

    Without them (None) values are those that the log tells, for which nobody vouches.
    """
    banks = log.banks
    bank = "sha256" if "sha256" in banks else (*banks, None)[0]
    replayed = {name: log.replay(name) for name in banks}
    view: View = {
        "log": "boot",
        "bytes": size,
        "banks": list(banks),
        "truncated": log.truncated,
        "unread": log.unread,
        "startup_locality": log.startup_locality,
        "events": [_event(event, log, bank) for event in log.events],
        "replayed": {name: pcrs_text(values) for name, values in replayed.items()},
        "quoted": pcrs and pcrs_text(pcrs),
        "matched": None,
        "differing": None,
        "unlogged": None,
        "values": None,
    }
    if "sha256" in banks:
        boot = measured_values(log, replayed["sha256"] if pcrs is None else pcrs)
        view["values"] = {name: list(values) for name, values in boot.values.items()}
        if pcrs is not None:
            view["matched"] = list(boot.matched)
            view["differing"] = list(boot.differing)
            view["unlogged"] = list(boot.unlogged)
    return view


def _event(event: Event, log: EventLog, bank: str | None) -> View:
    content = decode(event)
    covered = None if bank is None else coverage(event, bank, content).value
    return {
        "number": event.number,
        "pcr": event.pcr,
        "type": event.type_name,
        "what": str(content),
        "covered": covered,
        "digests": {
            name: digest.hex()
            for name in log.banks
            if (digest := event.digest(BANKS[name])) is not None
        },
    }


def render_boot(view: View) -> Iterator[str]:
    """``view`` line by line: events, registers, values."""
    cut = f", cut off: {view['unread']} bytes are no events" if view["truncated"] else ""
    banks = ", ".join(view["banks"]) or "none that is known"
    yield f"boot log    {len(view['events'])} events, {view['bytes']} bytes, banks {banks}{cut}"
    yield from _vouching(view)
    yield "events      ?: what is said is not what was hashed; i: nothing was extended"
    for event in view["events"]:
        digest = event["digests"].get("sha256") or next(iter(event["digests"].values()), "")
        mark = _MARKS.get(event["covered"] or "", "?")
        shown = _cut(event["what"])
        kind = event["type"].removeprefix("EV_")
        yield f"{event['pcr']:>6}  {kind:<30} {digest[:_SHORT]:<{_SHORT}} {mark} {shown}"
    yield "registers"
    yield from _registers(view)
    yield "values"
    for name, values in (view["values"] or {}).items():
        if name == "boot-commands":
            values = [f"{len(values)}, as the events of PCR 8 show"]
        for number, value in enumerate(values):
            yield f"    {'' if number else name:<24}{_cut(value)}"


def _cut(text: str) -> str:
    line = text.replace("\n", "\\n")
    return line if len(line) <= MAX_WHAT else f"{line[: MAX_WHAT - 1]}…"


def _vouching(view: View) -> Iterator[str]:
    if view["lack"]:
        yield f"quote       none: {view['lack']['detail']} [{view['lack']['code']}]"
    if view["quoted"] is None:
        yield "quote       no registers were given: nothing vouches for what follows"


def _registers(view: View) -> Iterator[str]:
    quoted = view["quoted"]
    bank = next((name for name in ("sha256", *view["banks"]) if name in view["replayed"]), "")
    for index, value in (view["replayed"].get(bank, {})).items():
        if quoted is None:
            verdict = ""
        elif index not in quoted:
            verdict = "not quoted"
        else:
            verdict = "as quoted" if quoted[index] == value else f"NOT AS QUOTED: {quoted[index]}"
        yield f"    PCR {index:<2}  {value}  {verdict}".rstrip()
    for index in view["unlogged"] or []:
        yield f"    PCR {index:<2}  {quoted[str(index)]}  extended by others: the log has no event"


def ima_view(log: bytes, pcrs: Mapping[int, bytes] | None, last: int) -> View:
    """An IMA log, its newest ``last`` entries, and how many of all lead to the quoted PCR 10."""
    newest: deque[ImaEntry] = deque(maxlen=last)
    fault = None
    whole = Replayed()
    try:
        whole = replay(_noting(log, newest))
    except FormatError as error:
        if not newest:
            raise
        fault = {"code": error.code, "detail": error.message, "remedy": error.remedy}
    quoted = None if pcrs is None else pcrs.get(IMA_PCR)
    reached = None if quoted is None else _reached(log, quoted)
    return {
        "log": "ima",
        "bytes": len(log),
        "entries": whole.entries if fault is None else None,
        "violations": whole.violations if fault is None else None,
        "replayed": whole.value.hex() if fault is None else None,
        "boot_aggregates": list(whole.aggregates),
        "quoted": quoted and quoted.hex(),
        "reached": None if reached is None else reached.entries,
        "hashing": None if reached is None else reached.hashing.value,
        "fault": fault,
        "newest": [
            {
                "pcr": entry.pcr,
                "template": entry.template,
                "path": entry.path,
                "digest": entry.file_digest,
                "violation": entry.violation,
            }
            for entry in newest
        ],
    }


def _noting(log: bytes, newest: "deque[ImaEntry]") -> Iterator[ImaEntry]:
    for entry in parse_ima_log(log):
        newest.append(entry)
        yield entry


def _reached(log: bytes, quoted: bytes) -> Replayed | None:
    try:
        return reach(parse_ima_log(log), quoted)
    except FormatError:  # cut off, and not reached before
        return None


def render_ima(view: View) -> Iterator[str]:
    """``view`` line by line."""
    if view["fault"]:
        yield f"IMA log     {view['bytes']} bytes: {view['fault']['detail']}"
    else:
        yield (
            f"IMA log     {view['entries']} entries, {view['bytes']} bytes,"
            f" {view['violations']} violations, {len(view['boot_aggregates'])} kernels"
        )
    yield from _vouching(view)
    if view["quoted"] is not None:
        count = view["reached"]
        said = "no prefix of it leads there" if count is None else f"{count} entries lead there"
        yield f"PCR 10      {view['quoted']}  {said}"
    for entry in view["newest"]:
        digest = (entry["digest"] or "").partition(":")
        note = " VIOLATION" if entry["violation"] else ""
        what = f"{entry['path'] or 'not known'}{note}"
        short = digest[2][:_SHORT]
        yield f"{entry['pcr']:>6}  {entry['template']:<10} {digest[0]:<7} {short:<{_SHORT}} {what}"
