"""Where each request of a connection goes: to the submissions, or to the sentinel's operations."""

from collections.abc import Callable

from swt3_agent.relay.answers import Exchange, Outlet, Refusal
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.origin import Origin
from swt3_agent.relay.request import SubmitRequest, parse_request
from swt3_agent.relay.sentinel import Sentinel
from swt3_agent.relay.submissions import Submissions, Work


class Reception:
    """Takes the request lines of one listener."""

    def __init__(
        self,
        limits: IntakeLimits,
        submissions: Submissions,
        sentinel: Sentinel,
        counters: IntakeCounters,
    ) -> None:
        self._limits = limits
        self._submissions = submissions
        self._sentinel = sentinel
        self._counters = counters

    def begin(
        self, line: bytes, outlet: Outlet, origin: Callable[[], Origin]
    ) -> tuple[Exchange, Work | None]:
        """Take a request line: its exchange, and what is still to be judged for it, if anything."""
        self._counters.requests += 1
        request = parse_request(line, self._limits)
        if isinstance(request, SubmitRequest):
            return self._submissions.begin(request, outlet, origin)
        if isinstance(request, Refusal):
            refused = self._submissions.refuse(
                request.request_id, outlet, request.code, request.error
            )
            return refused, None
        return self._sentinel.begin(request, outlet, origin)
