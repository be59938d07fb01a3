"""Canonical JSON: one value, one sequence of bytes (RFC 8785)."""

import rfc8785

from swt3_agent.errors import FormatError


def canonical_json(value: object) -> bytes:
    """``value`` as RFC 8785 bytes: sorted keys, no white space, ECMAScript numbers, UTF-8.

    Raises FormatError (NOT_CANONICAL) for what has no such form: NaN, infinity, integers beyond
    2^53 - 1, lone surrogates, keys that are no text, and types that JSON does not have.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it judges the value itself
    except (rfc8785.CanonicalizationError, RecursionError, ValueError) as error:
        raise FormatError(
            "NOT_CANONICAL",
            f"a value has no canonical JSON form: {error}",
            remedy="use text, integers up to 2^53 - 1, finite numbers, lists and objects only",
        ) from error
