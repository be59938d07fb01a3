"""Delivery of a node begun and ended: by the daemon, and where its settings change."""

from swt3_agent.daemon.delivery import Delivery
from swt3_agent.daemon.node import Node
from swt3_agent.relay.delivery.gate import Gate


def start_delivery(node: Node) -> None:
    """Deliver to the ledger of the node's settings; where there is none, nothing is opened."""
    config = node.config
    if config.ledger is None:
        return
    gate = Gate(config.tenant, config.clearing_level)
    node.delivery = Delivery(
        config.ledger, gate, node.journal, node.settlements, lambda: node.custody.lack
    )
    node.delivery.start()


def stop_delivery(node: Node) -> None:
    """End it, where it was begun."""
    if node.delivery is not None:
        node.delivery.stop()
        node.delivery = None
