import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from swt3_agent.errors import JournalError
from swt3_agent.protocol.checkpoint import extended, parse_signed_note
from swt3_agent.protocol.key_record import KeyEvent, KeyRecord, encode_key_record
from swt3_agent.protocol.log_tree import verify_consistency, verify_inclusion
from swt3_agent.protocol.proof import Proof, Salted, decode_proof, encode_proof
from swt3_agent.protocol.record import Kind
from swt3_agent.store.journal import Draft
from swt3_agent.store.proofs import build_proof
from swt3_agent.tcg.public import parse_public
from tests.unit.store.fake_tpm import LOG_PCR, FakeTpm
from tests.unit.store.records import append, draft
from tests.unit.store.test_heads import Agent, Node, make
from tests.unit.tcg.vectors import AK_TPMT


@pytest.fixture
def node(journal_dir: Path) -> Iterator[Node]:
    node = Node(journal_dir)
    yield node
    node.stop()


def with_key(agent: Agent) -> Agent:
    name = parse_public(AK_TPMT).name()
    key = encode_key_record(KeyRecord(KeyEvent.CREATED, name, AK_TPMT, "software-tpm"))
    agent.journal.append([Draft(Kind.KEY, b"{}", key)]).result()
    return agent


def assert_proves(proof: Proof, agent: Agent, seq: int) -> None:
    note = parse_signed_note(proof.note).note
    assert proof.record.computed_leaf() == proof.record.leaf
    assert proof.record.payload.content == agent.journal.read(seq).payload
    assert verify_inclusion(proof.record.leaf, seq, note.size, proof.inclusion, note.root)
    assert note.root == agent.journal.root(note.size)
    assert decode_proof(encode_proof(proof)) == proof


def test_a_record_is_proved_by_the_newest_signed_head(node: Node) -> None:
    agent = with_key(node.start(FakeTpm()))
    heads = [make(agent) for _ in range(3)]
    for seq in (0, 1, 2, heads[2].note.size - 1):
        proof = build_proof(agent.journal, agent.catalogue, seq)
        assert_proves(proof, agent, seq)
        assert proof.note == heads[2].checkpoint
        assert isinstance(proof.record.provenance, Salted)
        assert proof.quote is not None
        assert proof.quote.ak_public == AK_TPMT
        assert proof.quote.log_pcr == LOG_PCR
        body = parse_signed_note(proof.note).body
        assert proof.quote.pcrs[LOG_PCR] == extended(proof.quote.before, body)


def test_provenance_can_be_withheld(node: Node) -> None:
    agent = with_key(node.start(FakeTpm()))
    seq = agent.journal.append([draft("{}", tenant="ACME", cgroup="/secret")]).result().first_seq
    make(agent)
    proof = build_proof(agent.journal, agent.catalogue, seq, hide_provenance=True)
    assert_proves(proof, agent, seq)
    assert isinstance(proof.record.provenance, bytes)
    assert proof.tenant == "ACME"
    assert b"secret" not in encode_proof(proof)
    assert base64.b64encode(b"secret") not in encode_proof(proof)


def test_without_a_tpm_an_unsigned_head_proves_what_it_can(node: Node) -> None:
    agent = node.start(None)
    head = make(agent)
    proof = build_proof(agent.journal, agent.catalogue, 0)
    assert_proves(proof, agent, 0)
    assert proof.quote is None
    assert proof.note == head.note.body()


def test_a_signed_head_is_preferred_to_a_newer_unsigned_one(node: Node) -> None:
    signed = make(with_key(node.start(FakeTpm())))
    agent = node.start(None)
    unsigned = make(agent)
    assert build_proof(agent.journal, agent.catalogue, 0).note == signed.checkpoint
    last = unsigned.note.size - 1
    assert build_proof(agent.journal, agent.catalogue, last).note == unsigned.checkpoint


def test_a_record_that_no_head_covers_yet_is_not_proved(node: Node) -> None:
    agent = with_key(node.start(FakeTpm()))
    make(agent)
    seq = append(agent.journal, "too new")
    with pytest.raises(JournalError) as refused:
        build_proof(agent.journal, agent.catalogue, seq)
    assert refused.value.code == "NO_HEAD"


def test_a_head_of_a_key_that_the_log_does_not_know_is_not_offered(node: Node) -> None:
    agent = node.start(FakeTpm())
    make(agent)
    with pytest.raises(JournalError) as refused:
        build_proof(agent.journal, agent.catalogue, 0)
    assert refused.value.code == "AK_UNKNOWN"


def test_the_newest_head_before_the_record_is_shown_where_asked_for(node: Node) -> None:
    agent = with_key(node.start(FakeTpm()))
    first, second = make(agent), make(agent)
    seq = append(agent.journal, "the record")
    third = make(agent)
    proof = build_proof(agent.journal, agent.catalogue, seq, with_previous=True)
    assert_proves(proof, agent, seq)
    assert (proof.note, build_proof(agent.journal, agent.catalogue, seq).previous) == (
        third.checkpoint,
        None,
    )
    assert proof.previous is not None
    assert proof.previous.note == second.checkpoint
    assert second.note.size <= seq
    between = build_proof(
        agent.journal, agent.catalogue, second.note.size - 1, with_previous=True
    ).previous
    assert between is not None
    assert between.note == first.checkpoint
    assert verify_consistency(
        second.note.size,
        third.note.size,
        second.note.root,
        third.note.root,
        proof.previous.consistency,
    )


def test_before_the_first_head_there_is_none(node: Node) -> None:
    agent = with_key(node.start(FakeTpm()))
    head = make(agent)
    proof = build_proof(agent.journal, agent.catalogue, head.note.size - 1, with_previous=True)
    assert proof.previous is None
    assert b"proof/1" in encode_proof(proof)
