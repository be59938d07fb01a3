"""The files of a challenge answer (docs/formats.md, "Challenge quote"), read within bounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.verify.refusal import refusal

NEEDED = ("ak.pem", "quote.msg", "quote.sig", "pcrs.json")
FILES = (*NEEDED, "ak.pub", "successions.json")
"""What is read of an answer; ``pcrs.bin`` holds what ``pcrs.json`` does, for tpm2-tools."""
MAX_FILE = 64 * 1024

_INDEX = re.compile("[0-9]|1[0-9]|2[0-3]")
_VALUE = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the key, TPMS_ATTEST, TPMT_SIGNATURE, SHA-256 PCR values, the key's TPMT_PUBLIC
    where it was given, and the rotations that led to it."""

    key: ec.EllipticCurvePublicKey
    spki_der: bytes
    attest: bytes
    signature: bytes
    pcrs: Mapping[int, bytes]
    public: bytes | None
    successions: tuple[SuccessionInfo, ...] = ()


def read_answer(files: Mapping[str, bytes]) -> Answer:
    """The answer in ``files``, by name.

    Raises FormatError ``CHALLENGE_FILES`` where one is missing or too large, ``CHALLENGE_KEY``,
    ``CHALLENGE_PCRS``, ``CHALLENGE_SUCCESSIONS``.
    """
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise refusal("CHALLENGE_FILES", f"{', '.join(missing)} is missing")
    for name in FILES:
        if len(files.get(name, b"")) > MAX_FILE:
            raise refusal("CHALLENGE_FILES", f"{name} has more than {MAX_FILE} bytes")
    key = _key(files["ak.pem"])
    return Answer(
        key=key,
        spki_der=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        attest=files["quote.msg"],
        signature=files["quote.sig"],
        pcrs=_pcrs(files["pcrs.json"]),
        public=files.get("ak.pub"),
        successions=_successions(files.get("successions.json", b"[]")),
    )


def _key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refusal("CHALLENGE_KEY", f"ak.pem cannot be read: {str(error)[:200]}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refusal("CHALLENGE_KEY", "ak.pem holds no key on P-256")
    return key


def _successions(text: bytes) -> tuple[SuccessionInfo, ...]:
    try:
        return tuple(msgspec.json.decode(text, type=list[SuccessionInfo]))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise refusal(
            "CHALLENGE_SUCCESSIONS", f"successions.json cannot be read: {str(error)[:200]}"
        ) from None


def _pcrs(text: bytes) -> dict[int, bytes]:
    try:
        tree = strict_json.loads(text, max_bytes=MAX_FILE, max_depth=2)
    except FormatError as error:
        raise refusal("CHALLENGE_PCRS", f"pcrs.json cannot be read: {error.message}") from None
    values = tree.get("sha256") if isinstance(tree, dict) and len(tree) == 1 else None
    if not isinstance(values, dict):
        raise refusal("CHALLENGE_PCRS", 'pcrs.json is not {"sha256": {index: value}}')
    for index, value in values.items():
        if not _INDEX.fullmatch(index) or not (isinstance(value, str) and _VALUE.fullmatch(value)):
            raise refusal("CHALLENGE_PCRS", "pcrs.json holds what is no PCR and its SHA-256 value")
    return pcrs_from(values)
