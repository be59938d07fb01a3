"""Making in-toto statements of records; ``statement`` says what they are, and reads them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swt3_agent.errors import UsageError
from swt3_agent.protocol import strict_json
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.clearing import clear
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.payload import decode_witness
from swt3_agent.protocol.record import MAX_BODY
from swt3_agent.protocol.statement import DIGEST, MAX_SUBJECTS, SCAI_TYPE, STATEMENT_TYPE

DIGESTS_LEAVE_TO = 1
"""The last clearing level at which digests of files leave: they name a public model as well."""

_STATED = re.compile(r"AI-(?:HW|MDL)\.[0-9]+")


@dataclass(frozen=True, slots=True)
class StatedRecord:
    """What a statement is made of: a minted record, where it is, and what it rests on.

    ``payload`` is the witness as it lies in the log, ``evidence`` the hex SHA-256 of the raw
    evidence, ``files`` those of the model's files (left out from clearing level 2 on), ``level``
    the node's clearing level now, ``ak_name`` the hex Name of the signing key, ``signed_ms`` its
    UTC now, ``successions`` the rotations that led to the key (docs/formats.md, "Proof").
    """

    node_id: str
    log_id: str
    seq: int
    payload: bytes
    provenance: Mapping[str, Any]
    evidence: str
    files: Sequence[str]
    level: int
    ak_name: str
    signer: RootOfTrust
    signed_ms: int
    successions: Sequence[Mapping[str, str]] = ()


def make_statement(record: StatedRecord) -> bytes:
    """The statement, as canonical JSON.

    Raises UsageError ``STATEMENT_PROCEDURE`` for a record that is none of AI-HW.* and AI-MDL.*,
    FormatError ``BAD_FIELD`` for a payload that is no witness.
    """
    witness = decode_witness(record.payload)
    procedure = witness.procedure_id
    if not _STATED.fullmatch(procedure):
        raise UsageError(
            "STATEMENT_PROCEDURE",
            f"record {record.seq} is of {procedure}, about which no statement is made",
            remedy="name a record of AI-HW.* or AI-MDL.* (see `swt3-agent log`)",
        )
    tree = strict_json.loads(record.payload, max_bytes=MAX_BODY)
    assert isinstance(tree, dict)  # noqa: S101  decode_witness read it
    cleared, _ = clear(tree, max(record.level, witness.clearing_level))
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(record, procedure, cleared),
        "predicateType": SCAI_TYPE,
        "predicate": {
            "attributes": [
                {
                    "attribute": f"{procedure}:{record.provenance.get('verdict')}",
                    "conditions": _conditions(record, cleared),
                    "evidence": {
                        "name": "evidence",
                        "digest": {"sha256": record.evidence},
                        "mediaType": "application/json",
                    },
                }
            ],
            "producer": {
                "name": f"swt3-agent/{record.node_id}/{record.log_id}",
                "annotations": _signer(record),
            },
        },
    }
    return canonical_json(statement)


def _signer(record: StatedRecord) -> dict[str, object]:
    said: dict[str, object] = {
        "ak_name": record.ak_name,
        "signed_by": record.signer.value,
        "signed_ms": record.signed_ms,
    }
    followed = [dict(link) for link in record.successions]
    return said | ({"successions": followed} if followed else {})


def _subjects(
    record: StatedRecord, procedure: str, cleared: Mapping[str, Any]
) -> list[dict[str, object]]:
    """What the record is about, as far as clearing lets it be named; never nothing."""
    digests: dict[str, object] = {}
    context = cleared.get("ai_context")
    if procedure.startswith("AI-MDL.") and isinstance(context, Mapping):
        if isinstance(digest := context.get("file_hash"), str):
            digests[digest] = cleared.get("ai_model_id")
        adapters = context.get("adapters")
        for adapter in adapters if isinstance(adapters, list) else []:
            if isinstance(adapter, Mapping) and isinstance(digest := adapter.get("hash"), str):
                digests.setdefault(digest, adapter.get("name"))
        if record.level <= DIGESTS_LEAVE_TO:
            for digest in record.files:
                digests.setdefault(digest, None)
    named = {digest: name for digest, name in digests.items() if DIGEST.fullmatch(digest)}
    if not named or len(named) >= MAX_SUBJECTS:
        named = dict(list(named.items())[:1]) or {record.evidence: "evidence"}
    return [
        {"digest": {"sha256": digest}} | ({"name": name} if isinstance(name, str) else {})
        for digest, name in named.items()
    ]


def _conditions(record: StatedRecord, cleared: Mapping[str, Any]) -> dict[str, object]:
    """Under which the attribute holds: all numbers below 2^53, or as the record writes them."""
    return {
        "node_id": record.node_id,
        "log_id": record.log_id,
        "record": record.seq,
        "anchor_fingerprint": cleared["anchor_fingerprint"],
        "anchored_ms": cleared["fingerprint_timestamp_ms"],
        "factors": [cleared["factor_a"], cleared["factor_b"], cleared["factor_c"]],
        "reasons": list(record.provenance.get("reasons", [])),
        "clearing_level": cleared["clearing_level"],
        "root_of_trust": record.provenance.get("root_of_trust"),
    }
