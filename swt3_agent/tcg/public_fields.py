"""The fields that public areas of all key types begin with (TPM 2.0 Part 2, 12.2.4 and 11.1.7)."""

from typing import NamedTuple

from swt3_agent.tcg.algorithms import HASH_NAMES, Algorithm
from swt3_agent.tcg.reader import Reader

MAX_PUBLIC = 1024
MAX_DIGEST = 64

_SYMMETRIC = (Algorithm.AES, Algorithm.SM4, Algorithm.CAMELLIA)


class Symmetric(NamedTuple):
    """TPMT_SYM_DEF_OBJECT: the cipher that protects children and credentials of a storage key.

    ``algorithm`` and ``mode`` are TPM_ALG_ID values; ``bits`` is the key size, 0 without a cipher.
    """

    algorithm: int
    bits: int
    mode: int


class Common(NamedTuple):
    """``objectAttributes`` are TPMA_OBJECT bits."""

    name_alg: Algorithm
    attributes: int
    auth_policy: bytes
    symmetric: Symmetric


def reader_of(data: bytes) -> Reader:
    """A reader of one TPMT_PUBLIC; PUBLIC_OVERSIZED for more bytes than any has."""
    reader = Reader(data, "PUBLIC")
    if len(data) > MAX_PUBLIC:
        raise reader.fail("OVERSIZED", f"a public area of {len(data)} bytes is too long")
    return reader


def read_common(reader: Reader) -> Common:
    """Take nameAlg to symmetric off ``reader``; PUBLIC_NAME_ALG, PUBLIC_SYMMETRIC."""
    name_alg = reader.u16("nameAlg")
    if name_alg not in HASH_NAMES:
        raise reader.fail("NAME_ALG", f"nameAlg {name_alg:#06x} is not supported")
    attributes = reader.u32("objectAttributes")
    auth_policy = reader.sized(MAX_DIGEST, "authPolicy")
    return Common(Algorithm(name_alg), attributes, auth_policy, _symmetric(reader))


def _symmetric(reader: Reader) -> Symmetric:
    algorithm = reader.u16("symmetric")
    if algorithm in _SYMMETRIC:
        bits = reader.u16("symmetric.keyBits")
        return Symmetric(algorithm, bits, reader.u16("symmetric.mode"))
    if algorithm != Algorithm.NULL:
        raise reader.fail("SYMMETRIC", f"symmetric algorithm {algorithm:#06x} is not known")
    return Symmetric(algorithm, 0, 0)
