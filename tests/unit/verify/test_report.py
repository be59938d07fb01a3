"""What a report tells its reader: docs/formats.md, "Verification"."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.verify import Outcome, Report, verify_proof
from tests.support.forge import (
    ENROLLER,
    LOG_ID,
    TENANT,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    Quote,
    provenance,
    trust_file,
)

NODE = PaperNode()


def judge(node: PaperNode = NODE, seq: int = WITNESS_SEQ, *, disclosed: bool = True) -> Report:
    proof = encode_proof(node.proof(seq, disclosed=disclosed))
    return verify_proof(proof, trust=trust_file(node), allow_software_tpm=True, now_ms=UTC_MS)


def test_exit_codes_are_pinned() -> None:
    assert {outcome: outcome.exit_code for outcome in Outcome} == {
        Outcome.VERIFIED: 0,
        Outcome.FALSE: 3,
        Outcome.UNDECIDED: 4,
    }


def test_the_json_form_is_pinned() -> None:
    tree = judge().to_json()
    assert list(tree) == [
        "schema",
        "outcome",
        "exit_code",
        "code",
        "reason",
        "remedy",
        "trusted",
        "root_of_trust",
        "checks",
        "record",
        "head",
        "interval",
        "not_proven",
    ]
    assert tree["schema"] == "swt3-agent/verify/1"
    assert tree["outcome"] == "verified"
    assert tree["exit_code"] == 0
    assert tree["root_of_trust"] == "software-tpm"
    record, head = tree["record"], tree["head"]
    assert isinstance(record, dict)
    assert isinstance(head, dict)
    assert record["id"] == f"{LOG_ID}/{WITNESS_SEQ}"
    assert record["payload"]["procedure_id"] == "AI-INF.1"
    assert record["provenance"]["listener"] == "intake"
    assert head["size"] == 7
    assert (head["tpm_clock_ms"], head["tpm_resets"]) == (5_000_000, 7)
    assert json.loads(json.dumps(tree)) == tree


def test_the_checks_are_listed_in_their_order() -> None:
    assert [check.name for check in judge().checks] == [
        "format",
        "leaf",
        "inclusion",
        "signature",
        "quote",
        "pcrs",
        "log-pcr",
        "attestation-key",
        "fingerprint",
        "time",
        "signer",
        "root-of-trust",
    ]


def test_a_refusal_names_the_check_that_failed_and_shows_nothing_of_the_record() -> None:
    proof = NODE.proof(WITNESS_SEQ)
    report = verify_proof(encode_proof(replace(proof, inclusion=())), trust=None)
    assert report.checks[-1].name == "inclusion"
    tree = report.to_json()
    assert (tree["outcome"], tree["record"], tree["head"]) == ("false", None, None)
    assert report.render().startswith("FALSE (INCLUSION_MISMATCH): ")
    assert "FAIL inclusion" in report.render()


def test_a_success_names_whom_it_rests_on() -> None:
    text = judge().render()
    assert text.startswith("VERIFIED: ")
    assert "enroller.example" in text
    digest = sha256(ENROLLER.public_key().public_bytes_raw()).hexdigest()
    assert digest in text


def test_text_from_a_proof_cannot_steer_a_terminal() -> None:
    records = [(provenance(listener="a\x1b[2J\u202e"), b'{"a":"\\u001b[2J\xc3\xa9"}')]
    node = replace(NODE, records=records)
    proof = encode_proof(node.proof(0))
    text = verify_proof(proof, trust=trust_file(node, floors=None)).render()
    assert "\x1b" not in text
    assert text.isascii()


@pytest.mark.parametrize("name", ["\x1b[2J", "a\x9b31m\u202e", "x" * 1_000_000])
def test_text_from_a_refused_file_cannot_steer_a_terminal(name: str) -> None:
    field = canonical_json(json.loads(encode_proof(NODE.proof(0))) | {name: 1}) + b"\n"
    note = NODE.note().body() + f"\n\u2014 {name} no base 64\n".encode()
    line = encode_proof(replace(NODE.proof(0), note=note))
    for data in (field, line):
        report = verify_proof(data)
        text = report.render()
        assert report.outcome is Outcome.FALSE
        assert text.isascii()
        assert text.replace("\n", "").isprintable()
        assert len(text) < 4000


def test_a_long_payload_is_cut_on_a_terminal_and_whole_in_json() -> None:
    payload = json.dumps({"long": "x" * 5000}).encode()
    node = replace(NODE, records=[(b"{}", payload)])
    report = verify_proof(encode_proof(node.proof(0)), trust=None)
    assert len(report.render()) < 4000
    assert report.record is not None
    assert report.record.payload_json == {"long": "x" * 5000}


SENDER = "the word of the process that sent it"


@pytest.mark.parametrize(
    ("fields", "payload", "said"),
    [
        ({"listener": "agent", "root_of_trust": "driver-reported"}, b"{}", "what a driver said"),
        ({"listener": "agent"}, b'{"root_of_trust":"file-content"}', "what a file held"),
        ({"listener": "intake"}, b"{}", SENDER),
        ({"listener": "intake"}, b'{"root_of_trust":"tpm"}', SENDER),
        ({"listener": "intake", "root_of_trust": "tpm"}, b"{}", SENDER),
        ({}, b'{"root_of_trust":"tpm"}', SENDER),
    ],
)
def test_the_content_s_root_of_trust_is_said(
    fields: dict[str, object], payload: bytes, said: str
) -> None:
    node = replace(NODE, records=[*NODE.records, (provenance(**fields), payload)])
    (limit,) = [each for each in judge(node, 7).not_proven if "says of the world" in each]
    assert said in limit


def test_withheld_provenance_is_said() -> None:
    report = judge(disclosed=False)
    assert any("provenance is withheld" in limit for limit in report.not_proven)
    assert report.to_json()["record"] == {
        **(judge().to_json()["record"] or {}),  # type: ignore[dict-item]
        "provenance": None,
    }


def test_a_record_that_the_agent_refused_is_called_so() -> None:
    fields = {"listener": "intake", "tenant": TENANT, "code": "BAD_FINGERPRINT"}
    node = replace(NODE, records=[*NODE.records, (provenance(**fields), b"{}")])
    assert any("refused it" in limit for limit in judge(node, 7).not_proven)
    assert not any("refused it and" in limit for limit in judge().not_proven)


def test_a_head_before_a_revocation_is_so_by_its_own_word() -> None:
    proof = encode_proof(NODE.proof(WITNESS_SEQ))
    report = verify_proof(proof, trust=trust_file(revoked_ms=UTC_MS + 1), allow_software_tpm=True)
    assert report.outcome is Outcome.VERIFIED
    assert any("revocation" in limit for limit in report.not_proven)
    assert not any("revocation" in limit for limit in judge().not_proven)


def test_what_a_missing_counter_leaves_open_is_said() -> None:
    assert any("ctr=0" in limit for limit in judge().not_proven)
    counted = judge(replace(NODE, counter=3)).not_proven
    assert any("certificates" in limit for limit in counted)
    assert not any("ctr=0" in limit for limit in counted)


def test_what_every_proof_leaves_open_is_said() -> None:
    limits = " ".join(judge(replace(NODE, quote=Quote(safe=1))).not_proven)
    for part in ("root could lie", "a leaf covers neither", "no other head", "references"):
        assert part in limits
