"""Values of PCRs as JSON holds them: hex by decimal index, in every format that has them."""

from collections.abc import Mapping


def pcrs_text(values: Mapping[int, bytes]) -> dict[str, str]:
    """Register values as JSON holds them, in the order of the registers."""
    return {str(index): value.hex() for index, value in sorted(values.items())}


def pcrs_from(text: Mapping[str, str]) -> dict[int, bytes]:
    """Register values by index. Raises ValueError for what is no number, or no hex."""
    return {int(index): bytes.fromhex(value) for index, value in text.items()}
