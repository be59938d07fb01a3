"""Algorithm identifiers that attestation uses (TCG Algorithm Registry, section 6)."""

import hashlib
from enum import IntEnum


class Algorithm(IntEnum):
    """TPM_ALG_ID values known here."""

    RSA = 0x0001
    SHA1 = 0x0004
    AES = 0x0006
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    SM4 = 0x0013
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECDH = 0x0019
    ECDAA = 0x001A
    SM2 = 0x001B
    ECSCHNORR = 0x001C
    ECMQV = 0x001D
    ECC = 0x0023
    CAMELLIA = 0x0026
    CFB = 0x0043


HASH_NAMES = {
    Algorithm.SHA1: "sha1",
    Algorithm.SHA256: "sha256",
    Algorithm.SHA384: "sha384",
    Algorithm.SHA512: "sha512",
}


def digest(algorithm: Algorithm, data: bytes) -> bytes:
    """Hash ``data`` with one of the algorithms of ``HASH_NAMES``."""
    return hashlib.new(HASH_NAMES[algorithm], data).digest()
