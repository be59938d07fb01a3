"""Wire signatures of anchors (docs/protocol.md 7).

They cover the 48 bits of the fingerprint and the agent id, nothing else: what a record says beyond
that is covered by the log (docs/formats.md, "Log leaf").
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from swt3_agent.errors import FormatError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

HMAC_SHA256 = "hmac-sha256"
ML_DSA_65 = "ml-dsa-65"
ALGORITHMS = (HMAC_SHA256, ML_DSA_65)

_FINGERPRINT = re.compile("[0-9a-f]{12}")
_SEED = re.compile("[0-9a-fA-F]{64}")


def check_signing_key(algorithm: str, key: str) -> None:
    """Raise FormatError (BAD_SIGNING_KEY) unless ``key`` can sign with ``algorithm``.

    A key of hmac-sha256 is any text but the empty one, one of ml-dsa-65 the hex of a 32-byte seed.
    """
    if algorithm not in ALGORITHMS:
        raise _bad_key(f"the signing algorithm is {algorithm[:32]!a}", "use one of " + _CHOICE)
    if not key:
        raise _bad_key("the signing key is empty", "give a key, or leave signing out")
    if algorithm == ML_DSA_65 and not _SEED.fullmatch(key):
        raise _bad_key(
            "the signing key is no seed of ml-dsa-65", "give the 32 bytes as 64 hex digits"
        )
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise _bad_key("the signing key is no text in UTF-8", "give another key") from error


def sign_fingerprint(algorithm: str, key: str, fingerprint: str, agent_id: str | None) -> str:
    """The hex signature of ``fingerprint``, bound to ``agent_id`` where there is one.

    64 hex digits with hmac-sha256, equal for equal input; 6618 with ml-dsa-65, where no two are
    equal because that algorithm is randomised.
    Raises FormatError: BAD_SIGNING_KEY; BAD_FIELD where there is nothing of that form to sign.
    """
    check_signing_key(algorithm, key)
    message = signed_message(fingerprint, agent_id)
    if algorithm == HMAC_SHA256:
        return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
    return _ml_dsa_key(key).sign(message).hex()


def signature_fields(
    algorithm: str,
    key: str,
    key_id: str | None,
    key_version: int | None,
    fingerprint: str,
    agent_id: str | None,
) -> Mapping[str, object]:
    """The members of a payload that say who signed it; the algorithm is always among them.

    Raises FormatError as :func:`sign_fingerprint`.
    """
    fields: dict[str, object] = {
        "payload_signature": sign_fingerprint(algorithm, key, fingerprint, agent_id),
        "signing_algorithm": algorithm,
    }
    if key_id is not None:
        fields["signing_key_id"] = key_id
    if key_version is not None:
        fields["signing_key_version"] = key_version
    return fields


def signed_message(fingerprint: str, agent_id: str | None) -> bytes:
    """What a wire signature is over: ``fp`` or ``fp:agent_id``. Raises FormatError (BAD_FIELD)."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise FormatError(
            "BAD_FIELD",
            "only a fingerprint can be signed, and this is none",
            remedy="send the 12 lower-case hex digits of anchor_fingerprint",
        )
    try:
        return (f"{fingerprint}:{agent_id}" if agent_id else fingerprint).encode()
    except UnicodeEncodeError as error:
        raise FormatError(
            "BAD_FIELD", "the agent id is no text in UTF-8", remedy="send another agent id"
        ) from error


_CHOICE = " or ".join(ALGORITHMS)


@lru_cache(maxsize=4)  # expanding a seed costs a quarter of a signature
def _ml_dsa_key(seed: str) -> "MLDSA65PrivateKey":
    # Not at the top: only who signs so needs a library as new as that.
    from cryptography.hazmat.primitives.asymmetric import mldsa

    return mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes.fromhex(seed))


def _bad_key(fault: str, remedy: str) -> FormatError:
    return FormatError("BAD_SIGNING_KEY", fault, remedy=remedy)
