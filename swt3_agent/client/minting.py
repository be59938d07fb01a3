"""From the arguments of an emit() to the bytes of a witness (docs/protocol.md 1, 4, 6)."""

import json
from collections.abc import Mapping
from operator import index
from types import MappingProxyType
from typing import NamedTuple

from swt3_agent.client.settings import ClientSettings
from swt3_agent.errors import FormatError
from swt3_agent.protocol.clearing import KEPT_THROUGH, MAX_LEVEL, clear
from swt3_agent.protocol.fingerprint import mint_fingerprint
from swt3_agent.protocol.latency import bucketed
from swt3_agent.protocol.operational import refuse_free_text

MAX_RECORD_BYTES = 256 * 1024
_HASH_FIELDS = ("ai_prompt_hash", "ai_response_hash", "ai_system_prompt_hash")
_MAX_DRIFT_MS = 1000
_MOST_REMEMBERED = 16_384

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=True, separators=(",", ":")
).encode


class Emitted(NamedTuple):
    """What emit() was given, and when. ``others`` are further wire fields by their names."""

    time_ns: int
    procedure_id: str
    factor_a: int
    factor_b: int
    factor_c: int
    model_id: str | None = None
    prompt_hash: str | None = None
    response_hash: str | None = None
    latency_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    context: Mapping[str, object] | None = None
    agent_id: str | None = None
    others: Mapping[str, object] = MappingProxyType({})


class Minter:
    """Mints for one client; used by one thread."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._latest: dict[tuple[str, int, int, int], int] = {}

    def mint(self, emitted: Emitted) -> bytes:
        """The witness as compact JSON, cleared to the client's level.

        Raises FormatError (BAD_FIELD) for what is no anchor.
        """
        try:
            return self._mint(emitted)
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(
                "BAD_FIELD",
                f"an anchor cannot be minted from these arguments: {error!r}",
                remedy="see docs/protocol.md 4 for the types of its fields",
            ) from error

    def _mint(self, emitted: Emitted) -> bytes:
        settings = self._settings
        procedure = emitted.procedure_id
        factors = index(emitted.factor_a), index(emitted.factor_b), index(emitted.factor_c)
        a, b, c = bucketed(procedure, factors, settings.clearing_level)
        timestamp_ms = self._distinct((procedure, a, b, c), emitted.time_ns // 1_000_000)
        payload: dict[str, object] = {
            "procedure_id": procedure,
            "factor_a": a,
            "factor_b": b,
            "factor_c": c,
            "clearing_level": settings.clearing_level,
            "anchor_fingerprint": mint_fingerprint(
                settings.tenant, procedure, a, b, c, timestamp_ms
            ),
            "anchor_epoch": timestamp_ms // 1000,
            "fingerprint_timestamp_ms": timestamp_ms,
        }
        optional = {
            "ai_model_id": emitted.model_id,
            "ai_prompt_hash": emitted.prompt_hash,
            "ai_response_hash": emitted.response_hash,
            "ai_latency_ms": None if emitted.latency_ms is None else round(emitted.latency_ms),
            "ai_input_tokens": emitted.input_tokens,
            "ai_output_tokens": emitted.output_tokens,
            "ai_context": emitted.context,
            "agent_id": emitted.agent_id or settings.agent_id,
            **_known(emitted.others),
        }
        payload.update((name, value) for name, value in optional.items() if value is not None)
        _refuse_text_for_hash(payload)
        if settings.clearing_level == MAX_LEVEL:
            refuse_free_text(payload)
        cleared, _ = clear(payload, settings.clearing_level)
        encoded = _encode(cleared).encode()
        if len(encoded) > MAX_RECORD_BYTES:
            raise FormatError(
                "BAD_FIELD",
                f"an anchor of {len(encoded)} bytes is larger than {MAX_RECORD_BYTES}",
                remedy="put a hash of the content into the context instead of the content",
            )
        return encoded

    def _distinct(self, key: tuple[str, int, int, int], timestamp_ms: int) -> int:
        """A time at which no equal anchor was minted, up to a second ahead (docs/protocol.md 1.6).

        In a longer burst fingerprints repeat. That harms nothing here, since the agent tells
        records apart by batch and position, and a clock that runs away would.
        """
        latest = self._latest.get(key, -1)
        if latest < timestamp_ms:
            distinct = timestamp_ms
        elif latest < timestamp_ms + _MAX_DRIFT_MS:
            distinct = latest + 1
        else:
            return timestamp_ms
        if len(self._latest) >= _MOST_REMEMBERED and key not in self._latest:
            self._latest = {
                known: last for known, last in self._latest.items() if last >= timestamp_ms
            }
        self._latest[key] = distinct
        return distinct


def _refuse_text_for_hash(payload: Mapping[str, object]) -> None:
    """A prompt given where its hash belongs must not leave this process."""
    for name in _HASH_FIELDS:
        value = payload.get(name, "")
        if not isinstance(value, str) or len(value) > 64 or value.strip("0123456789abcdef"):
            raise FormatError(
                "BAD_FIELD",
                f"{name} is not lower-case hex",
                remedy="give content_hash(text), never the text",
            )


def _known(others: Mapping[str, object]) -> Mapping[str, object]:
    for name in others:
        if name not in KEPT_THROUGH:
            raise FormatError(
                "BAD_FIELD",
                f"{name} is not a field of a witness",
                remedy="put it into the context, or use a name of docs/protocol.md 4",
            )
    return others
