"""Times as a reader says them."""

from datetime import datetime, timezone


def utc_text(utc_ms: int | None) -> str:
    """A time as a reader says it; a stranger may write any number."""
    if utc_ms is None:
        return "unknown"
    try:
        moment = datetime.fromtimestamp(utc_ms / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{utc_ms} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
