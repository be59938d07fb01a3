"""Answers of the intake over HTTP: all of them JSON (docs/formats.md, "Intake over HTTP")."""

from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from swt3_agent.relay.answers import Code

RETRY_AFTER_S = {Code.BUSY: 1, Code.OUTCOME_UNKNOWN: 1, Code.RATE_LIMITED: 1, Code.DISK_FULL: 30}
"""When to come back after what passes."""

_encode = msgspec.json.Encoder().encode


def refused(code: Code, error: str) -> HTTPException:
    """Nothing of the request is stored, nor would it be if it came again."""
    return HTTPException(413 if code is Code.TOO_LARGE else 400, error)


def unavailable(code: Code, error: str) -> HTTPException:
    """Nothing is wrong with the request; ``code`` is one of ``RETRY_AFTER_S``."""
    return HTTPException(503, error, headers={"retry-after": str(RETRY_AFTER_S[code])})


def as_json(
    value: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that nobody may keep."""
    kept = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(_encode(value), status, kept, "application/json")


async def http_error(_: Request, error: Exception) -> Response:
    """The answer that ``error``, an HTTPException, stands for."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for no other
    body = {"ok": False, "status": error.status_code, "error": error.detail}
    return as_json(body, error.status_code, error.headers)


async def fault(_: Request, error: Exception) -> Response:  # noqa: ARG001  Starlette logs it
    """The answer to a request that met a bug."""
    return as_json({"ok": False, "status": 500, "error": "the agent failed; try again"}, 500)
