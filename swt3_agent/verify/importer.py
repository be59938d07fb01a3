"""Receipts: the importer signs for a bundle that he judged and took over; the node reads that."""

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import MANIFEST
from swt3_agent.protocol.receipts import ReceiptStatement, encode_receipts, parse_receipts
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.private_key import read_private_key
from swt3_agent.verify.report import Outcome

_ANCHORS = ("minted", "relayed")
_HOW = "make one with `openssl genpkey -algorithm ed25519 -out importer.pem`"
_HOW_PUBLIC = "make it with `openssl pkey -in importer.pem -pubout -out importer.pub.pem`"


def importer_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises FormatError ``IMPORTER_KEY``."""
    return read_private_key("IMPORTER_KEY", pem, whose="the importer's", remedy=_HOW)


def sign_receipts(
    report: BundleReport,
    private_key: Ed25519PrivateKey,
    *,
    importer: str,
    time_ms: int,
    refused: Sequence[tuple[int, str]] = (),
) -> bytes:
    """The receipts file for the bundle that ``report`` is of.

    ``refused`` are sequence numbers that the importer did not accept, ascending, each with a code
    in capitals; all other anchors in the bundle are accepted. ``time_ms`` is UTC.

    Raises FormatError ``NOT_VERIFIED`` for a bundle that was not verified, ``RECEIPTS_BODY`` and
    ``RECEIPTS_TOO_LARGE``.
    """
    manifest, contents = report.manifest, report.contents
    if report.outcome is not Outcome.VERIFIED or manifest is None or contents is None:
        raise FormatError(
            "NOT_VERIFIED",
            f"there are no receipts for a bundle that is {report.outcome.value} ({report.code})",
            remedy=report.remedy or "verify it first",
        )
    anchors = sum(contents.kinds[kind] for kind in _ANCHORS)
    statement = ReceiptStatement(
        importer=importer,
        importer_key=private_key.public_key().public_bytes_raw(),
        node_id=manifest.node_id,
        log_id=manifest.log_id,
        manifest=report.hashes[MANIFEST],
        first=manifest.first,
        end=manifest.end,
        root=bytes.fromhex(manifest.root),
        accepted=anchors - len(refused),
        time_ms=time_ms,
        refused=tuple(refused),
    )
    return encode_receipts(statement, private_key.sign(statement.body()))


def importer_public_key(pem: bytes) -> bytes:
    """The public key in a PEM file: 32 bytes (RFC 8032). Raises FormatError ``IMPORTER_KEY``."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FormatError(
            "IMPORTER_KEY", f"an importer's public key cannot be read: {error}", remedy=_HOW_PUBLIC
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise FormatError(
            "IMPORTER_KEY", "an importer's public key is not an Ed25519 key", remedy=_HOW_PUBLIC
        )
    return key.public_bytes_raw()


def read_receipts(data: bytes, importers: Sequence[bytes]) -> ReceiptStatement:
    """What a receipts file says, if one of ``importers`` (Ed25519 public keys) signed it.

    Raises FormatError as ``parse_receipts`` does, ``RECEIPTS_IMPORTER``, ``RECEIPTS_SIGNATURE``.
    """
    receipts = parse_receipts(data)
    statement = receipts.statement
    if statement.importer_key not in importers:
        raise FormatError(
            "RECEIPTS_IMPORTER",
            f"{statement.importer} signed with a key that is not configured here",
            remedy="compare the digest of the key with what the importer told you, and name it in"
            " agent.receipts.importers",
        )
    key = Ed25519PublicKey.from_public_bytes(statement.importer_key)
    try:
        key.verify(receipts.signature.signature, receipts.body)
    except InvalidSignature:
        raise FormatError(
            "RECEIPTS_SIGNATURE",
            f"the signature of {statement.importer} on the receipts is wrong",
            remedy="fetch the receipts file again from the importer",
        ) from None
    return statement
