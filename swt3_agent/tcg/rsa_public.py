"""TPMT_PUBLIC of an RSA key, as endorsement keys are (TPM 2.0 Part 2, 12.2.3.5 and 12.2.4)."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.names import name_of
from swt3_agent.tcg.public_fields import Symmetric, read_common, reader_of

DEFAULT_EXPONENT = 65537  # what an exponent of 0 means
KEY_BITS = (2048, 3072, 4096)

_HASH_SCHEMES = (Algorithm.RSASSA, Algorithm.RSAPSS, Algorithm.OAEP)


@dataclass(frozen=True, slots=True)
class RsaPublic:
    """One RSA public area. ``scheme`` and ``scheme_hash`` are TPM_ALG_ID values (hash 0: none)."""

    tpmt: bytes
    name_alg: Algorithm
    attributes: int
    auth_policy: bytes
    symmetric: Symmetric
    scheme: int
    scheme_hash: int
    bits: int
    exponent: int
    modulus: int

    def name(self) -> bytes:
        """The TPM's Name of the key: nameAlg ‖ H(TPMT_PUBLIC)."""
        return name_of(self.name_alg, self.tpmt)

    def public_key(self) -> rsa.RSAPublicKey:
        """The key for whoever encrypts to it."""
        return rsa.RSAPublicNumbers(self.exponent, self.modulus).public_key()

    def spki_der(self) -> bytes:
        """SubjectPublicKeyInfo (RFC 3279, 2.3.1), DER."""
        return self.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def parse_rsa(data: bytes) -> RsaPublic:
    """Read a whole TPMT_PUBLIC of an RSA key, and nothing around it.

    Raises ``FormatError``: PUBLIC_TYPE for another kind of key, PUBLIC_NAME_ALG, PUBLIC_SYMMETRIC,
    PUBLIC_SCHEME for algorithms unknown here, PUBLIC_RSA_SIZE for a key size that no endorsement
    key has or a modulus of another size, PUBLIC_RSA_EXPONENT, PUBLIC_TRUNCATED, PUBLIC_OVERSIZED,
    PUBLIC_TRAILING for damaged bytes.
    """
    reader = reader_of(data)
    if (kind := reader.u16("type")) != Algorithm.RSA:
        raise reader.fail("TYPE", f"key type {kind:#06x} is not an RSA key")
    common = read_common(reader)
    scheme, scheme_hash = reader.u16("scheme"), 0
    if scheme in _HASH_SCHEMES:
        scheme_hash = reader.u16("scheme.hashAlg")
    elif scheme not in (Algorithm.NULL, Algorithm.RSAES):
        raise reader.fail("SCHEME", f"scheme {scheme:#06x} is not an RSA scheme")
    bits = reader.u16("keyBits")
    if bits not in KEY_BITS:
        raise reader.fail("RSA_SIZE", f"an RSA key of {bits} bits")
    exponent = reader.u32("exponent") or DEFAULT_EXPONENT
    if exponent < 3 or not exponent & 1:
        raise reader.fail("RSA_EXPONENT", f"the RSA exponent {exponent} is no odd number from 3 on")
    modulus = int.from_bytes(reader.sized(bits // 8, "unique"), "big")
    reader.end()
    if modulus.bit_length() != bits or not modulus & 1:
        raise reader.fail("RSA_SIZE", f"the modulus is no odd number of {bits} bits")
    return RsaPublic(
        tpmt=data,
        name_alg=common.name_alg,
        attributes=common.attributes,
        auth_policy=common.auth_policy,
        symmetric=common.symmetric,
        scheme=scheme,
        scheme_hash=scheme_hash,
        bits=bits,
        exponent=exponent,
        modulus=modulus,
    )
