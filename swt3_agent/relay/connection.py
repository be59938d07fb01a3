"""One connection: request lines in, answer lines out, in order (docs/formats.md, "Intake").

Reading pauses while the peer has too much unanswered, or does not read its answers: what it sends
then waits in its own socket buffer and costs the agent nothing.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import cast

from swt3_agent.relay.answers import UNKNOWN_ID, Code, Exchange
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.origin import Origin, peer_of
from swt3_agent.relay.reception import Reception
from swt3_agent.relay.request import Broken, LineSplitter
from swt3_agent.relay.sharing import Admission, InputPool, Turns
from swt3_agent.relay.submissions import Submissions, Work

RECEIVE_BYTES = 256 * 1024
_REQUEST_COST = 512
"""Bytes that a request costs of its connection's turn besides its records."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections of one listener share. ``buffer`` is only used within one call."""

    listener: str
    tenant: str
    limits: IntakeLimits
    buffer: memoryview
    admission: "Admission[Connection]"
    pool: InputPool
    turns: Turns
    submissions: Submissions
    reception: Reception
    counters: IntakeCounters


class Connection(asyncio.BufferedProtocol):
    """The intake's end of one connection. Everything runs in the event loop."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._splitter = LineSplitter(shared.limits.max_request_bytes)
        self._accounted = 0
        self._exchanges: deque[Exchange] = deque()
        self._work: Work | None = None
        self._origin: Origin | None = None
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._writable = True
        self._ending = False
        self._unread_alarm: asyncio.TimerHandle | None = None
        self._unfinished_alarm: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is under way or has begun to arrive."""
        return bool(self._exchanges or self._work or self._splitter.held_bytes)

    @property
    def midway(self) -> bool:
        """Whether a request has been taken up and is not finished."""
        return self._work is not None

    @property
    def next_is_small(self) -> bool:
        """Whether the next request fits one turn."""
        lines = self._splitter.lines
        line = lines[0] if lines and self._work is None else b""
        return isinstance(line, Broken) or len(line) <= self._limits.bytes_per_turn

    @property
    def unfinished_bytes(self) -> int:
        """Size of the line whose end has not come yet."""
        return self._splitter.unfinished_bytes

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._limits.max_unread_answer_bytes)
        self._shared.counters.accepted += 1
        self._shared.counters.connections += 1
        self._shared.pool.join(self)
        leaves = self._shared.admission.admit(self)
        if leaves is not None:
            self._shared.counters.evicted += 1
            leaves.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending:
            return
        self._splitter.feed(self._shared.buffer[:nbytes].tobytes())
        self._shared.admission.heard(self)
        self._account()
        self._watch_unfinished()
        self._shared.turns.arrived(self)

    def eof_received(self) -> bool:
        self._splitter.end()
        self._account()
        self._watch_unfinished()
        self._ending = True
        self._shared.turns.arrived(self)
        return True  # what is in flight is still answered

    def pause_writing(self) -> None:
        self._writable = False
        self.steer()
        self._unread_alarm = asyncio.get_running_loop().call_later(
            self._limits.unread_answer_timeout_s, self.abort
        )

    def resume_writing(self) -> None:
        self._writable = True
        if self._unread_alarm is not None:
            self._unread_alarm.cancel()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        self._transport = None
        for alarm in (self._unread_alarm, self._unfinished_alarm):
            if alarm is not None:
                alarm.cancel()
        self._splitter.drop()  # a batch that is being judged is finished: others may wait for it
        self._account()
        self._exchanges.clear()
        self._shared.pool.leave(self)
        self._shared.admission.left(self)
        self._shared.counters.connections -= 1

    # The listener's other parts call these.

    def take_turn(self) -> bool:
        """Handle a bounded portion of what has arrived; whether there is more to do now."""
        budget = self._limits.bytes_per_turn
        while budget > 0 and self._has_work():
            budget -= _REQUEST_COST
            if self._work is None and not self.next_is_small:
                budget = 0  # to take it apart is a turn's work
            work = self._work or self._begin()
            if work is None:
                continue
            if budget > 0 and not work.over and not work.blocked:
                budget -= work.judgement.advance(budget)
                if work.judgement.done:
                    self._shared.submissions.submit(work)
                    work.over = True
            self._work = None if work.over else work
        self._account()
        self._send()
        return self._has_work()

    def resume(self) -> None:
        """Go on with the request that was waiting for a look-up."""
        self._shared.turns.add(self)

    def flush(self) -> None:
        """Send every answer whose turn it is, and go on with what had to wait for that."""
        self._send()
        if self._has_work():
            self._shared.turns.add(self)

    def steer(self) -> None:
        """Read on or stop reading."""
        if self._transport is None or self._ending:
            return
        reading = (
            self._writable
            and not self._shared.pool.full
            and len(self._exchanges) < self._limits.max_unanswered_per_connection
            and self._splitter.waiting_bytes < RECEIVE_BYTES
        )
        if reading == self._reading:
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def cut_off(self) -> None:
        """Give up the unfinished line, telling the peer why."""
        self.finish(Code.BUSY, "too much waits for its end at this node; send smaller requests")

    def finish(self, code: Code | None = None, error: str = "") -> None:
        """Take no further request, and close once those under way are answered."""
        if self._transport is not None and self._reading and not self._ending:
            self._transport.pause_reading()
        self._ending = True
        self._splitter.drop()
        self._account()
        self._watch_unfinished()
        if code is not None:
            self._refuse(code, error)
        self._send()

    def abort(self) -> None:
        """Close now, whatever is in flight."""
        if self._transport is not None:
            self._transport.abort()

    # Its own business.

    def _has_work(self) -> bool:
        if self._work is not None:
            return not self._work.blocked
        return (
            bool(self._splitter.lines)
            and self._writable
            and len(self._exchanges) < self._limits.max_unanswered_per_connection
        )

    def _begin(self) -> Work | None:
        """Take up the next line; what is left to do for it, if anything."""
        line = self._splitter.take()
        if line is Broken.TOO_LONG:
            self._refuse(
                Code.TOO_LARGE, f"a request is longer than {self._limits.max_request_bytes} bytes"
            )
            return None
        if line is Broken.UNFINISHED:
            self._refuse(Code.INVALID_REQUEST, "the request does not end in a newline")
            return None
        exchange, work = self._shared.reception.begin(line, self, self._whence)
        self._exchanges.append(exchange)
        return work

    def _refuse(self, code: Code, error: str) -> None:
        self._exchanges.append(self._shared.submissions.refuse(UNKNOWN_ID, self, code, error))

    def _whence(self) -> Origin:
        if self._origin is None:
            assert self._transport is not None  # noqa: S101  # lines come from a transport
            peer = peer_of(self._transport.get_extra_info("socket"))
            self._origin = Origin(self._shared.listener, self._shared.tenant, peer)
        return self._origin

    def _send(self) -> None:
        ready: list[bytes] = []
        while self._exchanges and (line := self._exchanges[0].line) is not None:
            ready.append(line)
            self._exchanges.popleft()
        if self._transport is None:
            return
        if ready:
            self._transport.write(b"".join(ready))
        if self._ending and not self._exchanges and not self._splitter.lines:
            self._transport.close()
        else:
            self.steer()

    def _account(self) -> None:
        more = self._splitter.held_bytes - self._accounted
        if more:
            self._accounted += more
            self._shared.pool.account(more)

    def _watch_unfinished(self) -> None:
        """A line that has begun must end in time, or its memory would be held for ever."""
        if not self._splitter.inside_line:
            if self._unfinished_alarm is not None:
                self._unfinished_alarm.cancel()
                self._unfinished_alarm = None
        elif self._unfinished_alarm is None:
            self._unfinished_alarm = asyncio.get_running_loop().call_later(
                self._limits.unfinished_request_timeout_s, self._unfinished_too_long
            )

    def _unfinished_too_long(self) -> None:
        self._unfinished_alarm = None
        if not self._reading:  # the rest may well have been sent
            self._watch_unfinished()
            return
        self.finish(Code.INVALID_REQUEST, "the end of a request did not come in time")
