"""ECDSA P-256 signatures as a TPM gives them and as everybody else reads them.

TPMT_SIGNATURE is TPM 2.0 Part 2, 11.3.4; the DER form is ECDSA-Sig-Value of RFC 3279, 2.2.3.
"""

import struct

from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.curves import P256
from swt3_agent.tcg.reader import Reader, sized

MAX_DER = 72  # two 33-byte integers, their headers, and the sequence header


def tpmt_to_der(data: bytes) -> bytes:
    """DER of a TPMT_SIGNATURE made with ECDSA and SHA-256 on P-256.

    Raises ``FormatError``: SIGNATURE_ALGORITHM for another scheme or hash, SIGNATURE_RANGE for a
    zero or oversized integer, SIGNATURE_TRUNCATED, SIGNATURE_OVERSIZED, SIGNATURE_TRAILING.
    """
    reader = Reader(bytes(data), "SIGNATURE")
    scheme, hash_alg = reader.u16("sigAlg"), reader.u16("hash")
    if (scheme, hash_alg) != (Algorithm.ECDSA, Algorithm.SHA256):
        raise reader.fail(
            "ALGORITHM", f"scheme {scheme:#06x} with hash {hash_alg:#06x} is not ECDSA with SHA-256"
        )
    r = int.from_bytes(reader.sized(P256.size, "signatureR"), "big")
    s = int.from_bytes(reader.sized(P256.size, "signatureS"), "big")
    reader.end()
    if not r or not s:
        raise reader.fail("RANGE", "a signature integer is zero")
    content = _der_integer(r) + _der_integer(s)
    return bytes([0x30, len(content)]) + content


def der_to_tpmt(der: bytes) -> bytes:
    """TPMT_SIGNATURE (ECDSA, SHA-256) of a DER signature on P-256.

    Only the one DER encoding of two integers in range is accepted, else ``FormatError``
    SIGNATURE_DER, SIGNATURE_RANGE, SIGNATURE_TRUNCATED, SIGNATURE_OVERSIZED or SIGNATURE_TRAILING.
    """
    reader = Reader(bytes(der), "SIGNATURE")
    if len(der) > MAX_DER:
        raise reader.fail("OVERSIZED", f"a P-256 signature takes {MAX_DER} bytes, not {len(der)}")
    if reader.u8("sequence tag") != 0x30 or reader.u8("sequence length") != len(der) - 2:
        raise reader.fail("DER", "the signature is not one DER sequence")
    r, s = _read_integer(reader, "r"), _read_integer(reader, "s")
    reader.end()
    scheme = struct.pack(">HH", Algorithm.ECDSA, Algorithm.SHA256)
    return scheme + sized(r.to_bytes(P256.size, "big")) + sized(s.to_bytes(P256.size, "big"))


def _read_integer(reader: Reader, field: str) -> int:
    tag, size = reader.u8(field), reader.u8(field)
    content = reader.take(size, field)
    value = int.from_bytes(content, "big", signed=True)
    if bytes([tag, size]) + content != _der_integer(abs(value)):
        raise reader.fail("DER", f"{field} is not a positive DER integer")
    if not 0 < value < 1 << (8 * P256.size):
        raise reader.fail("RANGE", f"{field} is out of range for P-256")
    return value


def _der_integer(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([0x02, len(content)]) + content
