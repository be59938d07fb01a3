"""Public areas of keys that no TPM made, for what can be judged without one."""

from cryptography.hazmat.primitives.asymmetric import ec

_POINT = 2 * (2 + 32)  # two TPM2Bs at the end of an ECC public area


def private_key(scalar: int = 7) -> ec.EllipticCurvePrivateKey:
    """A key whose private half everybody knows."""
    return ec.derive_private_key(scalar, ec.SECP256R1())


def other_key(tpmt: bytes, scalar: int = 7) -> bytes:
    """The same public area (TPMT_PUBLIC, P-256) around the point of ``private_key(scalar)``."""
    point = private_key(scalar).public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
    return tpmt[:-_POINT] + b"\x00\x20" + x + b"\x00\x20" + y
