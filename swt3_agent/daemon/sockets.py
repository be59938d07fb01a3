"""The two sockets of the daemon, listening before anything is recorded: a start that cannot
succeed leaves nothing in the log."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.config import DEFAULT_SOCKET, Config
from swt3_agent.daemon.control import OPERATORS
from swt3_agent.errors import StateError
from swt3_agent.relay.intake import Listener, listen

RUNTIME_DIRECTORY = DEFAULT_SOCKET.parent


@dataclass(frozen=True, slots=True)
class Sockets:
    """Both listen: what connects waits until it is served."""

    intake: Listener
    control: Listener


@contextmanager
def open_sockets(config: Config) -> Iterator[Sockets]:
    """The sockets that ``config`` names; they and their files are gone afterwards.

    Raises StateError as :func:`swt3_agent.relay.intake.listen` does.
    """
    if config.socket.parent == RUNTIME_DIRECTORY:
        make_runtime_directory(RUNTIME_DIRECTORY)
    with ExitStack() as closing:
        intake = listen(config.socket)
        closing.callback(_close, intake)
        control = listen(config.control_socket, OPERATORS)
        closing.callback(_close, control)
        yield Sockets(intake, control)


def make_runtime_directory(directory: Path) -> None:
    """Make the directory of the default sockets, 0755, where nobody made it.

    Raises StateError SOCKET_PATH where we may not.
    """
    try:
        directory.mkdir()
        directory.chmod(0o755)  # whatever the umask: inference processes of any user go through it
    except FileExistsError:
        return
    except OSError as error:
        raise StateError(
            "SOCKET_PATH",
            f"the directory {directory} does not exist and cannot be made: {error.strerror}",
            remedy="start the agent as a service with RuntimeDirectory=swt3-agent, or set "
            "SWT3_AGENT_SOCKET (agent.socket) to a path in a directory of yours",
        ) from error


def _close(listener: Listener) -> None:
    listener.remove_file()
    listener.socket.close()
