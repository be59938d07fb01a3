"""Moments as people and their tools read them."""

from datetime import datetime, timezone


def iso_time(utc_ms: int) -> str:
    """``2026-01-31T23:59:59.123Z``."""
    moment = datetime.fromtimestamp(utc_ms / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
