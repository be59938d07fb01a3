"""A trust file once more by its enroller: revoked, or valid for longer."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.errors import FormatError
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.verify.anchoring import read_trust
from swt3_agent.verify.enroller import enroller_public_key, sign_trust
from swt3_agent.verify.enrolment.acceptance import DAY_MS
from swt3_agent.verify.moments import utc_text


def revoke(data: bytes, key: Ed25519PrivateKey, *, at_ms: int) -> bytes:
    """The trust file ``data`` with a revocation: heads from ``at_ms`` (UTC) on are not vouched for.

    An earlier revocation stays. Raises FormatError as ``read_trust`` does, and
    ``TRUST_OTHER_ENROLLER``.
    """
    statement = _own(data, key)
    if statement.revoked_ms is not None:
        at_ms = min(at_ms, statement.revoked_ms)
    return sign_trust(replace(statement, revoked_ms=at_ms).body(), key)


def renew(data: bytes, key: Ed25519PrivateKey, *, valid_days: int, now_ms: int) -> bytes:
    """The trust file ``data``, valid until ``valid_days`` after ``now_ms`` (UTC).

    Raises FormatError as ``read_trust`` does, ``TRUST_OTHER_ENROLLER``, and ``TRUST_REVOKED``:
    that cannot be taken back, the node is enrolled again.
    """
    statement = _own(data, key)
    if statement.revoked_ms is not None:
        raise FormatError(
            "TRUST_REVOKED",
            f"the AK was revoked at {utc_text(statement.revoked_ms)}",
            remedy="enrol the node again, with a new key if this one was stolen",
        )
    until_ms = now_ms + valid_days * DAY_MS
    return sign_trust(replace(statement, valid_until_ms=until_ms).body(), key)


def _own(data: bytes, key: Ed25519PrivateKey) -> TrustStatement:
    statement = read_trust(data).statement
    if statement.enroller_key != enroller_public_key(key):
        raise FormatError(
            "TRUST_OTHER_ENROLLER",
            f"the trust file is signed by another key of {statement.enroller} than the one given",
            remedy="give the private key that signed it",
        )
    return statement
