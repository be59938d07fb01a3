"""The requests of sentinel clients (docs/protocol.md 15), one class for each operation.

Keys that are not known are passed over: nothing of a request but the payload of ``record`` is
kept, and clients of other languages send more than the public SDK does.
"""

from typing import Annotated

import msgspec

from swt3_agent.protocol.fingerprint import MAX_SAFE_INTEGER

LONGEST_NAME = 512
"""Characters of a tool's name or an agent id."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]


class Check(msgspec.Struct, frozen=True, tag_field="op", tag="check"):
    """May this tool be called?"""

    id: str
    tool: _Name


class Record(msgspec.Struct, frozen=True, tag_field="op", tag="record"):
    """Store this payload; ``fingerprint`` says which anchor it is, if it is one."""

    id: str
    fingerprint: str
    payload: str


class Sign(msgspec.Struct, frozen=True, tag_field="op", tag="sign"):
    """Sign ``payload``, a fingerprint; ``agent_id`` None binds the signature to no agent."""

    id: str
    payload: str
    agent_id: _Name | None = msgspec.field(default=None, name="agentId")


class Tokens(msgspec.Struct, frozen=True, tag_field="op", tag="tokens"):
    """``count`` tokens more were consumed in this session."""

    id: str
    count: _Count


class Flush(msgspec.Struct, frozen=True, tag_field="op", tag="flush"):
    """Answer when everything sent before is durable."""

    id: str


class Status(msgspec.Struct, frozen=True, tag_field="op", tag="status"):
    """How are you?"""

    id: str


SentinelRequest = Check | Record | Sign | Tokens | Flush | Status

OPERATIONS = ("check", "record", "sign", "tokens", "flush", "status")

_decode = msgspec.json.Decoder(SentinelRequest).decode


def parse_sentinel_request(line: bytes) -> SentinelRequest:
    """The request in ``line``, whose ``op`` is one of ``OPERATIONS``.

    Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError where it is not one.
    """
    request: SentinelRequest = _decode(line)
    return request
