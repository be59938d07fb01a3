"""Witnesses in bulk: a proof, for many at once, that each one is what it should be.

The rules are those of ``payload``, ``strict_json``, ``clearing`` and ``fingerprint``, each of which
judges one record. Nearly all records of a producer are alike and in order, and here that is shown
with a few passes over all of them. Whatever cannot be shown is left to those rules.

What makes it quick is one count. A key owns exactly one ``:`` byte outside of strings. So when the
records are decoded to just those fields that may be there, and encoding them again gives as many
colons as they came with, then no record has any other key, and none has a key twice.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, cast

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import KEPT_THROUGH, MAX_LEVEL, clear
from swt3_agent.protocol.fingerprint import (
    MAX_SAFE_INTEGER,
    fingerprint_after,
    preimage_head,
)
from swt3_agent.protocol.operational import LONGEST_SIGNATURE, MOST_REFERENCES, PATTERNS
from swt3_agent.protocol.payload import HEX_FIELDS, LOWER_HEX, Witness
from swt3_agent.protocol.strict_json import MALFORMED, MAX_DEPTH

_CONTEXT_THROUGH = KEPT_THROUGH["ai_context"]
_CONTAINERS = frozenset({dict, list})
_LOWER_HEX = LOWER_HEX.encode()

_encode = msgspec.json.Encoder().encode
_level_of = attrgetter("clearing_level")
_procedure_of = attrgetter("procedure_id")
_model_of = attrgetter("procedure_id", "ai_model_id")
_context_of = attrgetter("ai_context")


def prove_sound(
    payloads: Sequence[bytes], colons: int, *, tenant: str, level: int
) -> Sequence[Witness | None]:
    """Of each payload its witness where it is proven to be in order, else None.

    In order: one JSON object that every reader reads alike, at most ``MAX_DEPTH`` deep; a witness
    whose fingerprint recomputes under ``tenant``; nothing in it that clearing would change at
    ``level`` or its declared level, whichever is higher, and no free text in it where that is 3.
    Fields that are not kept at that level
    are missing from the witness.

    The payloads are UTF-8, ``colons`` counts their ``:`` bytes, and none has a colon written as an
    escape.
    """
    kept = _decode_kept(payloads, colons, level)
    if kept is None or not _content_is_kept(*kept):
        return [None] * len(payloads)
    witnesses, _ = kept
    try:
        heads = {name: preimage_head(tenant, name) for name in set(map(_procedure_of, witnesses))}
    except FormatError:  # a malformed procedure: the rules will say in which of them
        return [None] * len(payloads)
    proven: list[Witness | None] = []
    for witness in witnesses:
        a, b, c = witness.factor_a, witness.factor_b, witness.factor_c
        timestamp_ms = witness.fingerprint_timestamp_ms
        sound = (
            type(a) is int
            and type(b) is int
            and type(c) is int
            and witness.anchor_epoch == timestamp_ms // 1000
            and fingerprint_after(heads[witness.procedure_id], a, b, c, timestamp_ms)
            == witness.anchor_fingerprint
        )
        proven.append(witness if sound else None)
    return proven


def _decode_kept(
    payloads: Sequence[bytes], colons: int, level: int
) -> tuple[Sequence[Witness], int] | None:
    """The witnesses, if all keys of all of them are fields that are kept, and none is repeated.

    At ``level``, or the highest that one of them declares: what is kept there is kept at every
    lower level too.
    """
    shape = _SHAPES[level]
    try:
        witnesses = list(map(shape.decode, payloads))
        highest = max(map(_level_of, witnesses), default=level)
        if highest > level:
            return _decode_kept(payloads, colons, highest)
        if _encode(witnesses).count(b":") != colons:
            return None
    except MALFORMED:
        return None
    texts = "".join(filter(None, chain.from_iterable(map(shape.hex_texts, witnesses))))
    if texts.encode().translate(None, _LOWER_HEX):
        return None
    return witnesses, level


def _content_is_kept(witnesses: Sequence[Witness], level: int) -> bool:
    """Whether clearing leaves those fields alone that it looks into."""
    if level > _CONTEXT_THROUGH:
        models = set(map(_model_of, witnesses))
        return all(model is None or _is_kept_model(name, model, level) for name, model in models)
    contexts = [context for context in map(_context_of, witnesses) if context is not None]
    if not {dict}.issuperset(map(type, contexts)):
        return False
    return all(map(_are_clean_names, _names_in(cast("list[dict[str, object]]", contexts))))


@lru_cache(maxsize=1024)
def _is_kept_model(procedure: str, model: str, level: int) -> bool:
    return not clear({"procedure_id": procedure, "ai_model_id": model}, level)[1]


@lru_cache(maxsize=1024)
def _are_clean_names(names: tuple[str, ...] | None) -> bool:
    """Whether a context keeps members of all these names, whatever their values."""
    return (
        names is not None
        and not clear({"ai_context": dict.fromkeys(names, 0)}, _CONTEXT_THROUGH)[1]
    )


def _names_in(contexts: list[dict[str, object]]) -> set[tuple[str, ...] | None]:
    """All keys of each context, whatever their depth; None for one that is too deep."""
    values = chain.from_iterable(map(dict.values, contexts))
    if _CONTAINERS.isdisjoint(map(type, values)):
        return set(map(tuple, contexts))
    return set(map(_names_at_any_depth, contexts))


def _names_at_any_depth(context: dict[str, object]) -> tuple[str, ...] | None:
    names: list[str] = []
    layer: list[Any] = [context]
    for _ in range(MAX_DEPTH - 1):  # the witness is one level itself
        deeper: list[Any] = []
        for value in layer:
            if isinstance(value, dict):
                names += value
                deeper += value.values()
            else:
                deeper += value
        layer = [value for value in deeper if type(value) in _CONTAINERS]
        if not layer:
            return tuple(names)
    return None


_FACTORS = ("factor_a", "factor_b", "factor_c")
_FACTOR = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)] | float
_HEX_FIELDS = {*HEX_FIELDS, "payload_signature"} - {"anchor_fingerprint"}  # that one recomputes


_SMALL = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


def _identifier(name: str) -> Any:
    """A text that level 3 allows in that operational field."""
    return Annotated[str, msgspec.Meta(pattern=rf"\A(?:{PATTERNS[name]})?\Z")]


_IdentifiedReference = msgspec.defstruct(
    "ReferenceAtLevel3",
    [("fingerprint", _identifier("references.fingerprint"))]
    + [
        (name, _identifier(f"references.{name}") | None, None)
        for name in ("relationship", "provenance_token")
    ],
    frozen=True,
    omit_defaults=True,
)


_REFERENCES: Any = Annotated[
    list[_IdentifiedReference | _identifier("references.fingerprint")],  # type: ignore[misc]  # it is made above
    msgspec.Meta(max_length=MOST_REFERENCES),
]


def _type_at(level: int, field: msgspec.structs.FieldInfo) -> Any:
    """What an optional field may hold at a level; at 3 see ``protocol.operational``."""
    name = field.name
    if level < MAX_LEVEL or name in ("ai_model_id", "policy_version_hash", "lifecycle_chain_id"):
        return field.type
    if name == "references":
        return _REFERENCES | None
    if name in ("signing_key_version", "authorization_expires"):
        return _SMALL | None
    if name == "revocation_reason":
        return _identifier(name) | _SMALL | None
    if name == "payload_signature":  # that it is hex is checked for all at once
        return Annotated[str, msgspec.Meta(max_length=LONGEST_SIGNATURE)] | None
    return _identifier(name) | None


class _Shape:
    """What a witness may hold at a level."""

    def __init__(self, level: int) -> None:
        kept = [
            field
            for field in msgspec.structs.fields(Witness)
            if KEPT_THROUGH[field.name] >= level
            or field.name == "ai_model_id"  # see _content_is_kept
        ]
        struct = msgspec.defstruct(
            f"WitnessAtLevel{level}",
            [
                (field.name, _FACTOR if field.name in _FACTORS else field.type)
                if field.required
                else (field.name, _type_at(level, field), field.default)
                for field in kept
            ],
            frozen=True,
            omit_defaults=True,
            gc=False,  # what was JSON has no cycles, and collecting would cost as much as reading
        )
        self.decode = cast("Callable[[bytes], Witness]", msgspec.json.Decoder(struct).decode)
        names = [name for name in _HEX_FIELDS if KEPT_THROUGH[name] >= level]
        self.hex_texts: Callable[[Witness], tuple[str | None, ...]] = attrgetter(*names)


_SHAPES = tuple(map(_Shape, range(MAX_LEVEL + 1)))
