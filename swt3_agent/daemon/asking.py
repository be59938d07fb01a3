"""Who answers what the command line asks: the daemon, or the node or its log where none runs.

Either way it is the same code that answers (:mod:`swt3_agent.daemon.operations`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon import control
from swt3_agent.errors import RemoteError, StateError
from swt3_agent.store.state import StateDirectory, existing_layout

_MAY_BEGIN_A_LOG = frozenset({"attest"})
"""Where there is no log yet, there is nothing to prove, and no key to quote with."""

Ask = Callable[[str, Mapping[str, Any]], Any]
"""An operation by name, with its arguments; its answer."""


def ask(config: Config, operation: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Ask the daemon that holds the state directory; where none does, open the node ourselves.

    Raises AgentError: what the operation raised, wherever it ran; StateError ``STATE_ABSENT``
    where an operation that only shows or proves would have to begin a log for it; ConfigError where
    one that mints lacks what the policy demands of every anchor.
    """
    if control_socket := _daemon_of(config):
        return control.call(control_socket, operation, arguments, timeout_s)
    if operation in _MAY_BEGIN_A_LOG:
        config.refuse_incomplete()
    else:
        existing_layout(config.state_dir)
    from swt3_agent.daemon.own_node import own_operations

    with own_operations(config) as answers:
        return answers[operation](**arguments)


@contextmanager
def asking(config: Config, timeout_s: float) -> Iterator[Ask]:
    """``ask`` for several questions in a row, of one node: where no daemon runs, it stays open.

    Raises as ``ask``.
    """
    if control_socket := _daemon_of(config):
        yield partial(control.call, control_socket, timeout_s=timeout_s)
        return
    existing_layout(config.state_dir)
    from swt3_agent.daemon.own_node import own_operations

    with own_operations(config) as answers:
        yield lambda operation, arguments: answers[operation](**arguments)


def look(
    config: Config, operation: str, arguments: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    """The daemon's own view; where none runs, what the log says, without starting the node.

    Raises AgentError.
    """
    if control_socket := _daemon_of(config):
        answer: dict[str, Any] = control.call(control_socket, operation, arguments, timeout_s)
        return answer
    from swt3_agent.daemon.own_node import STOPPED_VIEWS

    return STOPPED_VIEWS[operation](config, **arguments)


def tell(config: Config, operation: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Give an order that only a running daemon can follow. Raises AgentError."""
    control_socket = _daemon_of(config)
    if control_socket is None:
        raise StateError(
            "NOT_RUNNING",
            f"no agent runs in {config.state_dir}",
            remedy="start it: `systemctl start swt3-agent`",
        )
    return control.call(control_socket, operation, arguments, timeout_s)


def begins_a_log(config: Config) -> bool:
    """Whether there is no state yet, so that an ``attest`` without a daemon would begin a log."""
    try:
        existing_layout(config.state_dir)
    except StateError as error:
        return error.code == "STATE_ABSENT"
    return False


def _daemon_of(config: Config) -> Path | None:
    """The control socket of the daemon that holds the state directory, if one does."""
    try:
        holder = StateDirectory.peek(config.state_dir)
    except StateError as error:
        # An operator may use the socket and not look into the state directory.
        if error.code == "STATE_DENIED" and not _is_gone(config.control_socket):
            return config.control_socket
        raise
    if holder is None:
        return None
    if holder.control is None:
        raise StateError(
            "STATE_LOCKED",
            f"pid {holder.pid} holds {config.state_dir} and answers no questions (yet)",
            remedy="try again in a moment: it is starting, stopping, or a verb of its own",
        )
    control_socket = Path(holder.control)
    if _is_gone(control_socket):
        raise RemoteError(
            "CONTROL_GONE",
            f"pid {holder.pid} holds {config.state_dir}, but its control socket"
            f" {control_socket} is gone",
            remedy="restart that daemon, unless it is stopping anyway:"
            " `systemctl restart swt3-agent`",
        )
    return control_socket


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:  # not for us to see: connecting will say why
        return False
    return False
