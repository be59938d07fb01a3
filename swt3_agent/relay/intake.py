"""The intake: a Unix socket on which inference processes hand in their anchors.

docs/formats.md, "Intake". A listener is an identity: all that arrives on this socket is of one
tenant. The path of a request: ``framing`` cuts lines, ``request`` takes one apart, ``judgement``
decides on its records, ``submissions`` stores them once and answers in time, ``connection`` keeps
the order; ``turns``, ``admission`` and ``input_pool`` see to it that nobody is hurt by another.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

from swt3_agent.relay.admission import Admission
from swt3_agent.relay.connection import RECEIVE_BYTES, Connection, Shared
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.input_pool import InputPool
from swt3_agent.relay.judgement import Rules
from swt3_agent.relay.limits import IntakeLimits
from swt3_agent.relay.listening import BACKLOG, Listener, listen
from swt3_agent.relay.sink import RecordSink
from swt3_agent.relay.submissions import Submissions
from swt3_agent.relay.turns import Turns

_PATIENCE_S = 1.0
"""How long a stop waits for peers to take their last answers."""


class IntakeServer:
    """One listening socket. ``start`` and ``stop`` it in the event loop that shall serve it.

    ``inherited`` is a socket that listens already, from a service manager; its file is left alone.
    """

    def __init__(
        self,
        path: Path,
        sink: RecordSink,
        *,
        tenant: str,
        clearing_level: int,
        limits: IntakeLimits | None = None,
        listener: str = "intake",
        inherited: socket.socket | None = None,
    ) -> None:
        self.path = path
        self.counters = IntakeCounters()
        self._sink = sink
        self._rules = Rules(tenant, clearing_level, limits or IntakeLimits())
        self._listener = listener
        self._inherited = inherited
        self._file: Listener | None = None
        self._server: asyncio.Server | None = None
        self._shared: Shared | None = None

    async def start(self) -> None:
        """Listen. Raises StateError as :func:`swt3_agent.relay.listening.listen` does."""
        sock = self._inherited
        if sock is None:
            self._file = listen(self.path)
            sock = self._file.socket
        shared = self._shared = self._share()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(shared),
            sock=sock,
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        """Accept nothing more, answer what is in flight, and close."""
        if self._server is None or self._shared is None:
            return
        if self._file is not None:
            self._file.remove_file()
        self._server.close()
        for connection in list(self._shared.admission):
            connection.finish()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._shared.admission.until_empty(), _PATIENCE_S)
        for connection in list(self._shared.admission):
            connection.abort()
        await self._shared.admission.until_empty()
        self._shared.submissions.close()
        self._server = self._shared = self._file = None

    def _share(self) -> Shared:
        limits = self._rules.limits
        loop = asyncio.get_running_loop()
        return Shared(
            listener=self._listener,
            tenant=self._rules.tenant,
            limits=limits,
            buffer=memoryview(bytearray(RECEIVE_BYTES)),
            admission=Admission(limits.connections()),
            pool=InputPool(limits.max_buffered_bytes),
            turns=Turns(loop, limits.turn_budget_s),
            submissions=Submissions(self._sink, self._rules, self.counters),
            counters=self.counters,
        )
