"""What the daemon says of custody, and what it does for who takes it over."""

from typing import Any

from swt3_agent.daemon.node import Node
from swt3_agent.store.custody.opening import custody_directory, read_recipients
from swt3_agent.store.state import Layout


def custody_view(node: Node) -> dict[str, Any]:
    """``custody`` of ``status --json`` (docs/formats.md, "JSON")."""
    settings = node.config.custody
    lack = node.custody.lack
    return {
        "format": settings.format,
        "directory": str(custody_directory(settings, Layout(node.config.state_dir))),
        "recipients": [recipient.key_id for recipient in read_recipients(settings)],
        "entries": node.custody.entries,
        "lack": None
        if lack is None
        else {"code": lack.code, "detail": lack.detail, "remedy": lack.remedy},
    }


def rotate_custody(node: Node) -> dict[str, Any]:
    """Finish the open file, so that what is copied now is whole."""
    return {"finished": node.custody.rotate()}
