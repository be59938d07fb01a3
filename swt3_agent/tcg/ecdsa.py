"""Whether a key of the TPM signed: ECDSA with SHA-256 on P-256, the one scheme of ``check_ak``."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from swt3_agent.errors import FormatError
from swt3_agent.tcg.curves import P256
from swt3_agent.tcg.public import EccPublic
from swt3_agent.tcg.signature import der_to_tpmt


def has_signed(key: EccPublic, message: bytes, signature_der: bytes) -> bool:
    """Whether ``signature_der`` is this key's over ``message``.

    Raises FormatError ``AK_CURVE`` for a key on another curve, and ``SIGNATURE_*`` for bytes that
    are not the one DER encoding of a signature.
    """
    if key.curve is not P256:
        raise FormatError(
            "AK_CURVE",
            f"the key lies on {key.curve.name}, not on P-256",
            remedy="Trust nothing this key signed; enrol the node with a key that its agent made.",
        )
    der_to_tpmt(signature_der)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key.x + key.y)
    try:
        point.verify(signature_der, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
