"""KDFa and KDFe, the key derivation functions of a TPM (TPM 2.0 Part 1, 11.4.10)."""

import hmac
import struct
from hashlib import new as new_hash

from swt3_agent.tcg.algorithms import HASH_NAMES, Algorithm

_u32 = struct.Struct(">I")


def kdf_a(
    hash_alg: Algorithm, key: bytes, label: bytes, context_u: bytes, context_v: bytes, bits: int
) -> bytes:
    """KDFa: ``bits`` (whole bytes) from an HMAC ``key`` and two contexts.

    ``label`` goes without its terminating zero, which is put behind it.
    """
    tail = label + b"\0" + context_u + context_v + _u32.pack(bits)
    name = HASH_NAMES[hash_alg]
    size = bits // 8
    output = b""
    for counter in range(1, size + 1):
        output += hmac.digest(key, _u32.pack(counter) + tail, name)
        if len(output) >= size:
            break
    return output[:size]


def kdf_e(
    hash_alg: Algorithm, shared_x: bytes, label: bytes, party_u: bytes, party_v: bytes, bits: int
) -> bytes:
    """KDFe: ``bits`` (whole bytes) from the x coordinate of a shared point and those of both public
    keys, each padded to the size of its curve.

    ``label`` goes without its terminating zero, which is put behind it.
    """
    tail = shared_x + label + b"\0" + party_u + party_v
    name = HASH_NAMES[hash_alg]
    size = bits // 8
    output = b""
    for counter in range(1, size + 1):
        output += new_hash(name, _u32.pack(counter) + tail).digest()
        if len(output) >= size:
            break
    return output[:size]
