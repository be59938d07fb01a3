"""The ledger's interface over HTTP, for every client that knows no socket of ours.

    POST …/api/v1/witness/batch        docs/protocol.md 5.1: the public SDKs' endpoint
    GET  /api/v1/merkle?date=          the SWT3 tree over one UTC day
    GET  /api/v1/proof?fingerprint=    a fingerprint's place in it

A batch goes the way of a ``submit``: judged, cleared and stored by the same code, and answered
after the commit. There is no batch id over HTTP, so a batch sent again may be stored twice. Trouble
that passes is 503: clients throw a batch away at any other refusal.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from swt3_agent.errors import AgentError, FormatError
from swt3_agent.relay.answers import Code, Exchange
from swt3_agent.relay.batches import BatchJudgement
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.http_answers import (
    RETRY_AFTER_S,
    as_json,
    fault,
    http_error,
    refused,
    unavailable,
)
from swt3_agent.relay.http_body import parse_body
from swt3_agent.relay.http_guard import Guard
from swt3_agent.relay.judgement import Rules
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.origin import Origin, Peer, peer_of
from swt3_agent.relay.receipts import Receipt, receipts
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sink import RecordSink
from swt3_agent.relay.submissions import Submissions

BATCH_PATH = "/api/v1/witness/batch"

MAX_BODY_BYTES = 8 * 1024 * 1024
"""To look for its end in the worst of them keeps all threads waiting for 45 ms."""
MAX_RECORDS = 10_000
"""More than over the intake: after an outage the SDK sends all that it kept, at least 5000 records,
in one request, and throws them away when that is refused."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Bodies of all requests under way."""
ANSWER_WITHIN_S = 8.0
"""Clients give up after 10 s."""

_RECEIPTS_PER_TURN = 100
_LARGE_BODY_BYTES = 256 * 1024
"""From here on a body is taken apart beside the loop: sentinel clients give an answer 50 ms."""

_FINGERPRINT = re.compile("[0-9a-f]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

Lookup = Callable[[str], Mapping[str, object] | None]


@dataclass(frozen=True, slots=True)
class DayLookups:
    """What is told of the trees over days; both may block on a disk and raise AgentError."""

    merkle: Lookup
    proof: Lookup


def nothing_is_known(_: str) -> None:
    """A look-up for listeners whose tenant has no trees here."""


NO_DAYS = DayLookups(nothing_is_known, nothing_is_known)


class HttpIntake:
    """One HTTP listener. Its ``app`` is served between ``start`` and ``close``, in one loop."""

    def __init__(
        self,
        sink: RecordSink,
        *,
        listener: str,
        tenant: str,
        clearing_level: int,
        guard: Guard,
        drop_guardrail_names: bool = False,
        days: DayLookups = NO_DAYS,
    ) -> None:
        limits = replace(IntakeLimits(), max_records=MAX_RECORDS, answer_within_s=ANSWER_WITHIN_S)
        self.counters = IntakeCounters()
        self._sink = sink
        self._listener = listener
        self._rules = Rules(tenant, clearing_level, limits, drop_guardrail_names)
        self._guard = guard
        self._days = days
        self._held = 0
        self._submissions: Submissions | None = None
        self.app = Starlette(
            routes=[
                Route("/api/v1/merkle", self._merkle, methods=["GET"]),
                Route("/api/v1/proof", self._proof, methods=["GET"]),
                Route("/{path:path}", self._batch, methods=["POST"]),
            ],
            exception_handlers={HTTPException: http_error, Exception: fault},
        )
        self.app.router.redirect_slashes = False

    def start(self) -> None:
        """Take batches from now on; call it in the loop that serves ``app``."""
        self._submissions = Submissions(self._sink, self._rules, self.counters)

    def raise_level(self, level: int) -> None:
        """Hold records to clearing ``level``, if not to a higher one, from the next batch on."""
        self._rules = replace(self._rules, level=max(level, self._rules.level))
        if self._submissions is not None:
            self._submissions.raise_level(level)

    def close(self) -> None:
        """Take none any more."""
        if self._submissions is not None:
            self._submissions.close()
        self._submissions = None

    async def _batch(self, request: Request) -> Response:
        self._admit(request)
        if not request.url.path.endswith(BATCH_PATH):
            raise HTTPException(404)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or "content-encoding" in request.headers:
            raise HTTPException(415, "send application/json, not compressed")
        body = await self._body(request)
        try:
            return await self._take(request, body)
        finally:
            self._held -= len(body)

    async def _body(self, request: Request) -> bytes:
        """The body; what it holds counts in ``_held`` until the caller takes it off."""
        pieces: list[bytes] = []
        try:
            async for piece in request.stream():
                pieces.append(piece)
                self._hold(len(piece))
        except BaseException:
            self._held -= sum(map(len, pieces))
            raise
        return b"".join(pieces)

    def _hold(self, more: int) -> None:
        self._held += more
        if self._held > MAX_HELD_BYTES:
            raise unavailable(Code.BUSY, "too much is on its way at once")

    async def _take(self, request: Request, body: bytes) -> Response:
        submissions = self._submissions
        if submissions is None:
            raise unavailable(Code.BUSY, "the agent is stopping")
        self.counters.requests += 1
        try:
            batch = await self._parsed(body)
        except FormatError as error:
            self.counters.rejected[Code(error.code)] += 1
            raise refused(Code(error.code), error.message) from error
        answered = _Answered()
        exchange, work = submissions.begin(
            batch, answered, lambda: self._origin(request), _judged_only
        )
        assert work is not None  # noqa: S101  only a repeated batch has none, and this has no key
        await self._judge(work.judgement)
        work.over = True
        submissions.submit(work)
        if exchange.line is None:
            await answered.event.wait()
        self._raise_refusal(exchange)
        return await self._receipted(batch.payloads, work.judgement)

    async def _parsed(self, body: bytes) -> SubmitRequest:
        if len(body) < _LARGE_BODY_BYTES:
            return parse_body(body, self._rules.limits.max_records)
        return await asyncio.to_thread(parse_body, body, self._rules.limits.max_records)

    async def _judge(self, judgement: BatchJudgement) -> None:
        portion = self._rules.limits.bytes_per_turn
        if max(map(len, judgement.request.payloads), default=0) > _LARGE_BODY_BYTES:
            while not judgement.done:
                await asyncio.to_thread(judgement.advance, portion)
        while not judgement.done:
            judgement.advance(portion)
            await asyncio.sleep(0)  # the sockets' turn

    def _raise_refusal(self, exchange: Exchange) -> None:
        answer = msgspec.json.decode(exchange.line or b"", type=_Refusal)
        if answer.ok:
            return
        if answer.code in RETRY_AFTER_S:
            raise unavailable(answer.code, answer.error)
        raise refused(answer.code, answer.error)

    async def _receipted(self, payloads: Sequence[bytes], judgement: BatchJudgement) -> Response:
        accepted = judgement.drafts()[: judgement.accepted]
        rejections = judgement.rejections()
        given: list[Receipt] = []
        for receipt in receipts(payloads, accepted, rejections, self._rules.tenant, time.time()):
            given.append(receipt)
            if len(given) % _RECEIPTS_PER_TURN == 0:
                await asyncio.sleep(0)
        return as_json(
            {
                "ok": True,
                "tenant_id": self._rules.tenant,
                "total": len(payloads),
                "accepted": judgement.accepted,
                "rejected": len(rejections),
                "receipts": given,
            }
        )

    def _origin(self, request: Request) -> Origin:
        tenant = self._rules.tenant
        if self._guard.token is not None:
            return Origin(self._listener, tenant, Peer(), bearer=True)
        try:
            peer = peer_of(request.scope["state"]["socket"])
        except OSError:  # it has closed the connection already; what it sent counts all the same
            peer = Peer()
        return Origin(self._listener, tenant, peer)

    async def _merkle(self, request: Request) -> Response:
        self._admit(request)
        day = request.query_params.get("date", "")
        if not _is_date(day):
            raise HTTPException(400, "date is not one UTC day, such as 2026-11-22")
        return await self._look_up(self._days.merkle, day)

    async def _proof(self, request: Request) -> Response:
        self._admit(request)
        fingerprint = request.query_params.get("fingerprint", "")
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise HTTPException(400, "fingerprint is not 12 lower-case hex digits")
        return await self._look_up(self._days.proof, fingerprint)

    async def _look_up(self, look_up: Lookup, key: str) -> Response:
        try:
            found = await asyncio.to_thread(look_up, key)
        except AgentError as error:
            raise unavailable(Code.BUSY, error.message) from error
        if found is None:
            raise HTTPException(404, f"nothing is known of {key}")
        return as_json(found)

    def _admit(self, request: Request) -> None:
        turned = self._guard.turns_away(request.headers)
        if turned is not None:
            self.counters.rejected[Code(turned.code)] += 1
            raise HTTPException(turned.status, turned.error, headers={"connection": "close"})


class _Answered:
    """A request that waits for its commit, as far as submissions are concerned."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def flush(self) -> None:
        self.event.set()

    def resume(self) -> None:
        """Nothing waits for a look-up here: a batch without a key is never looked up."""


class _Refusal(msgspec.Struct):
    ok: bool
    code: Code = Code.BUSY
    error: str = ""


def _judged_only(*_: object) -> bytes:
    return b'"ok":true'


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False
