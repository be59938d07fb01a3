"""The NIST curves of TPM keys: field sizes, the point check, and SubjectPublicKeyInfo.

Constants are those of FIPS 186-4, D.1.2.3 and D.1.2.4 (a = -3 for both); identifiers are
TPM_ECC_CURVE values.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """``size`` is the length of a coordinate in bytes; ``spki_prefix`` ends before 04 ‖ x ‖ y."""

    identifier: int
    name: str
    size: int
    prime: int
    b: int
    spki_prefix: bytes

    def holds(self, x: int, y: int) -> bool:
        """Whether (x, y) is a point of the curve, its coordinates reduced."""
        if not (0 <= x < self.prime and 0 <= y < self.prime):
            return False
        return (y * y - (x * x * x - 3 * x + self.b)) % self.prime == 0


P256 = Curve(
    identifier=0x0003,
    name="P-256",
    size=32,
    prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    spki_prefix=bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
)
P384 = Curve(
    identifier=0x0004,
    name="P-384",
    size=48,
    prime=2**384 - 2**128 - 2**96 + 2**32 - 1,
    b=int(
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
        "c656398d8a2ed19d2a85c8edd3ec2aef",
        16,
    ),
    spki_prefix=bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
)
CURVES = {curve.identifier: curve for curve in (P256, P384)}
