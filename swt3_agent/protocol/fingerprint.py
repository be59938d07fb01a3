"""SWT3 fingerprints: minting, matching and the truncated content hash.

A fingerprint is the first 48 bits of a SHA-256 over tenant, procedure, three factors and a
millisecond timestamp (docs/protocol.md 1). It binds nothing else: no verdict, no model, no
content (docs/protocol.md 1.6). Standard library only, because inference processes import it.
"""

import math
import re
from enum import Enum
from functools import lru_cache
from hashlib import sha256

from swt3_agent.errors import FormatError

Factor = int | float

FINGERPRINT_CHARS = 12
CONTENT_HASH_CHARS = 16
MAX_SAFE_INTEGER = 2**53 - 1  # the last integer that both Python and ECMAScript render alike

_MINTABLE_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNUSABLE_IN_TENANT = re.compile("[:\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PROCEDURE = re.compile(r"[A-Z][A-Z0-9]{0,7}-[A-Z0-9]{1,16}(\.[0-9]{1,3})?")


class Rendering(Enum):
    """Which spelling of the preimage a fingerprint matched (docs/protocol.md 1.2, 1.3)."""

    PYTHON = "python"
    ECMASCRIPT = "ecmascript"
    LEGACY = "legacy"


def mint_fingerprint(tenant: str, procedure: str, a: int, b: int, c: int, timestamp_ms: int) -> str:
    """The 12 lowercase hex characters that name an anchor (docs/protocol.md 1.1).

    Factors are integers of magnitude up to 2^53 - 1, the domain in which every implementation
    renders numbers alike; ``timestamp_ms`` counts milliseconds of Unix time.

    Raises FormatError (BAD_FIELD) for anything else, ``bool`` and ``float`` included, and for a
    tenant or procedure outside the minting sets (docs/protocol.md 1.4).
    """
    return fingerprint_digest(tenant, procedure, a, b, c, timestamp_ms)[:FINGERPRINT_CHARS]


def fingerprint_digest(
    tenant: str, procedure: str, a: int, b: int, c: int, timestamp_ms: int
) -> str:
    """The whole 64 hex characters of which the wire carries 12. Same rules as minting."""
    head = _minting_head(tenant, procedure)
    for name, factor in (("factor_a", a), ("factor_b", b), ("factor_c", c)):
        if type(factor) is not int or abs(factor) > MAX_SAFE_INTEGER:
            raise FormatError(
                "BAD_FIELD",
                f"{name} is {_shown(factor)}, not an integer of magnitude up to 2^53 - 1",
                remedy="scale fractions to integers before minting, for instance 0.82 to 820",
            )
    if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= MAX_SAFE_INTEGER:
        raise _bad_timestamp(timestamp_ms)
    return sha256(f"{head}{a}:{b}:{c}:{timestamp_ms}".encode()).hexdigest()


def fingerprint_after(head: str, a: int, b: int, c: int, timestamp_ms: int) -> str:
    """The fingerprint whose preimage begins with ``head``, for a caller that checked the rest.

    Factors are integers as for minting; ``head`` is that of :func:`preimage_head`.
    """
    return sha256(f"{head}{a}:{b}:{c}:{timestamp_ms}".encode()).hexdigest()[:FINGERPRINT_CHARS]


def match_fingerprint(
    tenant: str,
    procedure: str,
    a: Factor,
    b: Factor,
    c: Factor,
    timestamp_ms: int,
    claimed: str,
) -> Rendering | None:
    """Which rendering reproduces ``claimed``, or None where none does.

    Producers differ in how they print the same number, so the canonical formula is tried with
    Python's rendering, then with ECMAScript's where that differs, then the legacy formula
    (docs/protocol.md 1.2, 1.3). Factors may be integers or finite doubles.

    Raises FormatError (BAD_FIELD) where no preimage exists: NaN, infinity, ``bool``, an integer
    beyond the range of a double, a timestamp that is no integer, or a tenant or procedure with
    which two different records would share one preimage (docs/protocol.md 1.4).
    """
    head = preimage_head(tenant, procedure)
    if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= MAX_SAFE_INTEGER:
        raise _bad_timestamp(timestamp_ms)
    tail = ":".join([*map(python_number, (a, b, c)), str(timestamp_ms)])
    if _sha256_hex(head + tail)[:FINGERPRINT_CHARS] == claimed:
        return Rendering.PYTHON
    return _match_other_renderings(head, tenant, procedure, (a, b, c), timestamp_ms, claimed)


def content_hash(text: str) -> str:
    """First 16 hex characters of SHA-256 over the UTF-8 text (docs/protocol.md 3.1).

    Raises FormatError (BAD_FIELD) for text with lone surrogates, which has no UTF-8 form.
    """
    return _sha256_hex(text)[:CONTENT_HASH_CHARS]


def check_tenant(tenant: str) -> str:
    """``tenant`` itself if anchors may be minted for it (docs/protocol.md 1.4).

    Raises FormatError (BAD_FIELD) otherwise.
    """
    if not _MINTABLE_TENANT.fullmatch(tenant):
        raise FormatError(
            "BAD_FIELD",
            f"tenant {tenant!a} is not 1 to 64 of the characters A-Z a-z 0-9 _ -",
            remedy="name the tenant with letters, digits, underscore and hyphen only",
        )
    return tenant


def check_procedure(procedure: str) -> str:
    """``procedure`` itself if it is a well-formed id such as ``AI-INF.1`` (docs/protocol.md 1.4).

    Raises FormatError (BAD_FIELD) otherwise. That an id is well formed does not mean that this
    agent knows a verdict rule for it: see :func:`swt3_agent.protocol.procedures.judge`.
    """
    if not _PROCEDURE.fullmatch(procedure):
        raise FormatError(
            "BAD_FIELD",
            "procedure_id is not of the form FAMILY-NAME.NUMBER",
            remedy="use a procedure id of the SWT3 catalogue, for instance AI-INF.1",
        )
    return procedure


def is_relayable_tenant(tenant: str) -> bool:
    """Whether records of others can be checked under this tenant (docs/protocol.md 1.4).

    Wider than the minting set: any non-empty text without colon, control character or surrogate.
    """
    return bool(tenant) and not _UNUSABLE_IN_TENANT.search(tenant)


def python_number(value: Factor) -> str:
    """The number as the Python SDK prints it into the preimage (docs/protocol.md 1.3).

    Raises FormatError (BAD_FIELD) for ``bool``, NaN, infinity and integers beyond a double.
    """
    if type(value) is float and value.is_integer():
        return str(int(value))
    _check_factor(value)
    return repr(value)


def ecmascript_number(value: Factor) -> str:
    """The number as Number::toString of ECMA-262 prints it (docs/protocol.md 1.3).

    An integer is first rounded to the nearest double, as a JSON parser in ECMAScript does. Both
    languages print the shortest digits that read back as the same double, so only the place of
    the point and the exponent have to be worked out from ``repr``.

    Raises FormatError (BAD_FIELD) for ``bool``, NaN, infinity and integers beyond a double.
    """
    _check_factor(value)
    number = float(value)
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, point = _shortest_digits(abs(number))
    count = len(digits)
    if count <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}e{point - 1:+d}"


def _shortest_digits(number: float) -> tuple[str, int]:
    """Significant digits and the place of the decimal point: value = 0.DIGITS x 10^point."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)
    significant = digits.lstrip("0")
    return significant.rstrip("0"), point - (len(digits) - len(significant))


def _match_other_renderings(
    head: str,
    tenant: str,
    procedure: str,
    factors: tuple[Factor, Factor, Factor],
    timestamp_ms: int,
    claimed: str,
) -> Rendering | None:
    tail = ":".join([*map(ecmascript_number, factors), str(timestamp_ms)])
    if _sha256_hex(head + tail)[:FINGERPRINT_CHARS] == claimed:
        return Rendering.ECMASCRIPT
    # The legacy formula was only ever published in an ECMAScript library.
    if _sha256_hex(f"{procedure}:{tenant}:{tail}")[:FINGERPRINT_CHARS] == claimed:
        return Rendering.LEGACY
    return None


# The constant part of a producer's preimages is checked once, not for every record.


@lru_cache(maxsize=4096)
def _minting_head(tenant: str, procedure: str) -> str:
    return f"WITNESS:{check_tenant(tenant)}:{check_procedure(procedure)}:"


@lru_cache(maxsize=4096)
def preimage_head(tenant: str, procedure: str) -> str:
    """The part of a preimage that the records of one producer have in common, colon included.

    Raises FormatError (BAD_FIELD) as :func:`match_fingerprint` does.
    """
    if not is_relayable_tenant(tenant):
        raise FormatError(
            "BAD_FIELD",
            f"tenant {tenant[:64]!a} is empty or holds a colon, control character or surrogate",
            remedy="configure the tenant under which the producer mints its anchors",
        )
    return f"WITNESS:{tenant}:{check_procedure(procedure)}:"


def _check_factor(value: Factor) -> None:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return
    except OverflowError:
        pass  # an integer that no double can hold
    raise FormatError(
        "BAD_FIELD",
        f"factor {_shown(value)} is neither an integer nor a finite double",
        remedy="send factors as finite JSON numbers",
    )


def _bad_timestamp(timestamp_ms: object) -> FormatError:
    return FormatError(
        "BAD_FIELD",
        f"fingerprint_timestamp_ms is {_shown(timestamp_ms)}, not whole milliseconds",
        remedy="send milliseconds of Unix time as a JSON integer",
    )


def _shown(value: object) -> str:
    """A hostile number, bounded: printing 10^4300 would itself be refused or slow."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)[:64]


def _sha256_hex(text: str) -> str:
    try:
        return sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise FormatError(
            "BAD_FIELD",
            f"text has a lone surrogate at character {error.start} and cannot be hashed",
            remedy="send well-formed Unicode text",
        ) from error
