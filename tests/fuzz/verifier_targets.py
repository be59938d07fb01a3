"""What a verifier reads besides logs, proofs and bundles: memory, statements, answers, receipts."""

from collections.abc import Mapping
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.protocol.bundle_evidence import decode_earlier, encode_earlier
from swt3_agent.protocol.checkpoint import parse_quote_signature
from swt3_agent.protocol.dsse import (
    Envelope,
    EnvelopeSignature,
    decode_envelope,
    encode_envelope,
    pae,
)
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.key_record import KeyEvent, KeyRecord, encode_key_record, parse_key_record
from swt3_agent.protocol.receipts import ReceiptStatement, encode_receipts, parse_receipts
from swt3_agent.protocol.record import FRAME_HEAD, Kind, Record, decode_body, encode_record
from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.protocol.statement import PAYLOAD_TYPE, parse_statement
from swt3_agent.protocol.stating import StatedRecord, make_statement
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tcg.signature import der_to_tpmt
from swt3_agent.verify import verify_challenge, verify_statement
from swt3_agent.verify.answer import FILES
from swt3_agent.verify.memory import (
    MEMORY_FORMAT,
    Memory,
    SeenHead,
    TpmTime,
    decode_memory,
    encode_memory,
)
from swt3_agent.verify.references import read_reference
from tests.fuzz.target import Target
from tests.support import forge
from tests.support.forge import AK, LOG_ID, NODE_ID, Quote, ak_public, sized, trust_file, witness

TRUST = trust_file()
AK_NAME = parse_tpmt(ak_public()).name()
NONCE = bytes(range(16))
BETWEEN = b"\n--\n"
"""What separates the files of an answer in one input."""


def _statement() -> bytes:
    return make_statement(
        StatedRecord(
            node_id=NODE_ID,
            log_id=LOG_ID,
            seq=7,
            payload=witness(procedure_id="AI-MDL.1", ai_context={"file_hash": "11" * 32}),
            provenance={"verdict": "PASS", "reasons": [], "root_of_trust": "file-content"},
            evidence="22" * 32,
            files=("33" * 32,),
            level=1,
            ak_name=AK_NAME.hex(),
            signer=RootOfTrust.SOFTWARE_TPM,
            signed_ms=forge.UTC_MS,
        )
    )


def _signed(payload: bytes) -> bytes:
    line = EnvelopeSignature(AK_NAME.hex(), forge.sign(AK, pae(PAYLOAD_TYPE, payload)))
    return encode_envelope(Envelope(PAYLOAD_TYPE, payload, (line,)))


def _answer() -> bytes:
    pcrs = {index: sha256(b"pcr %d" % index).digest() for index in (*forge.BOOT_PCRS, 13)}
    attest = Quote(extra=NONCE).attest(b"", pcrs)
    values = ",".join(f'"{index}":"{value.hex()}"' for index, value in pcrs.items())
    files = {
        "ak.pem": AK.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "quote.msg": attest,
        "quote.sig": der_to_tpmt(forge.sign(AK, attest)),
        "pcrs.json": b'{"sha256":{%b}}' % values.encode(),
        "ak.pub": ak_public(),
        "successions.json": b'[{"ak_public":"AA==","attest":"AA==","signature":"AA=="}]',
    }
    return BETWEEN.join(files[name] for name in FILES)


def _challenge(data: bytes) -> object:
    files = dict(zip(FILES, data.split(BETWEEN), strict=False))
    return verify_challenge(files, nonce=NONCE, trust=TRUST, allow_software_tpm=True)


def _memory() -> bytes:
    tpm = TpmTime(3, 0, 50_000)
    heads = [SeenHead(size, "11" * 32, 1000 * size, 5, tpm) for size in (3, 9)]
    memory = Memory(
        format=MEMORY_FORMAT,
        node_id=NODE_ID,
        log_id=LOG_ID,
        keys=[AK_NAME.hex()],
        trust="22" * 32,
        enroller="33" * 32,
        heads=heads,
        tpm=tpm,
        revoked_ms=77,
        end=3,
    )
    return encode_memory(memory)


def _receipts() -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(sha256(b"importer").digest())
    statement = ReceiptStatement(
        importer="importer.example",
        importer_key=key.public_key().public_bytes_raw(),
        node_id=NODE_ID,
        log_id=LOG_ID,
        manifest="ef" * 32,
        first=10,
        end=30,
        root=bytes(32),
        accepted=18,
        time_ms=1_785_000_000_000,
        refused=((12, "BAD_FINGERPRINT"),),
    )
    return encode_receipts(statement, key.sign(statement.body()))


RECORD = Record(
    seq=7, kind=Kind.RELAYED, flags=0, received_ns=1, provenance=b"{}", payload=witness()
)
KEY_RECORD = KeyRecord(KeyEvent.CREATED, AK_NAME, ak_public(), "tpm")
REFERENCE = Reference(
    pcrs={4: ("11" * 32,)},
    values={"secure-boot": ("enabled",)},
    events={4: (("loader", "22" * 32),)},
)
ATTEST = Quote().attest(b"", {0: bytes(32)})

TARGETS: Mapping[str, Target] = {
    "challenge-answer": Target(_challenge, [_answer()]),
    "dsse": Target(decode_envelope, [_signed(_statement())]),
    "earlier-record": Target(
        lambda data: decode_earlier(data.decode("latin-1")),
        [encode_earlier(RECORD, bytes(16), bytes(16)).encode()],
    ),
    "key-record": Target(parse_key_record, [encode_key_record(KEY_RECORD)]),
    "memory": Target(lambda data: decode_memory(data, NODE_ID, LOG_ID), [_memory()]),
    "quote-signature": Target(
        parse_quote_signature, [sized(ATTEST) + sized(forge.sign(AK, ATTEST))]
    ),
    "receipts": Target(parse_receipts, [_receipts()]),
    "record": Target(decode_body, [encode_record(RECORD)[FRAME_HEAD.size :]]),
    "reference": Target(read_reference, [encode_reference(REFERENCE)]),
    "statement": Target(lambda data: parse_statement(PAYLOAD_TYPE, data), [_statement()]),
    "statement-judged": Target(
        lambda data: verify_statement(data, trust=TRUST, allow_software_tpm=True),
        [_signed(_statement())],
    ),
    "statement-signed": Target(
        lambda data: verify_statement(_signed(data), trust=TRUST, allow_software_tpm=True),
        [_statement()],
    ),
}
