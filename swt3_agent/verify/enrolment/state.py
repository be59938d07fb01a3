"""What an enroller keeps between challenge and answer, private to him, and used once."""

from datetime import datetime, timezone
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.protocol.enrolment import (
    MAX_ENROLMENT_FILE,
    SECRET_SIZE,
    Digest,
    Milliseconds,
)
from swt3_agent.protocol.strict_json import MALFORMED

STATE_FORMAT = "swt3-agent/enrol-state/1"
USED_FORMAT = "swt3-agent/enrol-used/1"
MAX_STATE = 2 * MAX_ENROLMENT_FILE
"""Bytes: it holds the request in Base 64."""


class PendingState(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag=STATE_FORMAT,
    tag_field="format",
):
    """A challenge that waits for its answer. ``secret`` is what the TPM is to show that it opened;
    ``ek_root`` None: the EK was pinned; ``time_ms`` is the enroller's UTC time."""

    request: Annotated[bytes, Meta(max_length=MAX_ENROLMENT_FILE)]
    challenge: Digest
    secret: Annotated[bytes, Meta(min_length=SECRET_SIZE, max_length=SECRET_SIZE)]
    time_ms: Milliseconds
    ek: Digest
    ek_root: Digest | None = None
    tpm: Literal["hardware", "software"]

    def __repr__(self) -> str:
        return f"PendingState(challenge={self.challenge})"  # the secret shows nowhere


class UsedState(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag=USED_FORMAT,
    tag_field="format",
):
    """What is left of it: which answer it was used for, and no secret."""

    challenge: Digest
    answer: Digest
    used_ms: Milliseconds


State: TypeAlias = PendingState | UsedState


def encode_state(state: State) -> bytes:
    """The state file. Whoever holds that of a pending challenge can answer it: keep it private."""
    return msgspec.json.encode(state, order="sorted") + b"\n"


def pending_state(data: bytes) -> PendingState:
    """The state in ``data``, if its challenge still waits for its answer.

    Raises FormatError ``ENROL_STATE``, ``ACTIVATION_REUSED``.
    """
    if len(data) > MAX_STATE:
        raise _damaged("it is too large")
    try:
        state: State = msgspec.json.decode(data, type=State)
    except MALFORMED as error:
        raise _damaged(str(error)) from None
    if isinstance(state, PendingState):
        return state
    used = datetime.fromtimestamp(state.used_ms / 1000, timezone.utc)
    raise FormatError(
        "ACTIVATION_REUSED",
        f"this challenge was answered at {used:%Y-%m-%d %H:%M:%S} UTC: each enrols once",
        remedy="make a new challenge: `swt3-agent enroll challenge`",
    )


def _damaged(what: str) -> FormatError:
    return FormatError(
        "ENROL_STATE",
        f"not the state of a challenge: {what[:200]}",
        remedy="give the file that `swt3-agent enroll challenge --state` wrote on this machine",
    )
