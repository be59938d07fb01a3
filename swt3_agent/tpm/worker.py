"""Main of the process that owns the TPM: one socket, one request after the other.

``child`` starts it with the descriptor of an inherited socket as its argument. It ends when the
agent closes that socket or dies, even while a TPM call blocks.
"""

import os
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from swt3_agent.errors import TpmError
from swt3_agent.tpm.messages import (
    Answer,
    Done,
    Failed,
    Open,
    Request,
    receive_frame,
    send_frame,
)
from swt3_agent.tpm.reach import DEFAULT_TCTI, check_reachable

if TYPE_CHECKING:
    from swt3_agent.tpm.owner import Owner

GRACE_S = 3.0

_requests = msgspec.msgpack.Decoder(Request)
_encode = msgspec.msgpack.encode


def main() -> None:
    """Serve until the agent is gone, then leave the TPM as it was found."""
    # The service manager signals all processes of the unit at once, but the agent still has a
    # closing checkpoint to make: it ends us by closing the socket.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        # Not PR_SET_PDEATHSIG: that fires when the *thread* that started us ends.
        threading.Thread(target=_end_with_the_agent, args=(connection,), daemon=True).start()
        _serve(connection)


def _end_with_the_agent(connection: socket.socket) -> None:
    """Give a TPM call that blocks ``GRACE_S`` once the agent is gone, then end the process."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.poll()
    time.sleep(GRACE_S)
    os._exit(1)


def _serve(connection: socket.socket) -> None:
    owner = None
    try:
        while True:
            request = _requests.decode(receive_frame(connection))
            answer: Answer
            try:
                if isinstance(request, Open):
                    owner = _owner(request)
                if owner is None:
                    raise ValueError("the first request must open the TPM")
                answer = Done(msgspec.Raw(_encode(owner.answer(request))))
            except TpmError as error:
                answer = Failed(error.code, error.message, error.remedy)
            send_frame(connection, _encode(answer))
    except (EOFError, ConnectionError):
        return
    finally:
        if owner is not None:
            owner.close()


def _owner(request: Open) -> "Owner":
    """The bindings are loaded last: a node without a TPM needs no TPM software either."""
    check_reachable(request.tcti or DEFAULT_TCTI)
    try:
        from swt3_agent.tpm.owner import Owner
    except ImportError as error:
        raise TpmError(
            "TPM_STACK",
            f"the TPM software stack cannot be loaded: {error}",
            remedy="install libtss2-esys and the extra: pip install 'swt3-agent[agent]'",
        ) from error
    return Owner(request)
