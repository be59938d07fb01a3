"""Reference values: what a node's boot state must be (docs/formats.md, "Reference values").

    {"format": "swt3-agent/reference/1",
     "pcrs":   {"4": ["<hex>", …], …},                  exact registers, SHA-256 bank
     "values": {"loaders": ["<shim>", "<GRUB>"], …},    all that a boot log must show, in order
     "events": {"4": [["<name>", "<hex digest>"], …]}}  optional: what led there, for reasons only

A list of ``pcrs`` holds all that is accepted; one of ``values`` is what must have been measured,
neither more nor less nor in another order. Nothing here reads a log or a TPM: values are plain text
under the names that whoever reads a log gives.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.reference_names import described_by
from swt3_agent.protocol.reference_reasons import pcr_changed, pcr_missing, value_reasons

REFERENCE_FORMAT = "swt3-agent/reference/1"
MAX_REFERENCE = 4 * 2**20
MAX_ACCEPTED = 4096
MAX_VALUE = 8192
MAX_NAMED_EVENTS = 10_000

PCR_INDICES = range(24)
EVERYTHING = "*"

Measured = tuple[str, str]
"""Name and hex digest of one event of a boot log. The name is a label: nothing rests on it."""

_PCR = re.compile(r"(?:[0-9a-f]{2}){32}")
_DIGEST = re.compile(r"(?:[0-9a-f]{2}){20,64}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_INDEX = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class Reference:
    """What is accepted: registers (index to lowercase hex of 32 bytes) and values by name.

    Every register listed must show one of its accepted values. Every name listed must show exactly
    its values (all loaders, all authorities) in the order in which they were measured: a check that
    was skipped is a change as much as a loader that was added.
    ``events`` name what the accepted registers were made of. Raises FormatError REFERENCE_EMPTY
    where nothing would be compared, REFERENCE_INVALID for a value that cannot be one.
    """

    pcrs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    events: Mapping[int, tuple[Measured, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.pcrs and not self.values:
            raise _empty("it names no register and no value")
        for index, accepted in self.pcrs.items():
            _check_accepted(f"PCR {index}", accepted)
            if len(set(accepted)) != len(accepted):
                raise _invalid(f"PCR {index} lists a value twice")
            if index not in PCR_INDICES or not all(_PCR.fullmatch(value) for value in accepted):
                raise _invalid(f"PCR {index} is none of 0 to 23 with SHA-256 values in hex")
        for name, accepted in self.values.items():
            if not _NAME.fullmatch(name):
                raise _invalid(f"{name[:80]!r} is no name of a value")
            _check_accepted(name, accepted)
            if not all(0 < len(value) <= MAX_VALUE for value in accepted):
                raise _invalid(f"{name} has a value that is empty or too long")
        for index, events in self.events.items():
            if index not in PCR_INDICES or len(events) > MAX_NAMED_EVENTS:
                raise _invalid(f"it names events of PCR {index}, or too many")
            if not all(_is_named(name, digest) for name, digest in events):
                raise _invalid(f"an event of PCR {index} has no name and hex digest")

    def unjudged(self, quoted: Mapping[int, bytes]) -> tuple[int, ...]:
        """Which of the ``quoted`` registers this says nothing of, or not all."""
        judged = {*self.pcrs, *described_by(self.values)}
        return tuple(index for index in sorted(quoted) if index not in judged)


def compare(
    reference: Reference,
    pcrs: Mapping[int, bytes],
    values: Mapping[str, tuple[str, ...]] | None,
    *,
    events: Mapping[int, Sequence[Measured]] | None = None,
) -> tuple[Reason, ...]:
    """Why a boot state is not the accepted one; empty where it is.

    ``pcrs`` are quoted and verified registers of the SHA-256 bank. ``values`` were read from a
    boot log whose replay gives those registers; None: there is no such log, which fails a
    reference that needs one. ``events`` name what was measured, for reasons only.

    Codes: PCR_MISMATCH, PCR_NOT_QUOTED, VALUE_MISMATCH, VALUE_MISSING, BOOT_LOG_MISSING.
    """
    reasons: list[Reason] = []
    for index in sorted(reference.pcrs):
        accepted = reference.pcrs[index]
        if index not in pcrs:
            reasons.append(pcr_missing(index))
        elif pcrs[index].hex() not in accepted:
            measured = (events or {}).get(index, ())
            known = reference.events.get(index, ())
            reasons.append(pcr_changed(index, pcrs[index].hex(), accepted, measured, known))
    return (*reasons, *value_reasons(reference.values, values))


def encode_reference(reference: Reference) -> bytes:
    """The reference as canonical JSON (RFC 8785): of texts under ASCII names, keys sorted."""
    return msgspec.json.encode(reference_to_json(reference), order="sorted")


def reference_to_json(reference: Reference) -> dict[str, object]:
    """JSON-able form, registers in order, so that equal references have equal bytes."""
    value: dict[str, object] = {
        "format": REFERENCE_FORMAT,
        "pcrs": {str(index): sorted(accepted) for index, accepted in reference.pcrs.items()},
        "values": {name: list(accepted) for name, accepted in reference.values.items()},
    }
    if reference.events:
        value["events"] = {
            str(index): [list(event) for event in events]
            for index, events in reference.events.items()
        }
    return value


def parse_reference(data: bytes) -> Reference:
    """The reference that ``data`` holds.

    Raises FormatError as ``strict_json.loads`` does, REFERENCE_FORMAT_UNKNOWN for another format,
    REFERENCE_INVALID, REFERENCE_EMPTY.
    """
    return reference_from_json(strict_json.loads(data, max_bytes=MAX_REFERENCE, max_depth=8))


def reference_from_json(value: object) -> Reference:
    """The reference of a JSON value. Raises FormatError as ``parse_reference``."""
    if not isinstance(value, dict) or value.get("format") != REFERENCE_FORMAT:
        raise FormatError(
            "REFERENCE_FORMAT_UNKNOWN",
            f"the reference values are not in the format {REFERENCE_FORMAT}",
            remedy="give reference values that this version or an older one wrote",
        )
    if value.keys() - {"format", "pcrs", "values", "events"}:
        raise _invalid("it has members that the format does not know")
    return Reference(
        pcrs={_index(key): _texts(key, item) for key, item in _object(value, "pcrs")},
        values={key: _texts(key, item) for key, item in _object(value, "values")},
        events={_index(key): _events(key, item) for key, item in _object(value, "events")},
    )


def _object(value: dict[str, object], name: str) -> list[tuple[str, object]]:
    member = value.get(name, {})
    if not isinstance(member, dict):
        raise _invalid(f"{name} is no object")
    return list(member.items())


def _index(key: str) -> int:
    if not _INDEX.fullmatch(key):
        raise _invalid(f"{key[:80]!r} is no PCR")
    return int(key)


def _texts(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid(f"{key[:80]!r} has no list of texts")
    return tuple(value)


def _events(key: str, value: object) -> tuple[Measured, ...]:
    if not isinstance(value, list) or len(value) > MAX_NAMED_EVENTS:
        raise _invalid(f"the events of PCR {key} are no list, or too many")
    events = []
    for item in value:
        texts = _texts(f"PCR {key}", item)
        if len(texts) != 2:
            raise _invalid(f"an event of PCR {key} is not a name and a digest")
        events.append((texts[0], texts[1]))
    return tuple(events)


def _is_named(name: str, digest: str) -> bool:
    return len(name) <= MAX_VALUE and _DIGEST.fullmatch(digest) is not None


def _check_accepted(name: str, accepted: tuple[str, ...]) -> None:
    if not accepted:
        raise _empty(f"{name} accepts nothing, or anything: it lists no value")
    if EVERYTHING in accepted:
        raise _empty(f"{name} accepts everything")
    if len(accepted) > MAX_ACCEPTED:
        raise _invalid(f"{name} lists {len(accepted)} values, at most {MAX_ACCEPTED} are compared")


def _empty(what: str) -> FormatError:
    return FormatError(
        "REFERENCE_EMPTY",
        f"the reference values compare nothing: {what}",
        remedy="list the registers and values that the node must show",
    )


def _invalid(what: str) -> FormatError:
    return FormatError(
        "REFERENCE_INVALID",
        f"the reference values cannot be used: {what}",
        remedy="take them again from a node in the state that is to be accepted",
    )
