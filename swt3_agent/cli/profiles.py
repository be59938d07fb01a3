"""``swt3-agent profiles``: the bodies of rules that come with the agent, and what each demands."""

import argparse
from typing import Any

from swt3_agent.cli.options import add_json, print_json
from swt3_agent.cli.text import printable, show
from swt3_agent.config import Profile, load_profile, profile_names
from swt3_agent.protocol.catalogue import CATALOGUE, is_judged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="show")
    one = actions.add_parser("show", help="print one profile: what it demands, and of when it is")
    one.add_argument("name", metavar="PROFILE")
    one.add_argument("--yaml", action="store_true", help="print the file itself")
    add_json(one, again=True)


def run(args: argparse.Namespace) -> int:
    """List all, or show one."""
    if args.action is None:
        profiles = [load_profile(name) for name in profile_names()]
        if args.json:
            rows = [_view(profile) for profile in profiles]
            print_json({"schema": "swt3-agent/profiles/1", "profiles": rows})
        else:
            show("\n".join(_line(profile) for profile in profiles))
        return 0
    profile = load_profile(args.name)
    if args.json:
        print_json({"schema": "swt3-agent/profiles/1", **_view(profile)})
    elif args.yaml:
        print(profile.text, end="")
    else:
        show(printable("\n".join(_lines(profile))))
    return 0


def _policy(profile: Profile) -> dict[str, Any]:
    policy: dict[str, Any] = profile.document.get("policy", {})
    return policy


def _view(profile: Profile) -> dict[str, Any]:
    facts, policy = profile.facts, _policy(profile)
    return {
        "name": profile.name,
        "title": facts.title,
        "framework": list(facts.framework),
        "rules_as_of": facts.rules_as_of.isoformat(),
        "clearing_level": profile.document["clearing_level"],
        "min_clearing_level": policy.get("min_clearing_level", 0),
        "signing_tier": facts.signing_tier,
        "cadence": {
            "inference": facts.cadence.inference,
            "schedule": facts.cadence.schedule,
            "review": facts.cadence.review,
        },
        "required_procedures": list(policy.get("required_procedures", ())),
        "notes": list(facts.notes),
    }


def _line(profile: Profile) -> str:
    required = len(_policy(profile).get("required_procedures", ()))
    return (
        f"{profile.name:<24}level {profile.document['clearing_level']}, {required:>2} procedures, "
        f"{profile.facts.signing_tier:<9} {profile.facts.title}"
    )


def _lines(profile: Profile) -> list[str]:
    view = _view(profile)
    cadence = view["cadence"]
    lines = [
        f"profile     {profile.name}: {view['title']}",
        f"framework   {'; '.join(view['framework'])}",
        f"rules of    {view['rules_as_of']}",
        f"clearing    level {view['clearing_level']}, never below {view['min_clearing_level']}",
        f"signing     {view['signing_tier']}",
        "cadence     " + ", ".join(f"{what} {_span(s)}" for what, s in cadence.items()),
        *(f"note        {note}" for note in view["notes"]),
    ]
    for procedure in view["required_procedures"]:
        entry = CATALOGUE[procedure]
        judged = "" if is_judged(procedure) else " (counted, not judged)"
        lines.append(f"requires    {procedure:<15}{entry.title}, {entry.trigger.value}{judged}")
    return lines


def _span(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    hours = round(rest / 3600)
    told = [f"{days:.0f} d"] if days else []
    return " ".join([*told, f"{hours} h"] if hours else told)
