import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from swt3_agent.errors import JournalError, TpmError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import extended, parse_signed_note
from swt3_agent.protocol.log_tree import verify_consistency
from swt3_agent.protocol.record import Kind
from swt3_agent.store import heads
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.fsck import check
from swt3_agent.store.head_records import parse_quote
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.segment_keys import key_file
from tests.unit.store.fake_tpm import LOG_PCR, FakeTpm
from tests.unit.store.records import append

NODE, LOG = "ab" * 16, "cd" * 8


@dataclass
class Agent:
    """What of a daemon matters to the chain of heads: its start, with recovery and boot record."""

    journal: Journal
    catalogue: Catalogue
    keeper: HeadKeeper
    findings: list[str]

    def records(self) -> list[str]:
        """Phases of the checkpoint records."""
        return [
            json.loads(record.provenance)["phase"]
            for record in self.journal.scan(0)
            if record.kind is Kind.CHECKPOINT
        ]


class Node:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: ExitStack | None = None

    def start(self, tpm: FakeTpm | None, boot: str = "boot-1") -> Agent:
        """Start the agent on this node, after stopping the one that runs."""
        self.stop()
        self._running = ExitStack()
        journal = self._running.enter_context(
            Journal.open(self.root / "journal", self.root / "keys")
        )
        catalogue = self._running.enter_context(Catalogue.open(self.root / "catalogue.db", journal))
        keeper = HeadKeeper(
            journal, catalogue, tpm, node_id=NODE, log_id=LOG, boot_id=boot, log_pcr=LOG_PCR
        )
        findings = [finding.code for finding in keeper.recover()]
        value = {"index": LOG_PCR, "value": tpm.log_pcr.hex()} if tpm else None
        record = canonical_json({"boot_id": boot, "log_pcr": value, "findings": findings})
        journal.append([Draft(Kind.BOOT, b'{"listener":"agent"}', record)]).result()
        return Agent(journal, catalogue, keeper, findings)

    def stop(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None


@pytest.fixture
def node(journal_dir: Path) -> Iterator[Node]:
    node = Node(journal_dir)
    yield node
    node.stop()


def make(agent: Agent, reason: str = "test") -> HeadRecord:
    append(agent.journal, f"something new after {agent.journal.size}")
    head = agent.keeper.checkpoint(reason)
    assert head is not None
    return head


def assert_chain(agent: Agent, start: bytes, tpm: FakeTpm) -> None:
    """The signed heads replay from ``start`` to what the log PCR holds, each on the one before."""
    value = start
    for entry in agent.catalogue.heads():
        assert entry.quote_seq is not None
        of, quote = parse_quote(agent.journal.read(entry.quote_seq))
        signed = parse_signed_note(quote.signed_note)
        assert of == entry.note_seq
        assert signed.note.root == agent.journal.root(signed.note.size)
        assert quote.before == value
        value = extended(value, signed.body)
        assert quote.pcrs[LOG_PCR] == value
    assert tpm.log_pcr == value


def test_a_head_is_noted_extended_quoted_and_recorded(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    size = agent.journal.size + 1
    head = make(agent)
    assert head.signed
    assert (head.note.size, head.note.node_id, head.note.log_id) == (size, NODE, LOG)
    assert head.note.root == agent.journal.root(size)
    assert (head.note_seq, head.quote_seq) == (size, size + 1)
    assert agent.keeper.latest == head
    assert head.findings == ()
    payload = json.loads(agent.journal.read(size).payload)
    assert payload == {"body": head.note.body().decode()}
    assert_chain(agent, bytes(32), tpm)


def test_heads_are_chained_by_the_digest_of_the_note_before(node: Node) -> None:
    agent = node.start(FakeTpm())
    first, second = make(agent), make(agent)
    assert first.note.previous == bytes(32)
    assert second.note.previous == first.note.digest()
    path = agent.journal.consistency(first.note.size, second.note.size)
    assert verify_consistency(
        first.note.size, second.note.size, first.note.root, second.note.root, path
    )


def test_no_head_is_made_over_nothing_but_heads(node: Node) -> None:
    agent = node.start(FakeTpm())
    make(agent)
    size = agent.journal.size
    assert agent.keeper.checkpoint("again") is None
    assert agent.journal.size == size
    append(agent.journal, "news")
    assert agent.keeper.checkpoint("again") is not None


def test_the_chain_goes_on_after_a_restart(node: Node) -> None:
    tpm = FakeTpm()
    last = make(node.start(tpm))
    agent = node.start(tpm)
    assert agent.findings == []
    assert agent.keeper.latest == last
    assert make(agent).note.previous == last.note.digest()
    assert_chain(agent, bytes(32), tpm)


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("extended_already", [True, False])
def test_a_note_that_waits_for_its_quote_is_finished_first(
    node: Node, restart: bool, extended_already: bool
) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    make(agent)
    tpm.fail_before, tpm.fail_after = not extended_already, extended_already
    with pytest.raises(TpmError):
        make(agent)
    assert agent.records() == ["note", "quote", "note"]
    if restart:
        agent = node.start(tpm)
        assert agent.findings == []
        assert agent.records() == ["note", "quote", "note", "quote"]
    make(agent)
    assert agent.records() == ["note", "quote"] * 3
    assert len(tpm.extends) == 3
    assert_chain(agent, bytes(32), tpm)


def test_a_tpm_that_stays_away_loses_no_head_and_makes_none_twice(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    make(agent)
    tpm.unreachable = True
    for _ in range(3):
        with pytest.raises(TpmError):
            make(agent)
    assert agent.records() == ["note", "quote", "note"]
    tpm.unreachable = False
    make(agent)
    assert agent.records() == ["note", "quote"] * 3
    assert_chain(agent, bytes(32), tpm)


def test_a_tpm_that_fails_at_the_start_is_a_finding_and_is_taken_up_later(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    tpm.fail_after = True
    with pytest.raises(TpmError):
        make(agent)
    tpm.unreachable = True
    journal, catalogue = agent.journal, agent.catalogue
    keeper = HeadKeeper(
        journal, catalogue, tpm, node_id=NODE, log_id=LOG, boot_id="boot-1", log_pcr=LOG_PCR
    )
    assert [finding.code for finding in keeper.recover()] == ["TPM_BUSY"]
    tpm.unreachable = False
    append(journal, "news")
    assert keeper.checkpoint("later") is not None
    assert_chain(agent, bytes(32), tpm)


def test_a_quote_that_could_not_be_stored_is_taken_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    quote_head = FakeTpm.quote_head

    def quote_and_lose_power(*arguments: object) -> object:
        quote_head(*arguments)  # type: ignore[arg-type]  # as it was called
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FakeTpm, "quote_head", quote_and_lose_power)
        append(agent.journal, "news")
        with pytest.raises(KeyboardInterrupt):
            agent.keeper.checkpoint("test")
    agent = node.start(tpm)
    assert agent.records() == ["note", "quote"]
    assert_chain(agent, bytes(32), tpm)


def test_a_new_boot_starts_a_new_chain_from_what_the_log_pcr_holds(node: Node) -> None:
    tpm = FakeTpm()
    last = make(node.start(tpm))
    tpm.reset()
    tpm.extend(b"a boot stage uses it too".ljust(32))
    start = tpm.log_pcr
    agent = node.start(tpm, "boot-2")
    assert agent.findings == []
    head = make(agent)
    assert head.quote is not None
    assert head.quote.before == start
    assert head.note.previous == last.note.digest()
    assert head.findings == ()


def test_a_note_that_a_reboot_left_unsigned_stays_so_and_is_chained_on(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    tpm.fail_before = True
    with pytest.raises(TpmError):
        make(agent)
    waiting = agent.keeper.latest
    assert waiting is not None
    tpm.reset()
    agent = node.start(tpm, "boot-2")
    assert agent.findings == []
    head = make(agent)
    assert head.note.previous == waiting.note.digest()
    assert agent.records() == ["note", "note", "quote"]


@pytest.mark.parametrize("pending", [True, False])
def test_a_foreign_extend_while_stopped_is_a_finding_and_the_chain_goes_on(
    node: Node, pending: bool
) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    make(agent)
    if pending:
        tpm.fail_after = True
        with pytest.raises(TpmError):
            make(agent)
    tpm.extend(bytes(32))
    foreign = tpm.log_pcr
    agent = node.start(tpm)
    assert agent.findings == ["LOG_PCR_FOREIGN_EXTEND"]
    head = make(agent)
    assert head.quote is not None
    assert head.quote.before == foreign
    assert head.findings == ()
    assert node.start(tpm).findings == []


def test_a_foreign_extend_while_running_is_in_the_head_that_met_it(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    make(agent)
    tpm.extend(bytes(32))
    head = make(agent)
    assert [finding.code for finding in head.findings] == ["LOG_PCR_FOREIGN_EXTEND"]
    assert head.quote_seq is not None
    provenance = json.loads(agent.journal.read(head.quote_seq).provenance)
    assert provenance["findings"] == ["LOG_PCR_FOREIGN_EXTEND"]
    assert make(agent).findings == ()


def test_a_note_that_a_foreign_extend_left_unsigned_is_followed_by_a_signed_head(
    node: Node,
) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    tpm.fail_after = True
    with pytest.raises(TpmError):
        make(agent)
    tpm.extend(bytes(32))
    head = agent.keeper.checkpoint("cadence")
    assert head is not None
    assert head.signed
    assert [finding.code for finding in head.findings] == ["LOG_PCR_FOREIGN_EXTEND"]
    assert agent.keeper.checkpoint("cadence") is None


def test_a_finding_is_kept_until_a_head_has_it(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    tpm.fail_after = True
    with pytest.raises(TpmError):
        make(agent)
    tpm.extend(bytes(32))
    tpm.fail_before = True
    with pytest.raises(TpmError):
        make(agent)
    make(agent)
    found = [
        json.loads(record.provenance).get("findings")
        for record in agent.journal.scan(0)
        if record.kind is Kind.CHECKPOINT
    ]
    assert found == [None, None, ["LOG_PCR_FOREIGN_EXTEND"], None, None]


def test_threads_that_ask_at_once_make_one_chain(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)

    def ask(number: int) -> HeadRecord | None:
        append(agent.journal, f"news {number}")
        return agent.keeper.checkpoint("test")

    with ThreadPoolExecutor(4) as pool:
        heads = [head for head in pool.map(ask, range(24)) if head is not None]
    assert len({head.note_seq for head in heads}) == len(heads) == len(tpm.extends)
    assert_chain(agent, bytes(32), tpm)


def test_a_tpm_reset_under_a_stopped_agent_of_the_same_boot_is_a_finding(node: Node) -> None:
    tpm = FakeTpm()
    make(node.start(tpm))
    tpm.reset()
    agent = node.start(tpm)
    assert agent.findings == ["TPM_RESET_UNDER_RUNNING_SYSTEM"]
    assert make(agent).findings == ()


def test_a_tpm_reset_that_was_extended_again_to_look_the_same_is_a_finding(node: Node) -> None:
    tpm = FakeTpm()
    make(node.start(tpm))
    before = dict(tpm.pcrs)
    tpm.reset()
    tpm.pcrs = before
    assert node.start(tpm).findings == ["TPM_RESET_UNDER_RUNNING_SYSTEM"]


def test_a_tpm_reset_under_a_running_agent_is_in_the_head_that_met_it(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    make(agent)
    tpm.reset()
    findings = [finding.code for finding in make(agent).findings]
    assert findings == ["TPM_RESET_UNDER_RUNNING_SYSTEM"]


def test_a_reboot_before_the_first_head_of_a_boot_is_no_finding(node: Node) -> None:
    tpm = FakeTpm()
    make(node.start(tpm))
    tpm.reset()
    node.start(tpm, "boot-2")
    assert node.start(tpm, "boot-2").findings == []
    tpm.reset()
    assert node.start(tpm, "boot-3").findings == []


def test_a_kexec_is_a_finding(node: Node) -> None:
    tpm = FakeTpm()
    make(node.start(tpm))
    assert node.start(tpm, "boot-2").findings == ["BOOT_WITHOUT_TPM_RESET"]


def test_without_a_tpm_heads_are_unsigned(node: Node) -> None:
    agent = node.start(None)
    first, second = make(agent), make(agent)
    assert not first.signed
    assert first.checkpoint == first.note.body()
    assert second.note.previous == first.note.digest()
    assert agent.records() == ["note", "note"]
    assert agent.keeper.checkpoint("again") is None


def test_a_tpm_that_comes_back_takes_up_the_chain_after_unsigned_heads(node: Node) -> None:
    tpm = FakeTpm()
    make(node.start(tpm))
    value = tpm.log_pcr
    make(node.start(None))
    agent = node.start(tpm)
    assert agent.findings == []
    head = make(agent)
    assert head.quote is not None
    assert head.quote.before == value
    tpm.extend(bytes(32))
    make(node.start(None))
    assert node.start(tpm).findings == ["LOG_PCR_FOREIGN_EXTEND"]


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("heads_between", [True, False])
@pytest.mark.parametrize("extended_already", [True, False])
@pytest.mark.parametrize("first_of_boot", [True, False])
def test_a_note_whose_quote_was_lost_with_the_tpm_is_no_foreign_extend(
    node: Node, starts: int, heads_between: bool, extended_already: bool, first_of_boot: bool
) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    if not first_of_boot:
        make(agent)
    tpm.fail_after, tpm.fail_before = extended_already, not extended_already
    with pytest.raises(TpmError):
        make(agent)
    for _ in range(starts):
        agent = node.start(None)
        if heads_between:
            make(agent)
    agent = node.start(tpm)
    assert agent.findings == []
    assert make(agent).findings == ()
    node.stop()
    (node.root / "VERSION").write_text("1\n")
    assert {found.code for found in check(node.root)} == {"STATE_MODE"}  # a directory of pytest's


@pytest.mark.parametrize("tpm", [FakeTpm(), None])
def test_a_log_that_is_not_the_one_that_the_newest_head_states_is_refused(
    node: Node, tpm: FakeTpm | None
) -> None:
    """A whole key, but another log's: a head more would make two histories."""
    make(node.start(tpm))
    extends = len(tpm.extends) if tpm else 0
    node.stop()
    key = node.root / "keys" / f"segment-{0:016d}.key"
    good = key.read_bytes()
    key.write_bytes(key_file(0, bytes(32)))
    with pytest.raises(JournalError) as refused:
        node.start(tpm)
    assert refused.value.code == "LOG_ROOT_MISMATCH"
    assert extends == (len(tpm.extends) if tpm else 0)
    node.stop()
    key.write_bytes(good)
    make(node.start(tpm))


def test_a_head_over_heads_alone_is_made_where_one_of_their_records_must_be_covered(
    node: Node,
) -> None:
    agent = node.start(FakeTpm())
    first = make(agent)
    assert first.quote_seq is not None
    assert agent.keeper.checkpoint("prove", covering=first.note.size - 1) is None
    second = agent.keeper.checkpoint("prove", covering=first.quote_seq)
    assert second is not None
    assert second.note.size > first.quote_seq
    assert agent.keeper.checkpoint("cadence") is None


def test_a_clock_that_is_set_back_is_recorded_with_the_next_head(node: Node) -> None:
    tpm = FakeTpm()
    agent = node.start(tpm)
    assert make(agent).findings == ()
    tpm.clock_ms += 3_600_000  # as if the node's clock had not gone on
    found = make(agent)
    assert [finding.code for finding in found.findings] == ["CLOCK_BACKDATED"]
    assert make(agent).findings == ()
    assert found.quote_seq is not None
    provenance = json.loads(agent.journal.read(found.quote_seq).provenance)
    assert provenance["findings"] == ["CLOCK_BACKDATED"]


@pytest.mark.parametrize("extended_already", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_note_that_waited_long_is_left_unsigned_and_a_new_one_follows(
    node: Node, monkeypatch: pytest.MonkeyPatch, *, restarted: bool, extended_already: bool
) -> None:
    """A quote that is made much later than its note would show records as dated back."""
    tpm = FakeTpm(fail_before=not extended_already, fail_after=extended_already)
    agent = node.start(tpm)
    append(agent.journal, "something")
    with pytest.raises(TpmError):
        agent.keeper.checkpoint("test")
    monkeypatch.setattr(heads, "MOST_WAIT_MS", -1)
    if restarted:
        agent = node.start(tpm)
    head = agent.keeper.checkpoint("test", covering=0)
    assert head is not None
    assert head.signed
    assert head.findings == ()
    assert agent.findings == []
    assert agent.records() == ["note", "note", "quote"]
    monkeypatch.undo()
    assert node.start(tpm).findings == []
