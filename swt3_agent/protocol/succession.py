"""One attestation key after the other: what the old one signs about the new one.

docs/formats.md, "Succession". The old key certifies the new one with TPM2_Certify, its qualifying
data being ``successor_data``; so that the certification holds for this log and this key alone.
"""

from hashlib import sha256

SUCCESSION_DOMAIN = b"swt3-agent:v1:successor:"


def successor_data(log_id: str, ak_name: bytes) -> bytes:
    """Qualifying data of the certification, 32 bytes: SHA-256(``SUCCESSION_DOMAIN`` ‖ log id ‖
    ":" ‖ Name of the key that certifies)."""
    return sha256(SUCCESSION_DOMAIN + log_id.encode() + b":" + ak_name).digest()
