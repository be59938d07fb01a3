"""What the intake takes, and how much of the node it may hold (docs/formats.md, "Intake")."""

import resource
from dataclasses import dataclass

_RESERVED_DESCRIPTORS = 128
"""File descriptors kept for everything else that the daemon does."""

_FEWEST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """The first two are pinned by docs/formats.md; the others bound what one listener costs.

    Sizes are bytes, times are seconds, and a cap ``per_connection`` is met by reading no further
    from that connection until it falls below it: the producer waits, nothing is lost.
    """

    max_records: int = 1000
    max_request_bytes: int = 4 * 1024 * 1024

    large_record_bytes: int = 64 * 1024
    max_values: int = 16_384
    """Values in one record beyond ``large_record_bytes``: the rest of the loop waits for one."""

    answer_within_s: float = 0.040
    """After this the answer is OUTCOME_UNKNOWN; producers give up on an answer at 0.050."""

    max_connections: int = 4096
    max_unanswered_per_connection: int = 64
    max_unread_answer_bytes: int = 256 * 1024
    unread_answer_timeout_s: float = 10.0
    unfinished_request_timeout_s: float = 30.0
    max_buffered_bytes: int = 64 * 1024 * 1024
    """Received but not yet handled, over all connections of the listener."""

    bytes_per_turn: int = 32 * 1024
    """What one connection may have handled before the others have their turn."""
    turn_budget_s: float = 0.004
    """How long turns are served before the loop looks after sockets and commits again."""

    max_remembered_batches: int = 65_536
    max_remembered_bytes: int = 16 * 1024 * 1024
    max_remembered_clients: int = 16_384

    def connections(self) -> int:
        """``max_connections``, lowered to what the process's open-file limit leaves."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self.max_connections
        return max(_FEWEST_CONNECTIONS, min(self.max_connections, soft - _RESERVED_DESCRIPTORS))
