"""The process that owns the TPM, seen from the agent: start, ask within a deadline, end."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TypeVar

import msgspec

from swt3_agent.errors import TpmError
from swt3_agent.tpm.messages import Answer, Done, Request, receive_frame, send_frame

KILL_WAIT_S = 2.0
# Without the working directory on the path: whoever can write there must not choose our code.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path);"
    " from swt3_agent.tpm.worker import main; main()"
)

Result = TypeVar("Result")

_answers = msgspec.msgpack.Decoder(Answer)


class Child:
    """One worker process on the far end of a socket pair. Not thread-safe.

    Raises TpmError TPM_FAILED when no process can be started.
    """

    def __init__(self) -> None:
        self._killed = False
        self._connection, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "TSS2_LOG": "all+none"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Out of reach of the terminal: the agent needs its TPM for the closing checkpoint.
                start_new_session=True,
            )
        except OSError as error:
            self._connection.close()
            raise TpmError(
                "TPM_FAILED",
                f"no process can be started to own the TPM: {error}",
                remedy="see that the node has processes, memory and file descriptors to spare",
            ) from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether the process lives and nothing has gone wrong between us."""
        return not self._killed and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone and reaped; never waits."""
        return self._process.poll() is not None

    def ask(self, request: Request, result: type[Result], deadline: float) -> Result:
        """Send ``request`` and return its answer; ``deadline`` is of ``time.monotonic``.

        Raises the ``TpmError`` that the child answers, and kills the child with TPM_BUSY when the
        deadline passes, with TPM_FAILED when the child dies or answers nonsense.
        """
        try:
            self._set_timeout(deadline)
            send_frame(self._connection, msgspec.msgpack.encode(request))
            self._set_timeout(deadline)
            answer = _answers.decode(receive_frame(self._connection))
            if isinstance(answer, Done):
                return msgspec.msgpack.decode(answer.result, type=result)
        except TimeoutError as error:
            self.kill()
            raise TpmError(
                "TPM_BUSY",
                "the TPM did not answer in time; the process that waited for it was killed",
                remedy="see what else uses the TPM; raise the timeout if the TPM is slow",
            ) from error
        except (OSError, EOFError, ValueError) as error:
            self.kill()
            raise TpmError(
                "TPM_FAILED",
                f"the process that owns the TPM ended in the middle of a call ({error!r})",
                remedy="its last words are in the log; the next call starts another process",
            ) from error
        except BaseException:  # interrupted: the answer to come would be taken for the next one
            self.kill()
            raise
        raise answer.error()

    def _set_timeout(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)

    def close(self, timeout_s: float) -> None:
        """Let the child flush its handles and exit; kill it when that takes longer."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            return
        self.kill()

    def kill(self) -> None:
        """Kill the process, which cannot clean up while it waits for a TPM.

        One that the kernel holds inside a driver outlives even this for a while: ``has_ended``
        then stays False.
        """
        self._killed = True
        self._connection.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_WAIT_S)
