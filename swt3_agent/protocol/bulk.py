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
from typing import Any, cast

import msgspec

from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import KEPT_THROUGH, MAX_LEVEL, clear
from swt3_agent.protocol.fingerprint import fingerprint_after, preimage_head
from swt3_agent.protocol.payload import HEX_FIELDS, LOWER_HEX, Witness
from swt3_agent.protocol.strict_json import MAX_DEPTH

_EXACT = 2**53
_CONTEXT_THROUGH = KEPT_THROUGH["ai_context"]
_CONTAINERS = frozenset({dict, list})
_LOWER_HEX = LOWER_HEX.encode()

_encode = msgspec.json.Encoder().encode
_declared_level = attrgetter("clearing_level")


def prove_sound(
    payloads: Sequence[bytes], colons: int, *, tenant: str, level: int
) -> Sequence[Witness | None]:
    """Of each payload its witness where it is proven to be in order, else None.

    In order: one JSON object that every reader reads alike, at most ``MAX_DEPTH`` deep; a witness
    whose fingerprint recomputes under ``tenant``; and nothing in it that clearing would change at
    ``level`` or its declared level, whichever is higher. Fields that are not kept at that level
    are missing from the witness.

    The payloads are UTF-8, ``colons`` counts their ``:`` bytes, and none has a colon written as an
    escape.
    """
    kept = _decode_kept(payloads, colons, level)
    if kept is None:
        return [None] * len(payloads)
    witnesses, level = kept
    try:
        return [
            witness
            if -_EXACT < witness.factor_a < _EXACT
            and -_EXACT < witness.factor_b < _EXACT
            and -_EXACT < witness.factor_c < _EXACT
            and type(witness.factor_a) is type(witness.factor_b) is type(witness.factor_c) is int
            and witness.anchor_epoch == witness.fingerprint_timestamp_ms // 1000
            and witness.anchor_fingerprint
            == fingerprint_after(
                preimage_head(tenant, witness.procedure_id),
                witness.factor_a,
                witness.factor_b,
                witness.factor_c,
                witness.fingerprint_timestamp_ms,
            )
            and _keeps_content(witness, level)
            else None
            for witness in witnesses
        ]
    except FormatError:  # a malformed procedure, of which the rules will say whose it is
        return [None] * len(payloads)


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
    except (msgspec.MsgspecError, RecursionError):
        return None
    highest = max(map(_declared_level, witnesses), default=level)
    if highest > level:
        return _decode_kept(payloads, colons, highest)
    if _encode(witnesses).count(b":") != colons:
        return None
    texts = "".join(filter(None, chain.from_iterable(map(shape.hex_texts, witnesses))))
    if texts.encode().translate(None, _LOWER_HEX):
        return None
    return witnesses, level


def _keeps_content(witness: Witness, level: int) -> bool:
    """Whether clearing leaves those fields alone that it looks into."""
    if level > _CONTEXT_THROUGH:
        return witness.ai_model_id is None or _is_kept_model(
            witness.procedure_id, witness.ai_model_id, level
        )
    context = witness.ai_context
    if context is None:
        return True
    if not isinstance(context, dict):
        return False
    if _CONTAINERS.isdisjoint(map(type, context.values())):
        return _are_clean_names(tuple(context))
    names = _names_at_any_depth(context)
    return names is not None and _are_clean_names(names)


@lru_cache(maxsize=1024)
def _is_kept_model(procedure: str, model: str, level: int) -> bool:
    return not clear({"procedure_id": procedure, "ai_model_id": model}, level)[1]


@lru_cache(maxsize=1024)
def _are_clean_names(names: tuple[str, ...]) -> bool:
    """Whether a context keeps members of all these names, whatever their values."""
    return not clear({"ai_context": dict.fromkeys(names, 0)}, _CONTEXT_THROUGH)[1]


def _names_at_any_depth(context: dict[str, object]) -> tuple[str, ...] | None:
    """All keys in a context; None where it is too deep."""
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


class _Shape:
    """What a witness may hold at a level."""

    def __init__(self, level: int) -> None:
        kept = [
            field
            for field in msgspec.structs.fields(Witness)
            if KEPT_THROUGH[field.name] >= level
            or field.name == "ai_model_id"  # see _keeps_content
        ]
        struct = msgspec.defstruct(
            f"WitnessAtLevel{level}",
            [
                (field.name, field.type)
                if field.required
                else (field.name, field.type, field.default)
                for field in kept
            ],
            frozen=True,
            omit_defaults=True,
        )
        self.decode = cast("Callable[[bytes], Witness]", msgspec.json.Decoder(struct).decode)
        names = [name for name in HEX_FIELDS if KEPT_THROUGH[name] >= level]
        self.hex_texts: Callable[[Witness], tuple[str | None, ...]] = attrgetter(
            *names, "payload_signature"
        )


_SHAPES = tuple(map(_Shape, range(MAX_LEVEL + 1)))
