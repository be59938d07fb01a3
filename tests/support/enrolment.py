"""TPM vendors, endorsement keys and nodes of paper: a whole enrolment without any TPM.

The endorsement keys are held in Python and open credentials as TPM 2.0 Part 1, 24 says a TPM does;
nothing here uses the code that makes them.
"""

import datetime
import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from hashlib import new as new_hash
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from swt3_agent.protocol.enrolment import (
    ANSWER_FORMAT,
    REQUEST_FORMAT,
    Answer,
    AnswerQuote,
    Challenge,
    CounterEvidence,
    EnrolmentKey,
    HeadEvidence,
    Machine,
    Request,
    TpmClaim,
    decode_file,
    encode_file,
)
from tests.support.forge import AK, PaperNode, Quote, ak_public, sign, sized

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime.datetime(2026, 8, 1, tzinfo=datetime.timezone.utc)
NOW_MS = int(NOW.timestamp() * 1000)
DAY = datetime.timedelta(days=1)
EK_PURPOSE = x509.ObjectIdentifier("2.23.133.8.1")
HARDWARE, SWTPM = "id:53544D20", "id:00001014"  # STMicroelectronics; libtpms as swtpm has it

_POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_EK_ATTRIBUTES = 0x000300B2  # restricted, decrypt, adminWithPolicy, fixed to its TPM
_AES, _CFB, _NULL = 0x0006, 0x0043, 0x0010


class UnopenedError(Exception):
    """The TPM refuses the credential."""


@dataclass(frozen=True)
class PaperEk:
    """An endorsement key held in Python: ``key`` RSA-2048, P-256 or P-384."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    attributes: int = _EK_ATTRIBUTES

    @property
    def _is_high(self) -> bool:
        return isinstance(self.key, ec.EllipticCurvePrivateKey) and self.key.key_size == 384

    @property
    def hash_name(self) -> str:
        return "sha384" if self._is_high else "sha256"

    @property
    def template(self) -> str:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return "rsa2048"
        return "ecc384" if self._is_high else "ecc256"

    @cached_property
    def public(self) -> bytes:
        """TPMT_PUBLIC after the TCG's templates L-1, L-2 and H-3."""
        bits, name_alg = (256, 0x0C) if self._is_high else (128, 0x0B)
        policy = bytes(48) if self._is_high else _POLICY_A
        common = struct.pack(">HI", name_alg, self.attributes) + sized(policy)
        common += struct.pack(">HHHH", _AES, bits, _CFB, _NULL)
        if isinstance(self.key, rsa.RSAPrivateKey):
            modulus = self.key.public_key().public_numbers().n.to_bytes(256, "big")
            return struct.pack(">H", 0x01) + common + struct.pack(">HI", 2048, 0) + sized(modulus)
        curve = 0x0004 if self._is_high else 0x0003
        x, y = self._coordinates(self.key.public_key())
        return struct.pack(">H", 0x23) + common + struct.pack(">HH", curve, _NULL) + x + y

    @cached_property
    def spki_sha256(self) -> bytes:
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(spki).digest()

    def activate(self, credential: bytes, secret: bytes, name: bytes) -> bytes:
        """What TPM2_ActivateCredential gives for the object ``name``. Raises UnopenedError."""
        digest_size = new_hash(self.hash_name).digest_size
        try:
            seed = self._seed(secret)
        except ValueError:
            raise UnopenedError from None
        (size,) = struct.unpack_from(">H", credential)
        integrity, identity = credential[2 : 2 + size], credential[2 + size :]
        mac_key = self._kdf_a(seed, b"INTEGRITY", b"", 8 * digest_size)
        if not hmac.compare_digest(
            integrity, hmac.digest(mac_key, identity + name, self.hash_name)
        ):
            raise UnopenedError
        cipher_key = self._kdf_a(seed, b"STORAGE", name, 256 if self._is_high else 128)
        plain = Cipher(AES(cipher_key), CFB(bytes(16))).decryptor().update(identity)
        (size,) = struct.unpack_from(">H", plain)
        return plain[2 : 2 + size]

    def _seed(self, secret: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
            return self.key.decrypt(secret, oaep)
        size = self.key.key_size // 8
        x, y = secret[2 : 2 + size], secret[4 + size : 4 + 2 * size]
        point = ec.EllipticCurvePublicKey.from_encoded_point(self.key.curve, b"\x04" + x + y)
        shared = self.key.exchange(ec.ECDH(), point)
        own_x = self._coordinates(self.key.public_key())[0][2:]
        message = struct.pack(">I", 1) + shared + b"IDENTITY\0" + x + own_x
        return new_hash(self.hash_name, message).digest()

    def _kdf_a(self, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
        message = struct.pack(">I", 1) + label + b"\0" + context + struct.pack(">I", bits)
        return hmac.digest(key, message, self.hash_name)[: bits // 8]

    @staticmethod
    def _coordinates(public: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
        numbers, size = public.public_numbers(), public.key_size // 8
        return sized(numbers.x.to_bytes(size, "big")), sized(numbers.y.to_bytes(size, "big"))


@cache
def paper_ek(kind: str) -> PaperEk:
    """The same key for the same kind: rsa2048, ecc256, ecc384, or another ecc256 by any name."""
    if kind == "rsa2048":
        known = json.loads((VECTORS / "tcg" / "credentials.json").read_text())["credentials"]
        pem = next(each["ek_private"] for each in known if each["template"] == kind)
        key = load_pem_private_key(pem.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return PaperEk(key)
    return PaperEk(derived_key(kind, ec.SECP384R1() if kind == "ecc384" else ec.SECP256R1()))


def derived_key(
    name: str,
    curve: ec.EllipticCurve = ec.SECP256R1(),  # noqa: B008  it has no state
) -> ec.EllipticCurvePrivateKey:
    """The same key for the same name, in every run."""
    return ec.derive_private_key(int.from_bytes(sha256(name.encode()).digest(), "big"), curve)


@cache
def paper_rsa_key() -> rsa.RSAPrivateKey:
    """The same RSA-2048 key each time. Fit for tests alone: its primes are the first from two
    known numbers on."""
    p, q = _prime(b"p"), _prime(b"q")
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    inverse = rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), inverse, public).private_key()


def _prime(name: bytes) -> int:
    digests = b"".join(sha256(name + bytes([part])).digest() for part in range(4))
    number = int.from_bytes(digests, "big") | 3 << 1022 | 1
    small = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    while not all(number % each for each in small) or pow(2, number - 1, number) != 1:
        number += 2
    return number


def key_usage(**uses: bool) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: uses.get(name, False) for name in names})


def name_of(common: str, organisation: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


@dataclass
class Vendor:
    """An authority of a TPM vendor; ``by`` None: a root, which signs itself."""

    common: str = "Root"
    by: "Vendor | None" = None
    organisation: str | None = "Vendor"
    ca: bool | None = True
    path_length: int | None = None
    usage: x509.KeyUsage | None = field(default_factory=lambda: key_usage(key_cert_sign=True))
    start: datetime.datetime = NOW - 100 * DAY
    end: datetime.datetime = NOW + 100 * DAY
    critical: x509.ExtensionType | None = None
    more: x509.ExtensionType | None = None
    hash: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def name(self) -> x509.Name:
        return name_of(self.common, self.organisation)

    @cached_property
    def certificate(self) -> x509.Certificate:
        issuer = self.by or self
        builder = _builder(self.name, issuer.name, self.key.public_key(), self.start, self.end)
        if self.ca is not None:
            length = self.path_length if self.ca else None
            constraints = x509.BasicConstraints(ca=self.ca, path_length=length)
            builder = builder.add_extension(constraints, critical=True)
        if self.usage is not None:
            builder = builder.add_extension(self.usage, critical=True)
        if self.critical is not None:
            builder = builder.add_extension(self.critical, critical=True)
        if self.more is not None:
            builder = builder.add_extension(self.more, critical=False)
        return issuer.signed(builder, self.hash)

    def signed(
        self, builder: x509.CertificateBuilder, over: hashes.SHA256 | hashes.SHA384
    ) -> x509.Certificate:
        """The same certificate each time, for the same keys."""
        deterministic = True if isinstance(self.key, ec.EllipticCurvePrivateKey) else None
        return builder.sign(self.key, over, ecdsa_deterministic=deterministic)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def certify(
        self,
        ek: PaperEk,
        *,
        purposes: tuple[x509.ObjectIdentifier, ...] | None = (EK_PURPOSE,),
        manufacturer: str | None = HARDWARE,
        model: str = "model",
        usage: x509.KeyUsage | None = None,
        ca: bool = False,
        start: datetime.datetime = NOW - DAY,
        end: datetime.datetime = NOW + DAY,
        more: x509.ExtensionType | None = None,
        critical: bool = False,
    ) -> bytes:
        """An EK certificate in DER, right unless told otherwise."""
        builder = _builder(x509.Name([]), self.name, ek.key.public_key(), start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        usage = usage or key_usage(key_encipherment=True)
        builder = builder.add_extension(usage, critical=True)
        if purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if manufacturer is not None:
            builder = builder.add_extension(_tpm_name(manufacturer, model), critical=True)
        if more is not None:
            builder = builder.add_extension(more, critical=critical)
        return self.signed(builder, self.hash).public_bytes(Encoding.DER)


def _tpm_name(manufacturer: str, model: str) -> x509.SubjectAlternativeName:
    attributes = [
        x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.1"), manufacturer),
        x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.2"), model),
        x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.3"), "id:00010002"),
    ]
    return x509.SubjectAlternativeName([x509.DirectoryName(x509.Name(attributes))])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    start: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    serial = sha256(subject.public_bytes() + issuer.public_bytes() + spki).digest()[:16]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int.from_bytes(serial, "big") | 1)
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _serial(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> int:
    """The same for the same certificate, in every run."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = sha256(issuer.public_bytes() + subject.public_bytes() + spki).digest()
    return int.from_bytes(digest[:16], "big") | 1


COUNTER_PUBLIC = struct.pack(">IHI", 0x01800053, 0x000B, 0x22040014) + sized(b"") + b"\x00\x08"
"""TPMS_NV_PUBLIC of the agent's counter, written."""


def counter_evidence(
    node: PaperNode,
    *,
    public: bytes = COUNTER_PUBLIC,
    certified: bytes | None = None,
    value: bytes | None = None,
    key: ec.EllipticCurvePrivateKey = AK,
    extra: bytes | None = None,
    clock_ms: int = 5_000_001,
    kind: int = 0x8014,
) -> CounterEvidence:
    """The counter of ``node``, certified after its head, unless told otherwise."""
    name = b"\x00\x0b" + sha256(certified or public).digest()
    if extra is None:
        extra = sha256(b"swt3-agent:v1:enrol-counter:" + node.note().body()).digest()
    if value is None:
        value = struct.pack(">Q", node.counter)
    info = sized(name) + struct.pack(">H", 0) + sized(value)
    if kind != 0x8014:
        info = sized(name) + sized(name)
    attest = Quote(type=kind, extra=extra, clock_ms=clock_ms, info=info).attest(b"", {})
    return CounterEvidence(public=public, attest=attest, signature=sign(key, attest))


AK_PARENT = b"\x00\x0b" + sha256(b"storage primary").digest()
ENDORSEMENT, OWNER = bytes.fromhex("4000000b"), bytes.fromhex("40000001")


def _under(parent: bytes, node: PaperNode) -> PaperNode:
    """``node`` as its TPM speaks where its AK hangs under ``parent``, unless it says otherwise."""
    if node.quote.signer != Quote().signer:
        return node
    return replace(node, quote=replace(node.quote, signer=qualified(node.public, parent)))


def qualified(public: bytes, parent: bytes = AK_PARENT, hierarchy: bytes = ENDORSEMENT) -> bytes:
    """The Qualified Name of this key under a primary of that hierarchy."""
    name = b"\x00\x0b" + sha256(public).digest()
    above = b"\x00\x0b" + sha256(hierarchy + parent).digest()
    return b"\x00\x0b" + sha256(above + name).digest()


def request_of(
    node: PaperNode | None = None,
    *keys: EnrolmentKey,
    kind: str = "tpm",
    manufacturer: str = "STM",
    **changes: object,
) -> Request:
    """What ``node`` would ask, unless changed; its TPM says that it is hardware."""
    node = _under(AK_PARENT, node or PaperNode())
    body = node.note().body()
    pcrs = {str(index): value.hex() for index, value in node.pcrs(body).items()}
    fields: dict[str, object] = {
        "format": REQUEST_FORMAT,
        "node_id": node.node_id,
        "log_id": node.log_id,
        "agent": "0.1.0",
        "time_ms": node.utc_ms,
        "machine": Machine(hostname="gpu-7", product="Rack Server"),
        "tpm": TpmClaim(kind=kind, manufacturer=manufacturer, vendor="", firmware="1.2"),
        "ak_public": node.public,
        "ak_parent": AK_PARENT.hex(),
        "endorsement_keys": list(keys),
        "head": HeadEvidence(
            checkpoint=node.signed_note().decode(),
            log_pcr=node.log_pcr,
            before=node.before.hex(),
            pcrs=pcrs,
        ),
    }
    return Request(**(fields | changes))  # type: ignore[arg-type]  # a test names its own fields


def enrolment_key(ek: PaperEk, certificate: bytes | None = None) -> EnrolmentKey:
    return EnrolmentKey(template=ek.template, public=ek.public, certificate=certificate)


def answer_to(
    challenge: bytes,
    ek: PaperEk,
    node: PaperNode | None = None,
    *,
    key: ec.EllipticCurvePrivateKey = AK,
    quote: Quote | None = None,
    nonce: bytes | None = None,
    tamper: Callable[[Answer], Answer] = lambda answer: answer,
) -> bytes:
    """What the TPM of ``ek``, with the AK of ``node`` in it, answers: the whole answer file."""
    node = node or PaperNode()
    asked = decode_file(challenge, Challenge)
    name = b"\x00\x0b" + sha256(ak_public(key)).digest()
    secret = ek.activate(asked.credential, asked.secret, name)
    digest = sha256(challenge).digest()
    request = bytes.fromhex(asked.request)
    message = b"swt3-agent:v1:enrol-activation:" + request + digest
    activation = hmac.digest(secret, message, "sha256")
    expected = sha256(b"swt3-agent:v1:enrol-quote:" + digest + activation).digest()[:31]
    pcrs = node.pcrs(node.note().body())
    fields = quote or Quote(clock_ms=6_000_000)
    attest = Quote(**{**vars(fields), "extra": nonce or expected}).attest(b"", pcrs)
    answer = Answer(
        format=ANSWER_FORMAT,
        request=asked.request,
        challenge=digest.hex(),
        ak_name=name.hex(),
        activation=activation.hex(),
        quote=AnswerQuote(
            attest=attest,
            signature=sign(key, attest),
            pcrs={str(index): value.hex() for index, value in pcrs.items()},
        ),
    )
    return encode_file(tamper(answer))
