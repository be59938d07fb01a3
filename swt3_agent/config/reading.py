"""A document held against the settings it should be: every unknown key and wrong value at once."""

import difflib
import math
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

import msgspec

from swt3_agent.config.documents import Document
from swt3_agent.config.problems import Findings


def cleaned(
    document: Document, kind: type[msgspec.Struct], source: str, findings: Findings
) -> Document:
    """``document`` without what cannot be set in ``kind``; each such thing is a problem.

    What is left can be merged with other documents and converted to ``kind``.
    """
    return _struct(document, kind, "", source, findings)


def read_aliases(document: Document, source: str, findings: Findings) -> Document:
    """``document`` with ``tpm2`` read as ``tpm_2.0`` and ``standard`` as ``strict``, the stricter
    of what it can mean; each time with a warning (docs/protocol.md 14)."""
    hardware, mesh = document.get("hardware"), document.get("trust_mesh")
    if isinstance(hardware, dict) and isinstance(hardware.get("allowed_methods"), list):
        methods: list[Any] = hardware["allowed_methods"]
        if "tpm2" in methods:
            findings.warn(f"{source}: hardware.allowed_methods: tpm2 is read as tpm_2.0")
            methods[:] = ["tpm_2.0" if method == "tpm2" else method for method in methods]
    if isinstance(mesh, dict) and mesh.get("mode") == "standard":
        findings.warn(f"{source}: trust_mesh.mode: standard is read as strict")
        mesh["mode"] = "strict"
    return document


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for a ``word`` that is none of the ``known``."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def struct_within(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings section that a field of this type is, alone or in a list; None for a value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _struct(
    value: Document, kind: type[msgspec.Struct], path: str, source: str, findings: Findings
) -> Document:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    result: Document = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if key not in fields:
            findings.refuse(
                "CONFIG_UNKNOWN_KEY",
                where,
                f"{source}: unknown key {where!r}",
                did_you_mean(key, fields),
            )
            continue
        kept = _field(inner, fields[key], where, source, findings)
        if kept is not msgspec.UNSET:
            result[key] = kept
    return result


def _field(value: Any, annotation: Any, path: str, source: str, findings: Findings) -> Any:
    """``value`` as it may stand in the document; UNSET where it may not."""
    struct = struct_within(annotation)
    if struct is None:
        return value if _fits(value, annotation, path, source, findings) else msgspec.UNSET
    if get_origin(annotation) is tuple:
        return _structs(value, struct, path, source, findings)
    if value is None:  # a section whose every line is commented out
        return msgspec.UNSET
    if not isinstance(value, dict):
        return _refused(path, "is not a mapping", source, "write `key: value` below it", findings)
    return _struct(value, struct, path, source, findings)


def _structs(
    value: Any, kind: type[msgspec.Struct], path: str, source: str, findings: Findings
) -> Any:
    if value is None:
        return msgspec.UNSET
    if not isinstance(value, list):
        return _refused(path, "is not a list", source, "write `- key: value` below it", findings)
    kept = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if not isinstance(item, dict):
            _refused(where, "is not a mapping", source, "write `key: value` there", findings)
            continue
        before = len(findings.problems)
        inner = _struct(item, kind, where, source, findings)
        whole = len(findings.problems) == before
        if whole and _fits(inner, kind, where, source, findings):
            kept.append(inner)
    return kept


def _fits(value: Any, annotation: Any, path: str, source: str, findings: Findings) -> bool:
    if unfit := _unfit(value):
        _refused(path, unfit, source, "give the key another value", findings)
        return False
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        choices = _choices(annotation)
        remedy = f"one of: {', '.join(choices)}" if choices else "give the key a value of that type"
        said = str(error)  # it names types and bounds; where few values are possible, the wrong one
        told = "" if choices else f": {said[0].lower()}{said[1:]}"
        _refused(path, f"has a wrong value{told}", source, remedy, findings)
        return False
    return True


def _unfit(value: Any) -> str | None:
    """Why ``value`` can be of no setting: no path and no key has such text, JSON no such number."""
    if isinstance(value, dict):
        return next(filter(None, map(_unfit, value.values())), None)
    if isinstance(value, list):
        return next(filter(None, map(_unfit, value)), None)
    if isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    if not isinstance(value, str):
        return None
    if "\0" in value:
        return "holds a zero character"
    is_text = value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    return None if is_text else "is no UTF-8 text"


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]


def _refused(path: str, problem: str, source: str, remedy: str, findings: Findings) -> Any:
    findings.bad_value(path, f"{problem} (in {source})", remedy)
    return msgspec.UNSET
