"""What the daemon says of custody, and what it does for who takes it over."""

from typing import Any

from swt3_agent.daemon.node import Node


def custody_view(node: Node) -> dict[str, Any]:
    """``custody`` of ``status --json`` (docs/formats.md, "JSON")."""
    lack = node.custody.lack
    return {
        "format": node.config.custody.format,
        "directory": str(node.custody.directory),
        "recipients": list(node.custody.recipients),
        "entries": node.custody.entries,
        "lack": None if lack is None else lack.to_json(),
    }


def rotate_custody(node: Node) -> dict[str, Any]:
    """Finish the open file, so that what is copied now is whole."""
    return {"finished": node.custody.rotate()}
