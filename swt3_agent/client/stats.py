"""What became of the anchors of one client."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClientStats:
    """Counts of anchors: ``emitted = delivered + rejected + dropped + pending``.

    ``rejected`` were malformed or refused by the agent; ``dropped`` found no room, or no agent in
    time; ``pending`` wait to be sent or answered.
    """

    emitted: int
    delivered: int
    rejected: int
    dropped: int
    pending: int
