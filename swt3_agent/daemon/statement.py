"""Statements of what was recorded, signed by the AK (docs/formats.md, "Statements")."""

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from swt3_agent.daemon.node import Node
from swt3_agent.errors import JournalError, TpmError, UsageError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.claims import entries_claim, text_claim
from swt3_agent.protocol.dsse import Envelope, EnvelopeSignature, encode_envelope, pae
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.statement import PAYLOAD_TYPE
from swt3_agent.protocol.stating import DIGESTS_LEAVE_TO, StatedRecord, make_statement
from swt3_agent.store.proofs import successions_to
from swt3_agent.tcg.public import parse_public

_PROCEDURE = re.compile(r"AI-[A-Z]+\.[0-9]+")
_SEQUENCE_NUMBER = re.compile(r"[0-9]{1,19}")
_MAX_EVIDENCE = 64 * 1024 * 1024


class _Minted(msgspec.Struct):
    evidence: int
    tenant: str | None = None


class _Evidence(msgspec.Struct):
    digest: str


class _Witness(msgspec.Struct):
    procedure_id: str
    ai_context: dict[str, Any] | str | None = None


def statement(node: Node, record: str) -> dict[str, Any]:
    """The envelope over a statement of ``record``: a sequence number, or a procedure, of which the
    newest anchor is meant.

    Raises UsageError ``BAD_RECORD``, ``NO_SUCH_RECORD``, ``STATEMENT_PROCEDURE`` or
    ``STATEMENT_RECORD``; TpmError where no TPM signs here; JournalError.
    """
    seq = _named(node, record)
    minted = node.journal.read(seq)
    if minted.kind is not Kind.MINTED:
        raise UsageError(
            "STATEMENT_RECORD",
            f"record {seq} is no anchor of this agent, so that it has nothing to state of it",
            remedy="name a minted record of AI-HW.* or AI-MDL.* (see `swt3-agent log`)",
        )
    node.reach_tpm()
    if node.tpm is None or node.tpm_identity is None:
        assert node.tpm_lack is not None  # noqa: S101  opening sets one or the other
        lack = node.tpm_lack
        raise TpmError(lack.code, lack.message, remedy=lack.remedy)  # one object keeps every trace
    ak_name = parse_public(node.tpm_identity.ak_public).name().hex()
    evidence = _evidence_of(node, minted)
    level = node.config.clearing_level
    payload = make_statement(
        StatedRecord(
            node_id=node.node_id,
            log_id=node.log_id,
            seq=seq,
            payload=minted.payload,
            provenance=msgspec.json.decode(minted.provenance, type=dict[str, Any]),
            evidence=evidence,
            files=_files(node, minted, evidence) if level <= DIGESTS_LEAVE_TO else (),
            level=level,
            ak_name=ak_name,
            signer=node.tpm_identity.kind,
            signed_ms=time.time_ns() // 1_000_000,
            successions=msgspec.to_builtins(
                successions_to(node.journal, node.catalogue, node.tpm_identity.ak_public)
            ),
        )
    )
    signature = node.tpm.sign(pae(PAYLOAD_TYPE, payload))
    envelope = Envelope(PAYLOAD_TYPE, payload, (EnvelopeSignature(ak_name, signature),))
    return {
        "record": seq,
        "envelope": encode_envelope(envelope).decode(),
        "ak_name": ak_name,
        "root_of_trust": node.tpm_identity.kind.value,
    }


def _named(node: Node, record: str) -> int:
    if _SEQUENCE_NUMBER.fullmatch(record):
        if int(record) < node.journal.size:
            return int(record)
    elif _PROCEDURE.fullmatch(record):
        found = node.catalogue.procedures(minted_only=True).get(record)
        if found is not None:
            return found[1]
    else:
        raise UsageError(
            "BAD_RECORD",
            f"{record!r} is neither a sequence number nor a procedure",
            remedy="give a number from `swt3-agent log`, or AI-HW.1 for instance",
        )
    raise UsageError(
        "NO_SUCH_RECORD",
        f"no record {record} in this log that the agent minted",
        remedy="see `swt3-agent log`, or let the collector run with `swt3-agent attest`",
    )


def _evidence_of(node: Node, minted: Record) -> str:
    """The digest of the raw evidence that the anchor rests on."""
    try:
        origin = msgspec.json.decode(minted.provenance, type=_Minted)
        record = node.journal.read(origin.evidence)
        return msgspec.json.decode(record.payload, type=_Evidence).digest
    except msgspec.MsgspecError as error:
        raise JournalError(
            "EVIDENCE_UNKNOWN",
            f"record {minted.seq} does not say which evidence it rests on: {error}",
            remedy="run `swt3-agent fsck`",
        ) from error


def _files(node: Node, minted: Record, evidence: str) -> tuple[str, ...]:
    """Digests of the files of the model that an AI-MDL.1 is about, as its evidence lists them."""
    witness = msgspec.json.decode(minted.payload, type=_Witness)
    context = witness.ai_context
    if witness.procedure_id != "AI-MDL.1" or not isinstance(context, dict):
        return ()
    raw = strict_json.loads(node.evidence.get(evidence), max_bytes=_MAX_EVIDENCE)
    claims = raw.get("claims") if isinstance(raw, dict) else None
    models = entries_claim(claims, "models") if isinstance(claims, dict) else ()
    return tuple(
        digest
        for model in models
        if text_claim(model, "digest") == context.get("file_hash")
        for digest in _digests(model.get("manifest"))
    )


def _digests(manifest: object) -> Iterator[str]:
    files = entries_claim(manifest, "files") if isinstance(manifest, dict) else ()
    return (text_claim(file, "sha256") for file in files if text_claim(file, "sha256"))
