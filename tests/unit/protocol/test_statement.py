"""What a statement says, and what stays at home: docs/formats.md, "Statements"."""

import json
from dataclasses import replace
from typing import Any

import pytest

from swt3_agent.errors import FormatError, UsageError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.statement import MAX_SUBJECTS, PAYLOAD_TYPE, parse_statement
from swt3_agent.protocol.stating import StatedRecord, make_statement
from tests.support.forge import LOG_ID, NODE_ID, UTC_MS, witness

MODEL, FILE, ADAPTER, EVIDENCE = ("11" * 32, "22" * 32, "33" * 32, "44" * 32)


def record(procedure: str = "AI-MDL.1", level: int = 1, **changes: Any) -> StatedRecord:
    payload = witness(
        procedure_id=procedure,
        clearing_level=level,
        ai_model_id="secret-model",
        ai_context=changes.pop("context", {"file_hash": MODEL, "file_path_hash": "abcd"}),
    )
    honest = StatedRecord(
        node_id=NODE_ID,
        log_id=LOG_ID,
        seq=7,
        payload=payload,
        provenance={"verdict": "FAIL", "reasons": ["WEIGHTS_DIFFER"], "root_of_trust": "tpm"},
        evidence=EVIDENCE,
        files=(FILE,),
        level=level,
        ak_name="000b" + "55" * 32,
        signer=RootOfTrust.TPM,
        signed_ms=UTC_MS,
    )
    return replace(honest, **changes)


def stated(source: StatedRecord) -> dict[str, Any]:
    data = make_statement(source)
    tree = json.loads(data)
    assert data == canonical_json(tree)
    assert isinstance(tree, dict)
    return tree


def subjects(source: StatedRecord) -> list[tuple[str | None, str]]:
    return [(each.get("name"), each["digest"]["sha256"]) for each in stated(source)["subject"]]


def test_the_statement_is_pinned() -> None:
    assert stated(record()) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "secret-model", "digest": {"sha256": MODEL}},
            {"digest": {"sha256": FILE}},
        ],
        "predicateType": "https://in-toto.io/attestation/scai/v0.3",
        "predicate": {
            "attributes": [
                {
                    "attribute": "AI-MDL.1:FAIL",
                    "conditions": {
                        "node_id": NODE_ID,
                        "log_id": LOG_ID,
                        "record": 7,
                        "anchor_fingerprint": json.loads(record().payload)["anchor_fingerprint"],
                        "anchored_ms": UTC_MS,
                        "factors": [1, 1, 0],
                        "reasons": ["WEIGHTS_DIFFER"],
                        "clearing_level": 1,
                        "root_of_trust": "tpm",
                    },
                    "evidence": {
                        "name": "evidence",
                        "digest": {"sha256": EVIDENCE},
                        "mediaType": "application/json",
                    },
                }
            ],
            "producer": {
                "name": f"swt3-agent/{NODE_ID}/{LOG_ID}",
                "annotations": {
                    "ak_name": "000b" + "55" * 32,
                    "signed_by": "tpm",
                    "signed_ms": UTC_MS,
                },
            },
        },
    }


@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.parametrize("declared", [0, 1, 2, 3])
def test_from_level_2_on_no_digest_of_a_file_and_no_name_leaves(level: int, declared: int) -> None:
    source = replace(record(level=declared), level=level)
    assert subjects(source) == [("evidence", EVIDENCE)]
    text = make_statement(source).decode()
    assert MODEL not in text
    assert FILE not in text
    assert "secret-model" not in text


def test_adapters_are_subjects_of_their_own() -> None:
    context = {"adapters": [{"name": "lora", "hash": ADAPTER}, {"name": "none"}, 7]}
    source = record("AI-MDL.6", context=context, files=())
    assert subjects(source) == [("lora", ADAPTER)]


def test_hardware_is_stated_by_its_evidence() -> None:
    assert subjects(record("AI-HW.1", context={"file_hash": MODEL})) == [("evidence", EVIDENCE)]


def test_a_model_of_very_many_files_is_named_by_its_manifest_alone() -> None:
    files = tuple(f"{number:064x}" for number in range(MAX_SUBJECTS))
    assert subjects(record(files=files)) == [("secret-model", MODEL)]


def test_what_is_no_digest_is_no_subject() -> None:
    source = record(context={"file_hash": "none"}, files=("",))
    assert subjects(source) == [("evidence", EVIDENCE)]


@pytest.mark.parametrize("procedure", ["AI-INF.1", "AI-ENV.1", "AI-AUDIT.1"])
def test_of_other_procedures_nothing_is_stated(procedure: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_statement(record(procedure))
    assert refused.value.code == "STATEMENT_PROCEDURE"


def test_a_payload_that_is_no_witness_is_refused() -> None:
    with pytest.raises(FormatError) as refused:
        make_statement(record(payload=b"{}"))
    assert refused.value.code == "BAD_FIELD"


def test_a_statement_is_read_back() -> None:
    read = parse_statement(PAYLOAD_TYPE, make_statement(record()))
    assert (read.attribute, read.seq, read.anchored_ms) == ("AI-MDL.1:FAIL", 7, UTC_MS)
    assert [(each.name, each.digest) for each in read.subjects] == subjects(record())
