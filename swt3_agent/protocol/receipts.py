"""Receipts files: an importer's signed word that he took a bundle over (docs/formats.md).

The text of the note:

    swt3-agent/receipts/1
    importer <name> <base64 Ed25519 public key>
    node <node_id>
    log <log_id>
    bundle sha256:<hex SHA-256 of manifest.json>
    range <first> <end>
    root <base64 root of the first end records>
    accepted <count>
    time <UTC ms>
    refused <seq> <code>                                                        (any number)
"""

import re
from dataclasses import dataclass

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import (
    ED25519_TYPE,
    MAX_NOTE,
    NoteSignature,
    decode_base64,
    encode_base64,
    encode_note,
    key_id,
    parse_note,
)

RECEIPTS_FORMAT = "swt3-agent/receipts/1"
MAX_RECEIPTS = MAX_NOTE

_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_BODY = re.compile(
    re.escape(RECEIPTS_FORMAT) + "\n"
    r"importer (?P<importer>[!-*,-~]{1,128}) (?P<importer_key>[A-Za-z0-9+/]{43}=)\n"
    r"node (?P<node_id>[0-9a-f]{32})\n"
    r"log (?P<log_id>[0-9a-f]{16,64})\n"
    r"bundle sha256:(?P<manifest>[0-9a-f]{64})\n"
    rf"range (?P<first>{_NUMBER}) (?P<end>{_NUMBER})\n"
    r"root (?P<root>[A-Za-z0-9+/]{43}=)\n"
    rf"accepted (?P<accepted>{_NUMBER})\n"
    rf"time (?P<time_ms>{_NUMBER})\n"
    rf"(?P<refused>(?:refused {_NUMBER} [A-Z][A-Z0-9_]{{0,63}}\n)*)"
)


@dataclass(frozen=True, slots=True)
class ReceiptStatement:
    """What the importer says: he took over the anchors of records ``[first, end)``, ``accepted`` of
    them, from the bundle whose manifest has the SHA-256 ``manifest`` (hex).

    ``importer`` is printable ASCII without space or plus; ``importer_key`` an Ed25519 public key of
    32 bytes; ``root`` that of the first ``end`` records; ``refused`` are the sequence numbers that
    he did not accept, ascending, each with a code; ``time_ms`` is his own UTC time.
    """

    importer: str
    importer_key: bytes
    node_id: str
    log_id: str
    manifest: str
    first: int
    end: int
    root: bytes
    accepted: int
    time_ms: int
    refused: tuple[tuple[int, str], ...] = ()

    def body(self) -> bytes:
        """The signed text. Raises FormatError ``RECEIPTS_BODY`` where a field does not fit it."""
        lines = [
            RECEIPTS_FORMAT,
            f"importer {self.importer} {encode_base64(self.importer_key)}",
            f"node {self.node_id}",
            f"log {self.log_id}",
            f"bundle sha256:{self.manifest}",
            f"range {self.first} {self.end}",
            f"root {encode_base64(self.root)}",
            f"accepted {self.accepted}",
            f"time {self.time_ms}",
            *(f"refused {seq} {code}" for seq, code in self.refused),
        ]
        body = "".join(f"{line}\n" for line in lines).encode()
        parse_receipts_body(body)
        return body

    def key_id(self) -> bytes:
        """Key id in the importer's signature line."""
        return key_id(self.importer, ED25519_TYPE, self.importer_key)


@dataclass(frozen=True, slots=True)
class SignedReceipts:
    """A receipts file as it was read. Its signature is not verified yet."""

    body: bytes
    statement: ReceiptStatement
    signature: NoteSignature


def parse_receipts_body(body: bytes) -> ReceiptStatement:
    """The statement whose ``body()`` is ``body``.

    Raises FormatError ``RECEIPTS_FORMAT_UNKNOWN`` for another format, ``RECEIPTS_BODY`` for a text
    that is not this one.
    """
    if not body.startswith(RECEIPTS_FORMAT.encode() + b"\n"):
        raise FormatError(
            "RECEIPTS_FORMAT_UNKNOWN",
            f"the file does not begin with {RECEIPTS_FORMAT}",
            remedy="give the receipts file that the importer wrote",
        )
    try:
        match = None if len(body) > MAX_RECEIPTS else _BODY.fullmatch(body.decode("ascii"))
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise _body_error("its lines are not those of the format")
    try:
        importer_key = decode_base64(match["importer_key"])
        root = decode_base64(match["root"])
    except ValueError as error:
        raise _body_error(f"a field in it is {error}") from None
    refused = tuple(
        (int(seq), code)
        for _, seq, code in (line.split(" ") for line in match["refused"].splitlines())
    )
    statement = ReceiptStatement(
        importer=match["importer"],
        importer_key=importer_key,
        node_id=match["node_id"],
        log_id=match["log_id"],
        manifest=match["manifest"],
        first=int(match["first"]),
        end=int(match["end"]),
        root=root,
        accepted=int(match["accepted"]),
        time_ms=int(match["time_ms"]),
        refused=refused,
    )
    seqs = [seq for seq, _ in refused]
    if seqs != sorted(set(seqs)) or any(not statement.first <= seq < statement.end for seq in seqs):
        raise _body_error("its refused records are not in order, each once, within the range")
    return statement


def parse_receipts(data: bytes) -> SignedReceipts:
    """A receipts file: the note over a receipts body with one signature line, the importer's.

    Raises FormatError as ``parse_receipts_body`` does, ``NOTE_FORMAT``, and ``RECEIPTS_SIGNER``
    where the line names another signer or key than the text.
    """
    body, signatures = parse_note(data)
    statement = parse_receipts_body(body)
    line = signatures[0]
    if len(signatures) != 1 or (line.name, line.key_id) != (
        statement.importer,
        statement.key_id(),
    ):
        raise FormatError(
            "RECEIPTS_SIGNER",
            f"the receipts are not signed by {statement.importer} alone, whom they name",
            remedy="fetch the receipts file again from the importer",
        )
    return SignedReceipts(body, statement, line)


def encode_receipts(statement: ReceiptStatement, signature: bytes) -> bytes:
    """The receipts file. Raises FormatError ``RECEIPTS_TOO_LARGE``, ``RECEIPTS_BODY``."""
    line = NoteSignature(statement.importer, statement.key_id(), signature)
    data = encode_note(statement.body(), [line])
    if len(data) > MAX_RECEIPTS:
        raise FormatError(
            "RECEIPTS_TOO_LARGE",
            f"receipts with {len(statement.refused)} refused records take {len(data)} bytes, and"
            f" {MAX_RECEIPTS} is the most",
            remedy="export and import the range in smaller parts",
        )
    return data


def _body_error(what: str) -> FormatError:
    return FormatError(
        "RECEIPTS_BODY",
        f"not a receipts file: {what}",
        remedy="fetch the receipts file again from the importer",
    )
