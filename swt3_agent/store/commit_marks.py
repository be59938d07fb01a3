"""Where a group commit begins and ends, told by the records themselves.

A commit is all or nothing: its first record carries FLAG_COMMIT_START, its last one ends it. After
a crash a commit without an end was never acknowledged and is cut whole, so that a producer who
sends its batch again finds either all of it or nothing.

The end is the lowest bit of ``received_ns``: 1 on the last record of a commit, 0 on all others. A
nanosecond is far below what the clock resolves, and no leaf covers it.
"""

_END = 1


def marked_time(received_ns: int, *, ends_commit: bool) -> int:
    """``received_ns`` as the record carries it."""
    return received_ns | _END if ends_commit else received_ns & ~_END


def ends_commit(received_ns: int) -> bool:
    """Whether the record with this time is the last of its commit."""
    return bool(received_ns & _END)
