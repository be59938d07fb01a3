"""Steps of the counter, interrupted anywhere: what is in the log always explains its value."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import TpmError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.counter import CounterKeeper
from swt3_agent.store.counter_records import boot_counter, last_certificate, last_step
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Commit, Draft, Journal
from tests.support.counter_checker import Checker
from tests.unit.store.fake_counter import INDEX, CountingTpm, KilledError, public_area
from tests.unit.store.fake_tpm import LOG_PCR
from tests.unit.store.records import append

NODE, LOG = "ab" * 16, "cd" * 8
INTERRUPTIONS = [(0, False), *((nth, when) for nth in range(1, 7) for when in (False, True))]
"""Of a definition: look, which fails; define, look, and a step."""
COMMANDS = 4  # of a step: extend and quote, certify, increment, certify


@dataclass
class Agent:
    """What of a daemon matters to the counter: its start, and its steps."""

    journal: Journal
    catalogue: Catalogue
    heads: HeadKeeper
    counter: CounterKeeper
    findings: list[str]
    boot: str
    meanwhile: Callable[[], object] = lambda: None  # once the head of a step is signed

    def step(self, reason: str = "cycle") -> None:
        while (opened := self.counter.open()).present.defined:
            self.findings += [finding.code for finding in opened.findings]
            said = {"boot_id": self.boot, "counter": boot_counter(opened.present)}
            draft = Draft(Kind.BOOT, b'{"listener":"agent"}', canonical_json(said))
            self.journal.append([draft]).result()
            self.counter.go_on(opened)
        self.findings += [finding.code for finding in opened.findings]
        self.heads.tell(opened.findings)
        self.counter.go_on(opened)
        self.counter.step(opened, reason, self)

    def cover(self, seq: int) -> HeadRecord:
        head = self.heads.checkpoint("counter", covering=seq) or self.heads.latest
        assert head is not None
        self.meanwhile()
        return head

    def record_counter(self, certificate: Draft, value: int) -> Commit:
        return self.heads.record_counter(certificate, value)


class Node:
    """A state directory and a TPM."""

    def __init__(self, root: Path, tpm: CountingTpm) -> None:
        for name in ("journal", "keys"):
            (root / name).mkdir(exist_ok=True)
        self.root, self.tpm, self.boots = root, tpm, 0
        self.findings: list[str] = []
        self._running = ExitStack()
        self.agent = self.start()

    def start(self) -> Agent:
        """Start the agent, after stopping the one that runs."""
        self._running.close()
        self.tpm.at = None
        journal = self._running.enter_context(
            Journal.open(self.root / "journal", self.root / "keys")
        )
        catalogue = self._running.enter_context(Catalogue.open(None, journal))
        boot = f"boot-{self.boots}"
        heads = HeadKeeper(
            journal, catalogue, self.tpm, node_id=NODE, log_id=LOG, boot_id=boot, log_pcr=LOG_PCR
        )
        findings = [*heads.recover()]
        counter = CounterKeeper(journal, catalogue, self.tpm, INDEX)
        opened = counter.open()
        findings += opened.findings
        codes = [finding.code for finding in findings]
        log_pcr = {"index": LOG_PCR, "value": self.tpm.log_pcr.hex()}
        content = {
            "boot_id": boot,
            "log_pcr": log_pcr,
            "counter": boot_counter(opened.present),
            "findings": codes,
        }
        journal.append(
            [Draft(Kind.BOOT, b'{"listener":"agent"}', canonical_json(content))]
        ).result()
        counter.go_on(opened)
        self.agent = Agent(journal, catalogue, heads, counter, self.findings, boot)
        self.findings += codes
        return self.agent

    def reboot(self) -> Agent:
        """Power off and on."""
        self.tpm.reset()
        self.boots += 1
        return self.start()

    def stop(self) -> None:
        self._running.close()


@contextmanager
def new_node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory() as directory:
        node = Node(Path(directory), CountingTpm())
        yield node
        node.stop()


@pytest.fixture
def node() -> Iterator[Node]:
    with new_node() as node:
        yield node


def test_a_step_is_announced_covered_certified_taken_and_certified(node: Node) -> None:
    node.agent.step("start")
    assert node.tpm.moves[1:] == ["open", "extend", "certify", "increment", "certify"]
    kinds = [record.kind.label for record in node.agent.journal.scan(1)]
    assert kinds == ["counter-intent", "checkpoint", "checkpoint", "counter-cert", "counter-cert"]
    intent = json.loads(node.agent.journal.read(1).payload)
    assert intent == {"index": "01800053", "reason": "start", "value": 2}
    before, after = (json.loads(node.agent.journal.read(seq).payload) for seq in (4, 5))
    assert (before["phase"], before["intent"], before["head"], before["value"]) == (
        "before",
        1,
        2,
        1,
    )
    assert (after["phase"], after["intent"], after["head"], after["value"]) == ("after", 1, 2, 2)
    checked = Checker().read(node.agent.journal)
    assert (checked.gaps, checked.steps, checked.certified) == ([], 1, 2)


def test_notes_state_the_newest_certificate_before_them(node: Node) -> None:
    stated = []
    for _ in range(3):
        append(node.agent.journal, "something new")
        head = node.agent.heads.checkpoint("test")
        assert head is not None
        stated.append(head.note.counter)
        node.agent.step()
    assert stated == [0, 2, 3]
    head = node.reboot().heads.checkpoint("start")
    assert head is not None
    assert head.note.counter == 4


def test_a_new_counter_is_said_to_be_new_once(node: Node) -> None:
    boot = json.loads(node.agent.journal.read(0).payload)["counter"]
    name = b"\x00\x0b" + sha256(public_area()).digest()
    assert boot == {"index": "01800053", "name": name.hex(), "value": 1, "defined": True}
    agent = node.start()
    again = json.loads(agent.journal.read(agent.journal.size - 1).payload)["counter"]
    assert (again["value"], again["defined"]) == (1, False)
    assert node.findings == []


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("command", range(COMMANDS + 1))
@pytest.mark.parametrize("how", ["restart", "reboot"])
def test_a_kill_anywhere_in_a_step_leaves_nothing_unexplained(
    node: Node, command: int, how: str, *, afterwards: bool
) -> None:
    node.agent.step("start")
    node.tpm.interrupt(command, afterwards=afterwards, by=KilledError)
    with pytest.raises(KilledError):
        node.agent.step()
    agent = node.start() if how == "restart" else node.reboot()
    agent.step("start")
    agent.step("stop")
    checked = Checker().read(agent.journal)
    assert (checked.gaps, node.findings) == ([], [])
    assert checked.certified == node.tpm.value


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("command", range(1, COMMANDS + 1))
def test_a_tpm_that_is_lost_anywhere_in_a_step_is_taken_up_by_the_next(
    node: Node, command: int, *, afterwards: bool
) -> None:
    node.agent.step("start")
    node.tpm.interrupt(command, afterwards=afterwards, by=TpmError)
    with pytest.raises(TpmError):
        node.agent.step()
    node.agent.step()
    checked = Checker().read(node.agent.journal)
    assert (checked.gaps, node.findings) == ([], [])
    assert checked.certified == node.tpm.value


@pytest.mark.parametrize("restarted", [False, True])
def test_a_foreign_increment_is_found_once_and_the_log_goes_on(
    node: Node, *, restarted: bool
) -> None:
    node.agent.step("start")
    node.tpm.increment_counter(INDEX)
    agent = node.start() if restarted else node.agent
    agent.step()
    agent.step()
    agent = node.start()
    assert node.findings == ["COUNTER_GAP"]
    assert Checker().read(agent.journal).gaps == [3]
    recorded = [
        record.seq
        for record in agent.journal.scan(0)
        if b"COUNTER_GAP" in record.payload + record.provenance
    ]
    assert len(recorded) == 1


def test_an_older_copy_of_the_log_shows(node: Node) -> None:
    node.agent.step("start")
    node.stop()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for path in node.root.rglob("*"):
            target = copy / path.relative_to(node.root)
            target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
        agent = node.start()
        agent.step()
        agent.step("stop")
        node.stop()
        node.tpm.reset()
        restored = Node.__new__(Node)
        restored.root, restored.tpm, restored.boots = copy, node.tpm, 1
        restored.findings, restored._running = [], ExitStack()
        restored.start()
        assert restored.findings == ["COUNTER_GAP"]
        restored.stop()


def test_a_counter_that_fell_is_found(node: Node) -> None:
    for _ in range(3):
        node.agent.step()
    node.tpm.value = 2  # a virtual TPM that was set back
    node.reboot()
    assert node.findings == ["COUNTER_FELL"]


def test_a_counter_that_was_deleted_goes_on_and_that_is_said(node: Node) -> None:
    node.agent.step()
    node.tpm.undefine()
    agent = node.reboot()
    agent.step()
    boots = [json.loads(r.payload) for r in agent.journal.scan(0) if r.kind is Kind.BOOT]
    said = [(boot["counter"]["value"], boot["counter"]["defined"]) for boot in boots]
    assert said == [(1, True), (None, True), (3, True)]
    assert node.findings == ["COUNTER_REDEFINED"]
    assert Checker().read(agent.journal).gaps == []


@pytest.mark.parametrize(("command", "afterwards"), INTERRUPTIONS)
@pytest.mark.parametrize("how", ["restart", "reboot", "lose"])
def test_an_interruption_anywhere_in_a_definition_leaves_nothing_unexplained(
    node: Node, command: int, how: str, *, afterwards: bool
) -> None:
    node.agent.step()
    node.tpm.undefine()
    by = TpmError if how == "lose" else KilledError
    node.tpm.interrupt(command, afterwards=afterwards, by=by)
    with pytest.raises(by):
        node.agent.step()
    if how != "lose":
        node.start() if how == "restart" else node.reboot()
    agent = node.agent
    agent.step()
    checked = Checker().read(agent.journal)
    assert (checked.gaps, node.findings) == ([], ["COUNTER_REDEFINED"])
    assert checked.certified == node.tpm.value


def test_a_step_over_a_head_of_an_earlier_run_of_the_tpm_is_not_recorded(node: Node) -> None:
    node.agent.meanwhile = node.tpm.reset
    with pytest.raises(TpmError) as refused:
        node.agent.step()
    assert refused.value.code == "TPM_WAS_RESET"
    assert last_certificate(node.agent.journal, node.agent.catalogue) is None


def test_a_key_that_changes_within_a_step_certifies_none_of_it(node: Node) -> None:
    node.agent.step("start")
    node.agent.meanwhile = lambda: setattr(node.tpm, "signer", b"\x00\x0b" + b"k" * 32)
    with pytest.raises(TpmError) as refused:
        node.agent.step()
    assert refused.value.code == "TPM_KEY_CHANGED"
    node.agent.step()
    checked = Checker().read(node.agent.journal)
    assert (checked.gaps, checked.steps, node.findings) == ([], 2, [])


def test_somebody_who_counts_between_certificate_and_step_is_refused(node: Node) -> None:
    node.agent.step("start")
    node.agent.meanwhile = lambda: node.tpm.increment_counter(INDEX)
    with pytest.raises(TpmError) as refused:
        node.agent.step()
    assert refused.value.code == "COUNTER_MOVED"
    node.agent.meanwhile = lambda: None
    node.agent.step()
    assert node.findings == ["COUNTER_GAP"]


def test_what_a_reset_could_drop_begins_at_the_head_of_the_last_certificate(node: Node) -> None:
    assert last_certificate(node.agent.journal, node.agent.catalogue) is None
    node.agent.step()
    last = node.agent.counter.last
    assert last is not None
    assert last == last_certificate(node.agent.journal, node.agent.catalogue)
    assert (last.size, last.stated.value) == (2, 2)


def test_a_certificate_before_a_step_that_is_not_taken_vouches_for_nothing(node: Node) -> None:
    node.agent.step()
    stepped = node.agent.counter.last
    node.tpm.interrupt(3, afterwards=False, by=TpmError)  # the increment
    with pytest.raises(TpmError):
        node.agent.step()
    journal, catalogue = node.agent.journal, node.agent.catalogue
    newest = last_certificate(journal, catalogue)
    assert newest is not None
    assert newest.stated.promised
    assert node.agent.counter.last == last_step(journal, catalogue) == stepped


EVENTS = st.one_of(
    st.tuples(st.just("step")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("reboot")),
    st.tuples(
        st.sampled_from(["kill", "kill and reboot", "lose"]),
        st.integers(0, COMMANDS),
        st.booleans(),
    ),
)


def play(node: Node, event: tuple[Any, ...]) -> None:
    what = event[0]
    if what == "step":
        node.agent.step()
    elif what == "restart":
        node.start()
    elif what == "reboot":
        node.reboot()
    elif what == "foreign":
        node.tpm.increment_counter(INDEX)
    else:
        by = TpmError if what == "lose" else KilledError
        node.tpm.interrupt(event[1], afterwards=event[2], by=by)
        with pytest.raises(by):
            node.agent.step()
        if what != "lose":
            node.start() if what == "kill" else node.reboot()


@settings(max_examples=25, deadline=None)
@given(events=st.lists(EVENTS, min_size=1, max_size=6))
def test_no_sequence_of_interruptions_leaves_a_gap(events: list[tuple[Any, ...]]) -> None:
    with new_node() as node:
        for event in events:
            play(node, event)
        node.start().step()
        checked = Checker().read(node.agent.journal)
        assert (checked.gaps, node.findings) == ([], [])
        assert checked.certified == node.tpm.value


@settings(max_examples=25, deadline=None)
@given(events=st.lists(EVENTS | st.tuples(st.just("foreign")), min_size=1, max_size=6))
def test_whatever_a_verifier_would_call_a_gap_the_node_has_found(
    events: list[tuple[Any, ...]],
) -> None:
    with new_node() as node:
        for event in events:
            play(node, event)
        node.start().step()
        checked = Checker().read(node.agent.journal)
        assert set(node.findings) <= {"COUNTER_GAP"}
        assert len(checked.gaps) <= len(node.findings)
        if not any(event[0] == "foreign" for event in events):
            assert node.findings == []
