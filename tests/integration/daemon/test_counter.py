"""The counter of a node on a software TPM: interrupted, counted by strangers, deleted, denied."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import back_off, identity
from swt3_agent.daemon.enrolment import enrolment_request
from swt3_agent.daemon.metrics import registry
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_counter import NodeCounter, step_counter
from swt3_agent.daemon.views import status_view, stopped_view
from swt3_agent.errors import TpmError
from swt3_agent.protocol.record import Kind
from swt3_agent.store.journal import Journal
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.support.agent import AgentProcess
from tests.support.bundles import export, judged, trust_in
from tests.support.counter_checker import Checker
from tests.support.software_tpm import tpm2
from tests.support.tpm_proxy import Command, LostError, TpmProxy

INDEX = "0x01800053"
DEADLINE_S = 20.0


def settings(room: Path, tcti: str | None = None, **more: str) -> Config:
    return load_config(
        {
            "SWT3_STATE_DIR": str(room / "state"),
            "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
            "SWT3_TPM_TCTI": tcti or f"swtpm:path={room}/tpm/tpm.sock",
            **more,
        }
    )


@pytest.fixture
def proxy(swtpm: SoftwareTpm, room: Path) -> Iterator[TpmProxy]:
    behind = Path(swtpm.tcti.removeprefix("swtpm:path="))
    with TpmProxy(room / "proxy.sock", behind) as proxy:
        yield proxy


@dataclass
class Loss:
    """A hook that does ``act`` and loses the connection at the ``nth`` command ``code``, once."""

    code: int
    nth: int
    act: Callable[[], None] = lambda: None
    happened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, code: int) -> None:
        if code != self.code or self.happened.is_set():
            return
        self.nth -= 1
        if self.nth < 0:
            self.act()
            self.happened.set()
            raise LostError


def lose(proxy: TpmProxy, loss: Loss, *, afterwards: bool) -> None:
    """From now on: before the TPM has the command, or ``afterwards``, in place of its answer."""
    if afterwards:
        proxy.after = loss
    else:
        proxy.before = loss


@pytest.fixture
def boot(room: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the kernel say that it runs in another boot."""
    path = room / "boot_id"
    monkeypatch.setattr(identity, "BOOT_ID", path)
    path.write_text("boot-0\n")

    def boots_now(name: str) -> None:
        path.write_text(f"{name}\n")

    return boots_now


def checked(room: Path) -> Checker:
    state = room / "state"
    with Journal.open(state / "journal", state / "keys", readonly=True) as journal:
        return Checker().read(journal)


def await_steps(room: Path, count: int) -> None:
    """Wait until the log has ``count`` whole steps of the counter."""
    deadline = time.monotonic() + DEADLINE_S
    while checked(room).steps < count:
        assert time.monotonic() < deadline, "the counter was not stepped"
        time.sleep(0.02)


def codes(node: Node) -> list[str]:
    return [finding.code for finding in node.findings]


def boots(node: Node) -> list[dict[str, Any]]:
    records = node.journal.scan(0)
    return [json.loads(record.payload) for record in records if record.kind is Kind.BOOT]


def test_a_node_counts_at_start_cycle_and_stop(swtpm: SoftwareTpm, room: Path) -> None:
    with AgentProcess(room, swtpm.tcti) as agent:
        await_steps(room, 1)
        shown = agent.json("status")["counter"]
        assert (shown["index"], shown["value"], shown["error"]) == ("01800053", 2, None)
        assert "a reset could drop records from" in agent.cli("status").stdout
        agent.stop()
    records = agent.records()
    kinds = [record["kind"] for record in records]
    assert kinds[-2:] == ["checkpoint", "checkpoint"]
    reasons = [r["payload"]["reason"] for r in records if r["kind"] == "counter-intent"]
    assert reasons == ["start", "stop"]
    done = checked(room)
    assert (done.gaps, done.steps, done.certified) == ([], 2, 3)
    assert stopped_view(settings(room))["counter"]["value"] == 3


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize(
    ("command", "nth"),
    [
        (Command.PCR_EXTEND, 0),
        (Command.NV_CERTIFY, 0),
        (Command.NV_INCREMENT, 0),
        (Command.NV_CERTIFY, 1),
    ],
)
def test_a_connection_that_is_lost_in_a_step_is_made_up_for_by_the_next(
    proxy: TpmProxy, room: Path, command: int, nth: int, *, afterwards: bool
) -> None:
    with Node(settings(room, proxy.tcti)) as node:
        node.counter.step("start")
        loss = Loss(command, nth)
        lose(proxy, loss, afterwards=afterwards)
        step_counter(node.counter, "cycle")
        assert loss.happened.is_set()
        node.counter.step("cycle")
        assert status_view(node, None)["counter"]["error"] is None
        assert codes(node) == []
    done = checked(room)
    assert (done.gaps, done.steps >= 2) == ([], True)


@pytest.mark.parametrize(
    ("command", "nth", "afterwards"),
    [
        (Command.NV_CERTIFY, 0, False),
        (Command.NV_INCREMENT, 0, False),
        (Command.NV_INCREMENT, 0, True),
    ],
)
def test_a_daemon_that_is_killed_in_a_step_leaves_nothing_unexplained(
    proxy: TpmProxy, room: Path, command: int, nth: int, *, afterwards: bool
) -> None:
    agent = AgentProcess(room, proxy.tcti)
    with agent:
        await_steps(room, 1)
        agent.stop()
    loss = Loss(command, nth, lambda: os.kill(agent.pid, signal.SIGKILL))
    lose(proxy, loss, afterwards=afterwards)
    agent.start()
    assert loss.happened.wait(DEADLINE_S)
    agent.kill()
    with agent:
        await_steps(room, 3)
        assert [f["code"] for f in agent.json("status")["findings"]] == []
        agent.stop()
    done = checked(room)
    assert done.gaps == []
    assert agent.cli("fsck").returncode == 0


def test_a_verifier_follows_every_interrupted_step(proxy: TpmProxy, room: Path) -> None:
    with Node(settings(room, proxy.tcti)) as node:
        node.counter.step("start")
        for command, nth in [(Command.NV_CERTIFY, 0), (Command.NV_CERTIFY, 1)]:
            for afterwards in (False, True):
                lose(proxy, Loss(command, nth), afterwards=afterwards)
                step_counter(node.counter, "cycle")
        node.counter.step("stop")
        report = judged(export(node, room / "bundle.tar"), trust_in(node))
    assert (report.code, report.outcome.value) == ("VERIFIED", "verified")


def test_who_has_the_authvalue_can_count_and_is_found_out(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
    auth = (room / "state" / "keys" / "ak.auth").read_bytes().hex()
    tpm2(swtpm.tcti, "nvincrement", "-C", INDEX, "-P", f"hex:{auth}", INDEX)
    with Node(settings(room)) as node:
        assert codes(node) == ["COUNTER_GAP"]
        assert boots(node)[-1]["findings"] != []
        node.counter.step("start")
        tpm2(swtpm.tcti, "nvincrement", "-C", INDEX, "-P", f"hex:{auth}", INDEX)
        node.counter.step("cycle")
        assert codes(node) == ["COUNTER_GAP"] * 2
        shown = status_view(node, None)["findings"]
        assert [finding["code"] for finding in shown] == ["COUNTER_GAP"] * 2
    assert checked(room).gaps == [3, 5]


def test_nobody_counts_without_the_authvalue(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
        with pytest.raises(AssertionError, match="0x000009a2"):
            tpm2(swtpm.tcti, "nvincrement", "-C", INDEX, INDEX)
        node.counter.step("cycle")
        assert codes(node) == []


def test_an_index_that_the_owner_deletes_is_defined_again_and_a_boot_record_says_so(
    swtpm: SoftwareTpm, room: Path
) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
        tpm2(swtpm.tcti, "nvundefine", "-C", "o", INDEX)
        node.counter.step("cycle")
        assert codes(node) == ["COUNTER_REDEFINED"]
        said = [(boot["counter"]["value"], boot["counter"]["defined"]) for boot in boots(node)]
        assert said == [(1, True), (None, True), (3, True)]
        head = node.checkpoint("stop")
        assert head is not None
        assert head.note.counter == 4
    assert checked(room).gaps == []
    with Node(settings(room)) as node:
        assert codes(node) == []
        assert node.earlier_findings == {"COUNTER_REDEFINED": 1}


@pytest.mark.parametrize("running", [True, False])
def test_a_counter_is_said_to_be_defined_anew_before_it_is(
    proxy: TpmProxy, swtpm: SoftwareTpm, room: Path, *, running: bool
) -> None:
    loss = Loss(Command.NV_INCREMENT, 0)
    with ExitStack() as stack:
        node = stack.enter_context(Node(settings(room, proxy.tcti)))
        node.counter.step("start")
        trust = trust_in(node)
        tpm2(swtpm.tcti, "nvundefine", "-C", "o", INDEX)
        lose(proxy, loss, afterwards=True)
        if not running:
            stack.close()
            node = stack.enter_context(Node(settings(room, proxy.tcti)))
        step_counter(node.counter, "cycle")
        assert loss.happened.is_set()
        node.counter.step("cycle")
        assert codes(node) == ["COUNTER_REDEFINED"]
        report = judged(export(node, room / "bundle.tar"), trust)
        assert report.code == "COUNTER_REDEFINED"  # and not COUNTER_GAP, which is for good
    assert checked(room).gaps == []


def test_a_request_for_enrolment_defines_no_counter_unsaid(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
        tpm2(swtpm.tcti, "nvundefine", "-C", "o", INDEX)
        enrolment_request(node)
        node.counter.step("cycle")
        assert codes(node) == ["COUNTER_REDEFINED"]
    assert checked(room).gaps == []


def test_an_older_copy_of_the_state_directory_shows_after_a_reboot(
    swtpm: SoftwareTpm, room: Path, boot: Callable[[str], None]
) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
    shutil.copytree(room / "state", room / "yesterday")
    with Node(settings(room)) as node:
        node.counter.step("start")
    swtpm.stop()
    shutil.rmtree(room / "state")
    (room / "yesterday").rename(room / "state")
    boot("boot-1")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert codes(node) == ["COUNTER_GAP"]
        node.counter.step("start")
        report = judged(export(node, room / "bundle.tar"), trust_in(node))
        assert (report.code, report.outcome.value) == ("COUNTER_GAP", "false")


def test_resets_of_the_tpm_are_held_against_boots(
    swtpm: SoftwareTpm, room: Path, boot: Callable[[str], None]
) -> None:
    with Node(settings(room)) as node:
        assert boots(node)[-1]["safe"] is True
    boot("boot-1")
    with Node(settings(room)) as node:
        assert codes(node) == ["BOOT_WITHOUT_TPM_RESET"]  # kexec
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert codes(node) == []
        resets = [record["reset_count"] for record in boots(node)]
        assert resets[0] == resets[1]
        assert resets[2] == resets[1] + 1
    with start_software_tpm(room / "tpm"):  # another system
        pass
    boot("boot-3")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert codes(node) == ["RESETS_UNACCOUNTED"]
        assert node.finding_counts == {"RESETS_UNACCOUNTED": 1}
    boot("boot-4")
    with Node(settings(room)) as node:  # no TPM is there
        assert codes(node) == []
    boot("boot-5")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        assert codes(node) == ["BOOT_WITHOUT_TPM_RESET"]  # one of two boots did not reset it


def test_an_owner_who_lets_nobody_define_an_index_costs_the_counter_and_nothing_else(
    swtpm: SoftwareTpm, room: Path
) -> None:
    tpm2(swtpm.tcti, "changeauth", "-c", "owner", "secret")
    with Node(settings(room)) as node:
        assert codes(node) == ["TPM_DENIED"]
        assert boots(node)[-1]["counter"] is None
        head = node.checkpoint("cadence", covering=0)
        assert head is None or (head.signed, head.note.counter) == (True, 0)
        with pytest.raises(TpmError):
            node.counter.step("start")
        shown = status_view(node, None)["counter"]
        assert (shown["value"], shown["certified"], shown["error"]["code"]) == (
            None,
            None,
            "TPM_DENIED",
        )
        assert not node.counter.is_due  # it backs off
        tpm2(swtpm.tcti, "changeauth", "-c", "owner", "-p", "secret")
        node.counter.step("start")
        assert status_view(node, None)["counter"]["value"] == 2
        assert boots(node)[-1]["counter"]["defined"]
    assert checked(room).gaps == []


def test_a_node_that_does_not_stay_counts_once_in_a_boot(swtpm: SoftwareTpm, room: Path) -> None:
    agent = AgentProcess(room, swtpm.tcti)
    for _ in range(2):
        assert agent.cli("attest", "host").returncode == 0
    assert checked(room).steps == 1


def test_a_node_that_is_told_to_keep_no_counter_keeps_none(
    swtpm: SoftwareTpm, room: Path, tmp_path: Path
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"agent:\n  tpm: {{counter: none, tcti: '{swtpm.tcti}'}}\n")
    with Node(load_config({"SWT3_STATE_DIR": str(room / "state")}, file)) as node:
        step_counter(node.counter, "start")
        assert not node.counter.is_due
        assert status_view(node, None)["counter"] is None
        assert node.catalogue.last_of_kind(Kind.COUNTER_INTENT) is None


def test_a_step_is_due_at_first_sight_of_the_tpm_and_at_each_interval(
    swtpm: SoftwareTpm, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back_off, "FIRST_S", 0.0)
    clock = [1000.0]
    swtpm.stop()
    with Node(settings(room)) as node:
        counter = NodeCounter(node.heads, lambda: node.config, lambda: clock[0])

        def due() -> bool:
            return counter.is_due

        assert not due()
        with start_software_tpm(room / "tpm"):
            node.checkpoint("cadence")
            assert due()
            counter.step("start")
            assert not due()
            clock[0] += node.config.intervals.counter - 1
            assert not due()
            clock[0] += 1
            assert due()
        step_counter(counter, "cycle")
        assert counter.lack is not None
        assert counter.has_stepped
        with start_software_tpm(room / "tpm"):
            assert due()  # it failed, and is tried again before the interval is over
            step_counter(counter, "cycle")
            assert codes(node) == ["TPM_RESET_UNDER_RUNNING_SYSTEM"]


def test_a_run_that_follows_a_crash_waits_for_the_interval(
    swtpm: SoftwareTpm, room: Path, boot: Callable[[str], None]
) -> None:
    with Node(settings(room)) as node:
        assert node.counter.is_due
        node.counter.step("start")
    with Node(settings(room)) as node:
        assert not node.counter.is_due
        node.counter.step("stop")
    with Node(settings(room)) as node:
        assert node.counter.is_due
        node.counter.step("start")
    with Node(settings(room)) as node:
        intervals = msgspec.structs.replace(node.config.intervals, counter=0.0)
        short = replace(node.config, intervals=intervals)
        assert NodeCounter(node.heads, lambda: short).is_due
    boot("boot-1")
    with Node(settings(room)) as node:
        assert node.counter.is_due


def test_counter_and_findings_are_metrics(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        node.counter.step("start")
        tpm2(swtpm.tcti, "nvundefine", "-C", "o", INDEX)
        node.counter.step("cycle")
        text = generate_latest(registry(node, [])).decode()
    assert "swt3_counter_value 4.0" in text
    assert "swt3_counter_timestamp_seconds 1" in text
    assert 'swt3_findings_total{code="COUNTER_REDEFINED"} 1.0' in text
