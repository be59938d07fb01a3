"""The operations of sentinel clients, but for what they store (docs/protocol.md 15).

Everything is answered from memory: a client that waits 50 ms for an answer goes on without us
for ever. What concerns one peer is remembered for its process, so that connecting again changes
nothing; all of it belongs to one listener and so to one tenant.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from swt3_agent.config import SigningKey, ToolPolicy
from swt3_agent.errors import FormatError
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.signing import ML_DSA_65, sign_fingerprint
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.answers import Code, Exchange, Outlet, Rejection, refused
from swt3_agent.relay.batches import BatchJudgement
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.judgement import has_too_many_values
from swt3_agent.relay.opaque import OpaqueJudgement
from swt3_agent.relay.origin import Origin, Peer
from swt3_agent.relay.request import SubmitRequest
from swt3_agent.relay.sentinel_request import (
    Check,
    Flush,
    Record,
    SentinelRequest,
    Sign,
    Tokens,
)
from swt3_agent.relay.submissions import Submissions, Work
from swt3_agent.relay.tool_policy import Action, Session, Sessions, ToolGate

PROTOCOL_VERSION = 1

ML_DSA_PER_SECOND = 200
"""Signatures with ml-dsa-65, over all peers: one takes more than a millisecond of the loop."""
_ML_DSA_BURST = 16

_encode = msgspec.json.Encoder().encode


class _Anchor(msgspec.Struct):
    """By which a witness is told that is not worth decoding."""

    procedure_id: str
    anchor_fingerprint: str


_decode_anchor = msgspec.json.Decoder(_Anchor).decode


class LogView(Protocol):
    """What sentinel clients are told of the log. Every member answers at once."""

    @property
    def newest(self) -> int:
        """The number of the newest durable record; -1 where there is none."""
        ...

    @property
    def covered(self) -> int:
        """The number of the newest record that a head covers; -1 where there is none."""
        ...

    @property
    def root(self) -> str | None:
        """The root of the newest head, in hex."""
        ...


@dataclass(frozen=True, slots=True)
class SentinelSettings:
    """What a listener's sentinel goes by.

    ``own_agent_id`` is the node's: no peer may sign in its name. ``signing`` None: nothing is
    signed here. ``log`` None: nothing is known of it.
    """

    policy: ToolPolicy = field(default_factory=ToolPolicy)
    signing: SigningKey | None = None
    own_agent_id: str | None = None
    log: LogView | None = None


class Sentinel:
    """Answers the sentinel clients of one listener; everything runs in the event loop."""

    def __init__(
        self,
        settings: SentinelSettings,
        submissions: Submissions,
        counters: IntakeCounters,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigError for a tool policy that cannot be meant."""
        self._settings = settings
        self._submissions = submissions
        self._counters = counters
        self._gate = ToolGate(settings.policy, now_s)
        counters.violations = self._gate.violations
        self._sessions = Sessions()
        self._now_s = now_s
        self._started = now_s()
        self._signatures = Allowance(ML_DSA_PER_SECOND, _ML_DSA_BURST, now_s)

    def go_by(self, settings: SentinelSettings) -> None:
        """Answer by ``settings`` from the next request on; peers keep what they are known for.

        Raises ConfigError for a tool policy that cannot be meant, and then changes nothing.
        """
        gate = ToolGate(settings.policy, self._now_s)
        gate.violations = self._gate.violations
        self._gate, self._settings = gate, settings

    def begin(
        self, request: SentinelRequest, outlet: Outlet, origin: Callable[[], Origin]
    ) -> tuple[Exchange, Work | None]:
        """Take a request: its exchange, and what is still to be stored for it, if anything."""
        if isinstance(request, Record):
            return self._record(request, outlet, origin)
        if isinstance(request, Flush):
            return self._submissions.when_durable(request.id, outlet, self._flushed), None
        session = self._sessions.of(_process(origin().peer))
        if isinstance(request, Check):
            return _answered(request.id, outlet, self._check(session, request.tool)), None
        if isinstance(request, Sign):
            return self._sign(session, request, outlet), None
        if isinstance(request, Tokens):
            session.tokens += request.count
            said = {"total": session.tokens, "budget": self._gate.token_budget}
            return _answered(request.id, outlet, said), None
        return _answered(request.id, outlet, self._status(session)), None

    def _record(
        self, request: Record, outlet: Outlet, origin: Callable[[], Origin]
    ) -> tuple[Exchange, Work | None]:
        payload = request.payload.encode()
        judging = BatchJudgement
        fingerprint = self._anchor_in(payload)
        if fingerprint is None:
            judging = OpaqueJudgement
        elif fingerprint != request.fingerprint:
            return self._refused(
                request.id,
                outlet,
                Code.BAD_FINGERPRINT,
                "fingerprint is not the anchor_fingerprint of the payload",
            ), None
        submission = SubmitRequest(
            request.id, None, [payload], [payload.count(b":")], b"\\u003" in payload
        )
        return self._submissions.begin(submission, outlet, origin, _recorded, judging)

    def _anchor_in(self, payload: bytes) -> str | None:
        """The fingerprint of the witness that ``payload`` is; None where it is none."""
        if has_too_many_values(payload, self._submissions.limits):
            with suppress(*MALFORMED):  # and it is refused as such
                named: _Anchor = _decode_anchor(payload)
                return named.anchor_fingerprint
            return None
        try:
            return decode_witness(payload).anchor_fingerprint
        except FormatError:
            return None

    def _check(self, session: Session, tool: str) -> Mapping[str, object]:
        violation = self._gate.check(session, tool)
        if violation is None:
            return {"allowed": True}
        told: dict[str, object] = {
            "rule": violation.rule,
            "tool": violation.tool,
            "action": violation.action.value,
            "reason": violation.reason,
            "timestamp": time.time_ns() // 1_000_000,
        }
        if violation.context:
            told["context"] = violation.context
        return {"allowed": violation.action is not Action.BLOCKED, "violation": told}

    def _sign(self, session: Session, request: Sign, outlet: Outlet) -> Exchange:
        def refuse(code: Code, error: str) -> Exchange:
            return self._refused(request.id, outlet, code, error)

        key = self._settings.signing
        if key is None:
            return refuse(Code.SIGN_UNAVAILABLE, "no signing key is configured for this tenant")
        agent_id = request.agent_id
        if agent_id is not None:
            if agent_id == self._settings.own_agent_id:
                return refuse(Code.DENIED, "agentId is the agent's own; sign as yourself")
            if agent_id != (session.agent_id or agent_id):
                return refuse(Code.DENIED, "this process has signed as another agent before")
        if key.algorithm == ML_DSA_65 and not self._signatures.take():
            return refuse(
                Code.RATE_LIMITED, f"more than {ML_DSA_PER_SECOND} signatures a second are asked"
            )
        try:
            signature = sign_fingerprint(key.algorithm, key.key, request.payload, agent_id)
        except FormatError as error:
            return refuse(Code.INVALID_REQUEST, error.message)
        session.agent_id = session.agent_id or agent_id
        said: dict[str, object] = {"signature": signature, "algorithm": key.algorithm}
        if key.key_id is not None:
            said["keyId"] = key.key_id
        if key.key_version is not None:
            said["keyVersion"] = key.key_version
        return _answered(request.id, outlet, said)

    def _flushed(self) -> bytes:
        log = self._settings.log
        said: dict[str, object] = {"flushedSeq": -1 if log is None else log.newest}
        if log is not None and log.root is not None:
            said["merkleRoot"] = log.root
        return _members(said)

    def _status(self, session: Session) -> Mapping[str, object]:
        log = self._settings.log
        return {
            "uptime": int((self._now_s() - self._started) * 1000),
            "tokens": session.tokens,
            "violations": sum(self._gate.violations.values()),
            "walSeq": -1 if log is None else log.newest,
            "walCheckpoint": -1 if log is None else log.covered,
            "connections": self._counters.connections,
            "protocolVersion": PROTOCOL_VERSION,
        }

    def _refused(self, request_id: str, outlet: Outlet, code: Code, error: str) -> Exchange:
        return self._submissions.refuse(request_id, outlet, code, error)


class Allowance:
    """So many a second, and ``burst`` of them at once."""

    def __init__(self, per_second: float, burst: int, now_s: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._now_s = now_s
        self._left = float(burst)
        self._at = now_s()

    def take(self) -> bool:
        """Whether one more is allowed now; it is taken if so."""
        now = self._now_s()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _process(peer: Peer) -> Hashable:
    """The peer's process. Those of a user whose processes cannot be told apart share a session."""
    return (peer.uid, None) if peer.start is None else (peer.pid, peer.start)


def _recorded(_: BatchJudgement, first_seq: int | None, rejections: Sequence[Rejection]) -> bytes:
    for rejection in rejections:
        return refused(Code(rejection.code), rejection.error)
    return b'"ok":true,"seq":%d' % (first_seq or 0)


def _answered(request_id: str, outlet: Outlet, said: Mapping[str, object]) -> Exchange:
    exchange = Exchange(request_id, outlet)
    exchange.answer(_members(said))
    return exchange


def _members(said: Mapping[str, object]) -> bytes:
    return b'"ok":true,' + _encode(said)[1:-1]
