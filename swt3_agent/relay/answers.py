"""Answers of the intake (docs/formats.md, "Intake").

An answer is kept without its id, because a repeated batch gets the same answer under a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from json import dumps
from typing import Protocol

_LONGEST_ERROR = 300
"""Characters of an error sentence: it may quote what a stranger sent."""

UNKNOWN_ID = "?"
"""Stands for the id of a request from which none could be read."""


class Code(str, Enum):
    """Why a request or a record was refused."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNKNOWN_OP = "UNKNOWN_OP"
    TOO_LARGE = "TOO_LARGE"
    DENIED = "DENIED"
    RATE_LIMITED = "RATE_LIMITED"
    BUSY = "BUSY"
    DISK_FULL = "DISK_FULL"
    BAD_FINGERPRINT = "BAD_FINGERPRINT"
    BAD_FIELD = "BAD_FIELD"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    SIGN_UNAVAILABLE = "SIGN_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record of a batch that was not accepted, ``index`` being its place in the request."""

    index: int
    code: str
    error: str
    quarantined: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole request that is answered with an error; nothing of it is stored."""

    request_id: str
    code: Code
    error: str


class Outlet(Protocol):
    """A connection, as far as answers are concerned."""

    def flush(self) -> None:
        """Send every answer that is ready and whose turn it is."""
        ...

    def resume(self) -> None:
        """Go on with the request that was waiting for a look-up."""
        ...


class Exchange:
    """One request and its answer, in the place that the order of answers gives it.

    ``line`` is the answer once there is one; the first to give it wins."""

    __slots__ = ("line", "outlet", "request_id")

    def __init__(self, request_id: str, outlet: Outlet) -> None:
        self.request_id = request_id
        self.outlet = outlet
        self.line: bytes | None = None

    def answer(self, body: bytes) -> None:
        """Answer if there is no answer yet; the caller flushes the outlet."""
        if self.line is None:
            self.line = answer_line(self.request_id, body)


def answer_line(request_id: str, body: bytes) -> bytes:
    """The line on the wire: ``body`` as the functions below made it, under this id."""
    return b'{"id":%b,%b}\n' % (dumps(request_id).encode(), body)


def submitted(
    total: int, first_seq: int | None, accepted: int, rejections: Sequence[Rejection]
) -> bytes:
    """A batch that was stored. ``first_seq`` is null when no record of it was accepted."""
    results = ",".join(map(_result, rejections))
    number = "null" if first_seq is None else str(first_seq)
    return (
        f'"ok":true,"total":{total},"accepted":{accepted},"rejected":{len(rejections)},'
        f'"first_seq":{number},"results":[{results}]'
    ).encode()


def refused(code: Code, error: str, *, retryable: bool = False) -> bytes:
    """A request of which nothing was stored, or (OUTCOME_UNKNOWN) perhaps all of it."""
    return (
        f'"ok":false,"code":"{code.value}","error":{dumps(shortened(error))},'
        f'"retryable":{"true" if retryable else "false"}'
    ).encode()


def shortened(error: str) -> str:
    """``error``, cut to what fits an answer and a record's provenance."""
    return error if len(error) <= _LONGEST_ERROR else error[: _LONGEST_ERROR - 1] + "…"


def _result(rejection: Rejection) -> str:
    return (
        f'{{"index":{rejection.index},"code":"{rejection.code}",'
        f'"error":{dumps(rejection.error)},'
        f'"quarantined":{"true" if rejection.quarantined else "false"}}}'
    )
