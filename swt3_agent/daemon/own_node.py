"""A node, or its log alone, opened for one question where no daemon runs.

Apart from :mod:`swt3_agent.daemon.asking`, so that asking a daemon imports none of it: it is most
of the agent, and three times as long in coming as the answer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon.baseline import stopped_baseline_view
from swt3_agent.daemon.history import Question, stopped_history
from swt3_agent.daemon.keys import stopped_keys_view
from swt3_agent.daemon.merkle import stopped_merkle
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_counter import step_once_in_boot
from swt3_agent.daemon.operations import operations
from swt3_agent.daemon.queue import stopped_queue_view
from swt3_agent.daemon.views import stopped_view

STOPPED_VIEWS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "status": stopped_view,
    "history": lambda config, **question: stopped_history(config, Question(**question)),
    "merkle": stopped_merkle,
    "queue": stopped_queue_view,
    "keys": stopped_keys_view,
    "baseline": stopped_baseline_view,
}
"""What the log answers without starting the node, each from the configuration and arguments."""


@contextmanager
def own_operations(config: Config) -> Iterator[Mapping[str, Callable[..., Any]]]:
    """The operations of a node that is open meanwhile. Raises AgentError."""
    with Node(config) as node:
        step_once_in_boot(node.counter, node.boot_id)
        yield operations(node)
