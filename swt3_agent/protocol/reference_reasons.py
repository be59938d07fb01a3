"""Why a boot state is not the accepted one, by name (docs/formats.md, "Reference values")."""

from collections.abc import Mapping, Sequence

from swt3_agent.protocol.evidence import Reason

MAX_NAMED = 8
"""Changes that one reason names; of more it says how many there are."""
MAX_SHOWN = 200  # characters of a value, a command line for instance

_ACCEPT = (
    "find out what changed; where it was meant, accept the new state with"
    " `swt3-agent baseline accept`"
)


def pcr_changed(
    index: int,
    value: str,
    accepted: Sequence[str],
    measured: Sequence[tuple[str, str]],
    known: Sequence[tuple[str, str]],
) -> Reason:
    """PCR ``index`` is ``value``, which is none of the ``accepted``.

    ``measured`` and ``known`` are the events that led to either, as (name, hex digest): where both
    are given, the reason names those that changed.
    """
    changes = _changes(measured, known) if measured and known else []
    detail = f"PCR {index} changed: {'; '.join(changes)}" if changes else _plain(index, accepted)
    return Reason("PCR_MISMATCH", f"{detail} (PCR {index} is {value})", _ACCEPT)


def pcr_missing(index: int) -> Reason:
    """PCR ``index`` has a reference value and was not quoted."""
    return Reason(
        "PCR_NOT_QUOTED",
        f"PCR {index} has a reference value, and the quote does not cover it",
        "quote that register, or accept a reference without it",
    )


def value_reasons(
    accepted: Mapping[str, tuple[str, ...]], observed: Mapping[str, tuple[str, ...]] | None
) -> list[Reason]:
    """Which of the ``observed`` lists of values are not the ``accepted`` ones."""
    if not accepted:
        return []
    if observed is None:
        return [
            Reason(
                "BOOT_LOG_MISSING",
                "the reference values are of a boot log, and none was read that gives the quoted"
                " registers",
                "let the agent read the boot log (see `swt3-agent doctor`)",
            )
        ]
    reasons = []
    for name in sorted(accepted):
        values = tuple(observed.get(name, ()))
        if not values:
            reasons.append(_value_missing(name))
        elif values != tuple(accepted[name]):
            reasons.append(_value_changed(name, values, accepted[name]))
    return reasons


def _changes(measured: Sequence[tuple[str, str]], known: Sequence[tuple[str, str]]) -> list[str]:
    """What was measured and is not known, and what is known and was not measured."""
    digests = {digest for _, digest in known}
    names: dict[str, list[str]] = {}
    for name, digest in known:
        names.setdefault(name, []).append(digest)
    changes = []
    seen = {digest for _, digest in measured}
    replaced = set()
    for name, digest in measured:
        if digest in digests:
            continue
        before = [known_digest for known_digest in names.get(name, ()) if known_digest not in seen]
        replaced.add(name)
        if before:
            changes.append(f"{_cut(name)}: {digest} is not the accepted {before[0]}")
        else:
            changes.append(f"{_cut(name)}: {digest} is not among the accepted")
    changes += [
        f"{_cut(name)}: {digest} was not measured"
        for name, digest in known
        if digest not in seen and name not in replaced
    ]
    if not changes:
        return ["the accepted events in another order or number"]
    return _named(changes)


def _named(changes: list[str]) -> list[str]:
    more = len(changes) - MAX_NAMED
    return changes if more <= 0 else [*changes[:MAX_NAMED], f"and {more} more"]


def _plain(index: int, accepted: Sequence[str]) -> str:
    return (
        f"PCR {index} changed: it is none of the {len(accepted)} accepted values"
        if len(accepted) > 1
        else f"PCR {index} changed: it is not the accepted {accepted[0]}"
    )


def _value_missing(name: str) -> Reason:
    return Reason(
        "VALUE_MISSING",
        f"{name} has a reference value, and the boot log shows none that a quoted register vouches"
        " for",
        "quote the registers that it is read from, or accept a reference without it",
    )


def _value_changed(name: str, values: Sequence[str], accepted: Sequence[str]) -> Reason:
    seen, known = dict.fromkeys(values), dict.fromkeys(accepted)
    new = [value for value in seen if value not in known]
    gone = [value for value in known if value not in seen]
    if len(new) == len(gone) == 1:
        changes = [f"{_cut(new[0])} is not the accepted {_cut(gone[0])}"]
    else:
        changes = [f"{_cut(value)} is not among the accepted" for value in new]
        changes += [f"{_cut(value)} was not measured" for value in gone]
    what = _named(changes) or ["the accepted values in another order or number"]
    return Reason("VALUE_MISMATCH", f"{name} changed: {'; '.join(what)}", _ACCEPT)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
