"""Keeps one child that owns the TPM: turns, deadlines, and a new child after one that ended."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from swt3_agent.errors import TpmError
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.child import Child
from swt3_agent.tpm.messages import Open, Request, TpmIdentity

logger = logging.getLogger(__name__)

CLOSE_WAIT_S = 5.0

Result = TypeVar("Result")


class Supervisor:
    """Thread-safe. ``request`` is what every child is opened with; see ``client.Tpm``."""

    def __init__(self, request: Open, timeout_s: float) -> None:
        self._request = request
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._ends = math.inf
        self._closed = False
        self._child: Child | None = None
        self._identity: TpmIdentity | None = None
        # A later child must find the key of the first: one that vanished is not made again.
        self._expected_ak = request.expected_ak

    @property
    def process_id(self) -> int | None:
        """The process id of the child; None where there is none."""
        child = self._child
        return child.pid if child is not None and child.is_usable else None

    def open(self) -> TpmIdentity:
        """The identity that the first child found, or the first since a key was adopted."""
        with self._turn() as deadline:
            return self._open(deadline)

    def make_replacement(self) -> TpmIdentity:
        """The identity with a new key, which no child is to sign with until it is adopted."""
        with self._turn() as deadline:
            self._end_child()
            self._refuse_beside_another()
            self._child = Child()
            try:
                return self._child.ask(
                    msgspec.structs.replace(self._request, expected_ak=b"", replace_ak=True),
                    TpmIdentity,
                    deadline,
                )
            finally:
                self._end_child()

    def adopt(self, ak: bytes) -> TpmIdentity:
        """The identity with this key, which a new child finds, and all later ones."""
        with self._turn() as deadline:
            self._end_child()
            self._identity, self._expected_ak = None, ak
            return self._open(deadline)

    def call(
        self, request: Request, result: type[Result], *, before: Sequence[Request] = ()
    ) -> Result:
        """The answer to ``request``, of the type that belongs to it.

        ``before``: its earlier parts, in one turn with it; their answers say nothing.
        """
        with self._turn() as deadline:
            child = self._ready_child(deadline)
            for part in before:
                child.ask(part, type(None), deadline)
            return child.ask(request, result, deadline)

    def end_within(self, seconds: float) -> None:
        """As ``client.Tpm.end_within``."""
        self._ends = time.monotonic() + seconds

    def close(self) -> None:
        """End the child; whoever waits for a turn is refused."""
        self._closed = True
        with self._lock:
            self._end_child()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[float]:
        """Wait for the turn; gives the deadline of the call."""
        wait_s = min(self._timeout_s, max(self._ends - time.monotonic(), 0.0))
        if not self._lock.acquire(timeout=wait_s):
            raise TpmError(
                "TPM_BUSY",
                f"another call has held the TPM for {wait_s:g} s",
                remedy="try again later",
            )
        try:
            if self._closed:
                raise TpmError("TPM_FAILED", "the TPM was closed", remedy="open it again")
            yield min(time.monotonic() + self._timeout_s, self._ends)
        finally:
            self._lock.release()

    def _open(self, deadline: float) -> TpmIdentity:
        self._ready_child(deadline)
        assert self._identity is not None  # noqa: S101  # a ready child has told it
        return self._identity

    def _ready_child(self, deadline: float) -> Child:
        """A child that has opened the TPM: the one that lives, else a new one."""
        if self._child is not None:
            if self._child.is_usable:
                return self._child
            pid = self._child.pid
            self._refuse_beside_another()
            logger.warning("the TPM's process ended %s", fields(Event.TPM_CHILD_ENDED, pid=pid))
        self._child = Child()
        request = msgspec.structs.replace(self._request, expected_ak=self._expected_ak)
        try:
            identity = self._child.ask(request, TpmIdentity, deadline)
        except TpmError:
            self._end_child()
            raise
        self._identity = self._identity or identity
        self._expected_ak = self._identity.ak_public
        return self._child

    def _refuse_beside_another(self) -> None:
        """A killed process that the kernel still holds keeps the TPM: no second one beside it."""
        child = self._child
        if child is None:
            return
        if not child.has_ended:
            raise TpmError(
                "TPM_BUSY",
                f"process {child.pid} is stuck in the TPM driver and does not end",
                remedy="if it stays so, the TPM hangs: look at the kernel log, reboot the node",
            )
        child.kill()

    def _end_child(self) -> None:
        if self._child is None:
            return
        if self._child.is_usable:
            self._child.close(CLOSE_WAIT_S)
        else:
            self._child.kill()
        if self._child.has_ended:
            self._child = None
