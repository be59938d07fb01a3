"""Proofs: one record, its place in the log, and the head that covers it (docs/formats.md, "Proof").

A proof file is the RFC 8785 form of one JSON object and a newline. It has that one spelling, so
that no byte of it can change without being noticed. Version 2 adds what version 1 cannot say: the
head before the record, and the keys that led from the enrolled one to the one that signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from swt3_agent.errors import FormatError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.bundle_evidence import MAX_KEYS, SuccessionInfo
from swt3_agent.protocol.log_tree import leaf_from_digests, salted_digest
from swt3_agent.protocol.note import MAX_NOTE, decode_base64, encode_base64
from swt3_agent.protocol.pcr_values import pcrs_from, pcrs_text

PROOF_FORMAT = "swt3-agent/proof/1"
PROOF_FORMAT_2 = "swt3-agent/proof/2"
MAX_PROOF = 12 * 1024 * 1024
"""Bytes: the largest record in Base 64, and room for the rest."""

_MAX_DEPTH = 4
_MAX_PATH = 64
_MAX_CONSISTENCY = 130
_MAX_SAFE_INTEGER = 2**53 - 1

_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Salt = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_NodeId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_LogId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16,64}\Z")]
_PcrIndex = Annotated[str, Meta(pattern=r"\A(?:[0-9]|1[0-9]|2[0-3])\Z")]


@dataclass(frozen=True, slots=True)
class Salted:
    """Content that a leaf holds as SHA-256(salt ‖ content); the salt has 16 bytes."""

    salt: bytes
    content: bytes

    def digest(self) -> bytes:
        """What the leaf holds."""
        return salted_digest(self.salt, self.content)


@dataclass(frozen=True, slots=True)
class ProvenRecord:
    """The record a proof is about. ``provenance`` is its digest where it is withheld.

    ``leaf`` follows from the rest; it is given so that a changed record and a changed path can be
    told apart. Kind and received time are not in a leaf and therefore not in a proof.
    """

    seq: int
    leaf: bytes
    payload: Salted
    provenance: Salted | bytes

    def computed_leaf(self) -> bytes:
        """The leaf hash that payload, provenance and ``seq`` make."""
        provenance = self.provenance
        digest = provenance.digest() if isinstance(provenance, Salted) else provenance
        return leaf_from_digests(self.seq, self.payload.digest(), digest)


@dataclass(frozen=True, slots=True)
class QuoteContext:
    """What it takes to judge the quote in the note's signature.

    ``ak_public`` is a TPMT_PUBLIC; ``before`` the log PCR's value before the note was extended;
    ``pcrs`` the quoted values of the SHA-256 bank, the log PCR's among them.
    """

    ak_public: bytes
    log_pcr: int
    before: bytes
    pcrs: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class PreviousHead:
    """A signed head that does not cover the record yet.

    ``consistency`` leads from its tree to that of the proof's head: the same log, grown.
    """

    note: bytes
    quote: QuoteContext
    consistency: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """That ``record`` is in log ``log_id`` of node ``node_id``.

    ``inclusion`` leads from its leaf to the root in ``note``, the checkpoint as it was signed, or
    its text alone where nobody signed it; then ``quote`` is None. ``tenant`` is a hint for checking
    a fingerprint where provenance is withheld; the log does not vouch for it. ``previous`` is the
    newest signed head before the record; ``successions`` are the rotations that led to the key
    which signed, oldest first.
    """

    node_id: str
    log_id: str
    record: ProvenRecord
    inclusion: tuple[bytes, ...]
    note: bytes
    quote: QuoteContext | None
    tenant: str | None = None
    previous: PreviousHead | None = None
    successions: tuple[SuccessionInfo, ...] = ()


class _WireRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    seq: Annotated[int, Meta(ge=0, le=_MAX_SAFE_INTEGER)]
    leaf: _Hash
    payload: str
    salt_p: _Salt
    provenance: str | None = None
    salt_v: _Salt | None = None
    provenance_digest: _Hash | None = None


class _WireQuote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ak_public: str
    before: _Hash
    log_pcr: Annotated[int, Meta(ge=0, le=23)]
    pcrs: dict[_PcrIndex, _Hash]


class _WireProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    node_id: _NodeId
    log_id: _LogId
    record: _WireRecord
    inclusion: Annotated[list[_Hash], Meta(max_length=_MAX_PATH)]
    checkpoint: str
    quote: _WireQuote | None = None
    tenant: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class _WirePrevious(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    checkpoint: Annotated[str, Meta(max_length=MAX_NOTE)]
    consistency: Annotated[list[_Hash], Meta(max_length=_MAX_CONSISTENCY)]
    quote: _WireQuote


class _WireProof2(_WireProof, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    previous: _WirePrevious | None = None
    successions: Annotated[list[SuccessionInfo], Meta(max_length=MAX_KEYS)] = []


_ONLY_IN_2 = frozenset({"previous", "successions"})


def encode_proof(proof: Proof) -> bytes:
    """The proof file. The same proof always gives the same bytes: version 1 where nothing is in it
    that takes version 2."""
    more = proof.previous is not None or bool(proof.successions)
    common = _WireProof(
        format=PROOF_FORMAT_2 if more else PROOF_FORMAT,
        node_id=proof.node_id,
        log_id=proof.log_id,
        record=_wire_record(proof.record),
        inclusion=[node.hex() for node in proof.inclusion],
        checkpoint=proof.note.decode(),
        quote=None if proof.quote is None else _wire_quote(proof.quote),
        tenant=proof.tenant,
    )
    if not more:
        return _encode(common)
    members = msgspec.structs.asdict(common)
    previous = None if proof.previous is None else _wire_previous(proof.previous)
    successions = list(proof.successions)
    return _encode(_WireProof2(**members, previous=previous, successions=successions))


def decode_proof(data: bytes) -> Proof:
    """The proof in ``data``: strict, so that ``encode_proof`` gives the same bytes again.

    Raises FormatError: ``PARSE_NOT_JSON``, ``PARSE_DUPLICATE_KEY``, ``PARSE_TOO_DEEP``,
    ``PARSE_TOO_LARGE``; ``PARSE_FORMAT_UNKNOWN`` for JSON that claims to be something else;
    ``PARSE_FIELD`` for a field that is missing, unknown or malformed; ``PARSE_NOT_CANONICAL`` for
    another spelling of a proof.
    """
    try:
        tree = strict_json.loads(data, max_bytes=MAX_PROOF, max_depth=_MAX_DEPTH)
    except FormatError as error:
        raise _parse_error(error.code, error.message) from None
    claimed = tree.get("format") if isinstance(tree, dict) else None
    wire_type = _wire_type(claimed, tree)
    if wire_type is None:
        named = f"format {claimed[:40]!a}" if isinstance(claimed, str) else "no format"
        raise FormatError(
            "PARSE_FORMAT_UNKNOWN",
            f"the file names {named}, so that it cannot be read as a proof",
            remedy=f"give a file made by `swt3-agent prove`, whose format is {PROOF_FORMAT} or"
            f" {PROOF_FORMAT_2}, or a verifier that knows the format",
        )
    try:
        proof = _from_wire(msgspec.convert(tree, wire_type))
    except (msgspec.ValidationError, ValueError) as error:
        raise _parse_error("FIELD", f"a field of the proof is wrong: {str(error)[:200]}") from None
    if encode_proof(proof) != data:
        raise _parse_error("NOT_CANONICAL", "the file is not the canonical spelling of its proof")
    return proof


def _wire_type(claimed: object, tree: object) -> type[_WireProof] | None:
    if claimed == PROOF_FORMAT:
        return _WireProof
    # Version 2 is written for what only it can say: without that the file is none that was made.
    if claimed == PROOF_FORMAT_2 and isinstance(tree, dict) and _ONLY_IN_2 & tree.keys():
        return _WireProof2
    return None


def _from_wire(wire: _WireProof) -> Proof:
    record = wire.record
    provenance: Salted | bytes
    match (record.provenance, record.salt_v, record.provenance_digest):
        case (str(content), str(salt), None):
            provenance = Salted(bytes.fromhex(salt), decode_base64(content))
        case (None, None, str(digest)):
            provenance = bytes.fromhex(digest)
        case _:
            raise ValueError("record holds neither provenance with its salt nor its digest alone")
    return Proof(
        node_id=wire.node_id,
        log_id=wire.log_id,
        record=ProvenRecord(
            seq=record.seq,
            leaf=bytes.fromhex(record.leaf),
            payload=Salted(bytes.fromhex(record.salt_p), decode_base64(record.payload)),
            provenance=provenance,
        ),
        inclusion=tuple(map(bytes.fromhex, wire.inclusion)),
        note=wire.checkpoint.encode(),
        quote=None if wire.quote is None else _quote_from_wire(wire.quote),
        tenant=wire.tenant,
        previous=_previous_from_wire(wire.previous) if isinstance(wire, _WireProof2) else None,
        successions=tuple(wire.successions) if isinstance(wire, _WireProof2) else (),
    )


def _previous_from_wire(wire: _WirePrevious | None) -> PreviousHead | None:
    if wire is None:
        return None
    return PreviousHead(
        note=wire.checkpoint.encode(),
        quote=_quote_from_wire(wire.quote),
        consistency=tuple(map(bytes.fromhex, wire.consistency)),
    )


def _wire_record(record: ProvenRecord) -> _WireRecord:
    provenance = record.provenance
    shown = provenance if isinstance(provenance, Salted) else None
    return _WireRecord(
        seq=record.seq,
        leaf=record.leaf.hex(),
        payload=encode_base64(record.payload.content),
        salt_p=record.payload.salt.hex(),
        provenance=encode_base64(shown.content) if shown else None,
        salt_v=shown.salt.hex() if shown else None,
        provenance_digest=provenance.hex() if isinstance(provenance, bytes) else None,
    )


def _wire_previous(previous: PreviousHead) -> _WirePrevious:
    return _WirePrevious(
        checkpoint=previous.note.decode(),
        consistency=[node.hex() for node in previous.consistency],
        quote=_wire_quote(previous.quote),
    )


def _wire_quote(quote: QuoteContext) -> _WireQuote:
    return _WireQuote(
        ak_public=encode_base64(quote.ak_public),
        before=quote.before.hex(),
        log_pcr=quote.log_pcr,
        pcrs=pcrs_text(quote.pcrs),
    )


def _quote_from_wire(wire: _WireQuote) -> QuoteContext:
    return QuoteContext(
        ak_public=decode_base64(wire.ak_public),
        log_pcr=wire.log_pcr,
        before=bytes.fromhex(wire.before),
        pcrs=pcrs_from(wire.pcrs),
    )


def _encode(wire: _WireProof) -> bytes:
    """RFC 8785 for what a proof holds: strings, and integers below 2^53, under ASCII keys."""
    return msgspec.json.encode(wire, order="sorted") + b"\n"


def _parse_error(code: str, message: str) -> FormatError:
    return FormatError(
        f"PARSE_{code}",
        message,
        remedy="fetch the proof again from where it was made, byte for byte",
    )
