"""One request and its answer, in the place that the order of answers gives it."""

from typing import Protocol

from swt3_agent.relay.answers import answer_line


class Outlet(Protocol):
    """A connection, as far as answers are concerned."""

    def flush(self) -> None:
        """Send every answer that is ready and whose turn it is."""
        ...

    def resume(self) -> None:
        """Go on with the request that was waiting for a look-up."""
        ...


class Exchange:
    """``line`` is the answer once there is one; the first to give it wins."""

    __slots__ = ("line", "outlet", "request_id")

    def __init__(self, request_id: str, outlet: Outlet) -> None:
        self.request_id = request_id
        self.outlet = outlet
        self.line: bytes | None = None

    def answer(self, body: bytes) -> None:
        """Answer if there is no answer yet; the caller flushes the outlet."""
        if self.line is None:
            self.line = answer_line(self.request_id, body)
