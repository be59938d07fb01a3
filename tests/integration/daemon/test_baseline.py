"""A node that boots as a real machine did: accepted, changed, updated, and what the verdict says.

The software TPM has been extended with every event of the boot log, and the probe reads it.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import baseline, identity
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import attest
from swt3_agent.daemon.views import status_view
from swt3_agent.errors import AgentError
from swt3_agent.probe.logs import read_log
from swt3_agent.probe.wire import MAX_LINE, Data, Lack, Log, answer_line, parse_question
from swt3_agent.protocol.baseline import PLATFORM, BaselineChange, Change
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.reference import encode_reference
from swt3_agent.tcg.event_log import Event
from swt3_agent.tpm.software import start_software_tpm
from tests.support.agent import AgentProcess
from tests.support.boot_logs import ima_entry, ima_ng, real_log, real_pcrs
from tests.support.measured_boot import boot, changed, extend, measured
from tests.support.probe import accepting, write_log
from tests.support.software_tpm import start_copy

MACHINE = "rhel8-uefi"
LOG = real_log(MACHINE)
FAIL, NOT_COMPARED = 3, 4


def settings(room: Path) -> Path:
    """A configuration that names the probe of the test."""
    file = room / "agent.yaml"
    file.write_text(f"agent: {{probe: {{socket: {room / 'probe.sock'}}}}}\n")
    return file


def configured(room: Path, tcti: str) -> Config:
    environ = {
        "SWT3_STATE_DIR": str(room / "state"),
        "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
        "SWT3_TPM_TCTI": tcti,
    }
    return load_config(environ, settings(room))


@pytest.fixture(autouse=True)
def boots(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel's id of the boot is read: each machine that boots here has its own."""
    (room / "boot_id").write_text(str(uuid4()))
    monkeypatch.setattr(identity, "BOOT_ID", room / "boot_id")


@contextmanager
def machine(
    template: Path, room: Path, log: bytes = LOG, ima: bytes = b"", *, booted: bool = True
) -> Iterator[str]:
    """The machine, just booted as ``log`` says; the TCTI of its TPM. ``booted`` False: only the
    TPM was reset, and extended again by who did it."""
    if booted:
        (room / "boot_id").write_text(str(uuid4()))
    write_log(room / "kernel", Log.BOOT, log)
    if ima:
        write_log(room / "kernel", Log.IMA, ima)
    first = not (room / "tpm").exists()
    with start_copy(template, room / "tpm") if first else start_software_tpm(room / "tpm") as tpm:
        boot(tpm.tcti, log)
        yield tpm.tcti


def answer(connection: socket.socket, root: Path) -> None:
    """As the probe does, in this process."""
    question = parse_question(connection.recv(MAX_LINE))
    if question is None:  # nobody asked
        return
    read = read_log(question, root)
    if isinstance(read, Lack):
        connection.sendall(answer_line(read))
    else:
        data, total = read
        connection.sendall(answer_line(Data(len(data), total)) + data)


@contextmanager
def node(
    template: Path, room: Path, log: bytes = LOG, ima: bytes = b"", *, booted: bool = True
) -> Iterator[Node]:
    """A node on that machine, after this boot."""
    with (
        machine(template, room, log, ima, booted=booted) as tcti,
        accepting(room / "probe.sock", lambda connection: answer(connection, room / "kernel")),
        Node(configured(room, tcti)) as running,
    ):
        yield running


def with_command_line(log: bytes, old: bytes, new: bytes) -> bytes:
    """The log of a boot with another kernel command line."""

    def change(event: Event) -> Event:
        if event.pcr != 8 or old not in event.data:
            return event
        data = event.data.replace(old, new)
        hashed = data.partition(b" ")[2].rstrip(b"\0")  # GRUB hashes what follows its own word
        return measured(event, data, hashed)

    return changed(log, change)


def judged(running: Node) -> dict[str, Any]:
    """What AI-HW.3 comes to now."""
    (row,) = attest(running, ["platform"])
    return row


def codes(row: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in row["reasons"]]


def outcome(running: Node) -> tuple[str, list[str]]:
    row = judged(running)
    return row["verdict"], codes(row)


def accept(
    running: Node,
    reason: str = "first installation",
    pcrs: list[int] | None = None,
    without: tuple[str, ...] = (),
    reference: str | None = None,
    stage_days: int | None = None,
) -> dict[str, Any]:
    return baseline.accept(
        running,
        reason=reason,
        pcrs=pcrs,
        without=without,
        reference=reference,
        stage_days=stage_days,
    )


def evidence(running: Node, record: int) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(running.journal.read(record).payload)
    return payload


def claims(running: Node, record: int) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(running.evidence.get(evidence(running, record)["digest"]))
    return dict(read["claims"])


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value.code


def test_the_verbs_beside_a_daemon(template: Path, room: Path) -> None:
    """The whole way: command line, daemon and TPM."""
    with verbs(template, room) as (cli, read, tcti):
        unknown = cli("attest", "platform")
        assert (unknown.returncode, "NO_REFERENCE" in unknown.stdout) == (0, True)
        assert cli("baseline", "diff").returncode == NOT_COMPARED
        done = read("baseline", "accept", "--reason", "first installation", "--except", "5")
        assert (done["verdict"], done["in_force"]["unjudged"]) == ("PASS", [5])
        status = cli("status").stdout
        assert "first installation" in status
        assert "NOT judged, or not wholly: PCR 5" in status
        extend(tcti, (3, bytes(32)))
        differs = cli("baseline", "diff")
        assert (differs.returncode, "PCR 3 changed" in differs.stdout) == (FAIL, True)
        reference = str(room / "reference.json")
        assert "first installation" in cli("baseline", "show", "--file", reference).stdout
        again = read("baseline", "accept", "--reason", "as before", "--file", reference)
        assert again["verdict"] == "FAIL"


@contextmanager
def verbs(template: Path, room: Path) -> Iterator[tuple[Any, Any, str]]:
    """The command line beside a daemon, what it says in JSON, and the TPM."""
    configuration = ("--config", str(settings(room)))
    with (
        machine(template, room) as tcti,
        accepting(room / "probe.sock", lambda connection: answer(connection, room / "kernel")),
        AgentProcess(room, tcti, arguments=configuration) as agent,
    ):
        yield (
            lambda *verb: agent.cli(*verb, *configuration),
            lambda *verb: agent.json(*verb, *configuration),
            tcti,
        )


def test_a_changed_kernel_command_line_is_found_by_name(template: Path, room: Path) -> None:
    with node(template, room) as running:
        accept(running)
        assert not baseline.diff(running)["differs"]
    with node(template, room, with_command_line(LOG, b" ro ", b" rw ")) as running:
        row = judged(running)
        assert row["verdict"] == "FAIL"
        told = [reason["detail"] for reason in row["reasons"]]
        assert any(detail.startswith("command-line changed: ") for detail in told)
        assert not any(detail.startswith("loaders") for detail in told)
        differs = baseline.diff(running)
        assert differs["differs"]
        assert [one["detail"] for one in differs["accepted"][0]["differences"]] == told


def test_the_verdict_names_the_record_that_says_who_accepted_what_and_why(
    template: Path, room: Path
) -> None:
    with node(template, room) as running:
        assert outcome(running) == ("NOT_COMPARED", ["NO_REFERENCE"])
        assert Kind.MINTED not in {record.kind for record in running.journal.scan(0)}
        done = accept(running)
        assert (done["verdict"], done["reasons"]) == ("PASS", [])
        row = judged(running)
        assert (row["verdict"], row["root_of_trust"]) == ("PASS", "software-tpm")
        assert row["baseline_record"] == done["record"]
        minted = running.journal.read(row["record"])
        assert json.loads(minted.provenance)["baseline"] == done["record"]
        change = running.baselines.read(done["record"])
        assert (change.reason, change.change) == ("first installation", Change.ACCEPTED)
        assert change.by.keys() == {"uid", "gid", "user"}
        assert change.evidence is not None
        assert claims(running, change.evidence)["quote"]["verified"]
        shown = status_view(running, None)["baseline"]["in_force"]
        assert (shown["record"], shown["reason"]) == (done["record"], "first installation")


def test_what_a_boot_showed_is_kept_with_the_evidence(template: Path, room: Path) -> None:
    with node(template, room) as running:
        record = judged(running)["evidence_record"]
        attached = {
            name: running.evidence.get(file["digest"])
            for name, file in evidence(running, record)["attachments"].items()
        }
        assert attached.keys() == {"quote", "boot-log", "measured-boot"}
        assert attached["boot-log"] == LOG
        quote, pcrs = json.loads(attached["quote"]), real_pcrs(MACHINE)["sha256"]
        assert {i: quote["pcrs"][str(i)] for i in pcrs} == {i: v.hex() for i, v in pcrs.items()}
        read = claims(running, record)
        assert read["boot_log"]["replayed"] == sorted(pcrs)
        assert (read["ima_log"]["lack"], read["ima_log"]["code"]) == ("absent", "LOG_ABSENT")
        directory = running.evidence.path("0" * 64).parent
        before = len(list(directory.iterdir()))
        judged(running)
        assert len(list(directory.iterdir())) == before + 2  # its claims and its quote


def test_a_planned_update_is_accepted_beside_what_runs_until_it_is_confirmed(
    template: Path, room: Path
) -> None:
    updated = with_command_line(LOG, b" ro ", b" ro quiet ")
    with node(template, room, updated) as running:
        accept(running)
        in_force = running.baselines.of(PLATFORM).in_force
        assert in_force is not None
        reference = encode_reference(in_force.reference).decode()
        baseline.retract(running, reason="it was only a trial", staged_only=False)
        assert outcome(running) == ("NOT_COMPARED", ["NO_REFERENCE"])
    with node(template, room) as running:
        first = accept(running)["record"]
        staged = accept(running, "kernel options", reference=reference, stage_days=14)
        assert (staged["verdict"], codes(staged)) == ("PASS", ["BASELINE_STAGED"])
        assert judged(running)["baseline_record"] == staged["in_force"]["record"] == first
        early = refused(lambda: baseline.confirm(running, reason="done"))
        assert early == "BASELINE_NOT_REACHED"
    with node(template, room, updated) as running:
        assert judged(running)["baseline_record"] == staged["record"]
        confirmed = baseline.confirm(running, reason="the update is done")
        assert (confirmed["verdict"], confirmed["staged"]) == ("PASS", None)
        assert confirmed["in_force"]["record"] == staged["record"]
    with node(template, room) as running:  # somebody boots the old one again
        verdict, why = outcome(running)
        assert (verdict, "VALUE_MISMATCH" in why) == ("FAIL", True)
        events = [
            json.loads(record.payload)["event"]
            for record in running.journal.scan(0)
            if record.kind is Kind.BASELINE
        ]
        assert events == ["accepted", "retracted", "accepted", "staged", "confirmed"]


def test_a_staged_update_ends_with_its_time_or_when_it_is_dropped(
    template: Path, room: Path
) -> None:
    with node(template, room) as running:
        accept(running)
        accept(running, pcrs=[0, 2, 4, 7], stage_days=3)
        dropped = baseline.retract(running, reason="not this month", staged_only=True)
        assert (dropped["event"], dropped["staged"], dropped["verdict"]) == (
            "unstaged",
            None,
            "PASS",
        )
        again = refused(lambda: baseline.retract(running, reason="again", staged_only=True))
        assert again == refused(lambda: baseline.confirm(running, reason="x")) == "NOTHING_STAGED"
        in_force = running.baselines.of(PLATFORM).in_force
        assert in_force is not None

        def expired(now: Any) -> BaselineChange:
            staged = now.stage(in_force.reference, expires_ms=1)
            return BaselineChange(PLATFORM, Change.STAGED, staged, {}, "long ago")

        running.baselines.change(PLATFORM, expired)
        assert outcome(running) == ("PASS", [])
        view = baseline.baseline_view(running.config, running.baselines, running.journal)
        assert view["staged"]["expired"]


@pytest.mark.parametrize(
    ("options", "unjudged"),
    [({"pcrs": [0, 2, 4, 7]}, [1, 3, 5, 6, 8, 9, 14]), ({"without": ("1", "5")}, [1, 5])],
)
def test_what_a_baseline_does_not_judge_is_said_wherever_the_verdict_is(
    template: Path, room: Path, options: dict[str, Any], unjudged: list[int]
) -> None:
    with node(template, room) as running:
        done = accept(running, **options)
        assert done["in_force"]["unjudged"] == unjudged
        assert (done["verdict"], codes(done)) == ("PASS", ["REFERENCE_PARTIAL"])
        assert f"PCR {', '.join(map(str, unjudged))}," in done["reasons"][0]["detail"]
        assert baseline.diff(running)["accepted"][0]["unjudged"] == unjudged
        assert status_view(running, None)["baseline"]["in_force"]["unjudged"] == unjudged


_HEAD = '{"format":"swt3-agent/reference/1"'


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("REFERENCE_EMPTY", {"reference": f'{_HEAD},"pcrs":{{}},"values":{{}}}}'}),
        ("REFERENCE_EMPTY", {"pcrs": []}),
        ("REFERENCE_FORMAT_UNKNOWN", {"reference": "{}"}),
        ("PCR_NOT_COMPARED", {"reference": f'{_HEAD},"pcrs":{{"13":["{"00" * 32}"]}}}}'}),
        ("PCR_NOT_COMPARED", {"pcrs": [10]}),
        ("BASELINE_REASON", {"reason": " \n"}),
        ("BASELINE_REASON", {"reason": "x" * 501}),
        ("BASELINE_REASON", {"reason": "a\x1b[2Jb"}),
        ("NO_BASELINE", {"stage_days": 3}),
        ("BASELINE_DAYS", {"stage_days": 0}),
        ("BASELINE_DAYS", {"stage_days": 1000}),
        ("BASELINE_DAYS", {"stage_days": True}),
        ("BASELINE_DAYS", {"stage_days": "7"}),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_changes_nothing(
    template: Path, room: Path, code: str, options: dict[str, Any]
) -> None:
    with node(template, room) as running:
        assert refused(lambda: accept(running, **options)) == code
        assert running.baselines.newest(PLATFORM) is None


def test_nothing_is_accepted_of_a_node_that_cannot_be_read(room: Path) -> None:
    with Node(configured(room, "none")) as running:
        assert refused(lambda: accept(running)) == "TPM_ABSENT"
        assert outcome(running) == ("FAIL", ["TPM_ABSENT"])


def test_registers_that_were_made_up_after_a_reset_are_neither_passed_nor_accepted(
    template: Path, room: Path
) -> None:
    with node(template, room) as running:
        accept(running)
    with node(template, room, booted=False) as running:
        assert outcome(running) == ("FAIL", ["TPM_RESET_UNDER_RUNNING_SYSTEM"])
        assert refused(lambda: accept(running)) == "TPM_RESET_UNDER_RUNNING_SYSTEM"


def test_registers_that_are_made_up_between_two_heads_do_not_pass_until_the_next_one(
    template: Path, room: Path
) -> None:
    write_log(room / "kernel", Log.BOOT, LOG)
    with (
        start_copy(template, room / "tpm") as tpm,
        accepting(room / "probe.sock", lambda connection: answer(connection, room / "kernel")),
    ):
        boot(tpm.tcti, LOG)
        with Node(configured(room, tpm.tcti)) as running:
            accept(running)
            assert outcome(running) == ("PASS", [])
            tpm.stop()
            with start_software_tpm(room / "tpm") as again:
                boot(again.tcti, LOG)
                assert outcome(running) == ("FAIL", ["TPM_RESET_UNDER_RUNNING_SYSTEM"])


def test_a_kernel_that_another_one_started_is_neither_passed_nor_accepted(
    template: Path, room: Path
) -> None:
    """kexec: the registers still show the accepted boot, and tell nothing of what runs."""
    with (
        machine(template, room) as tcti,
        accepting(room / "probe.sock", lambda connection: answer(connection, room / "kernel")),
    ):
        with Node(configured(room, tcti)) as running:
            accept(running)
            assert outcome(running) == ("PASS", [])
        (room / "boot_id").write_text(str(uuid4()))
        for _ in range(2):  # a restart does not wash it off
            with Node(configured(room, tcti)) as running:
                assert outcome(running) == ("FAIL", ["BOOT_WITHOUT_TPM_RESET"])
                assert refused(lambda: accept(running)) == "BOOT_WITHOUT_TPM_RESET"
                running.findings.clear()  # as many others would push it out
                assert outcome(running) == ("FAIL", ["BOOT_WITHOUT_TPM_RESET"])
    with node(template, room) as running:
        assert outcome(running) == ("PASS", [])


def test_a_required_value_that_cannot_be_read_fails(template: Path, room: Path) -> None:
    with node(template, room) as running:
        accept(running)
        path = write_log(room / "kernel", Log.BOOT, LOG)
        path.unlink()
        assert outcome(running) == ("FAIL", ["BOOT_LOG_MISSING"])
        path.write_bytes(LOG[:-200])  # its end is cut off
        verdict, why = outcome(running)
        assert (verdict, set(why)) == ("FAIL", {"VALUE_MISSING", "BOOT_LOG_UNEXPLAINED"})
        path.write_bytes(LOG)
        assert outcome(running) == ("PASS", [])


def test_a_register_that_is_extended_after_the_boot_is_a_difference(
    template: Path, room: Path
) -> None:
    with node(template, room) as running:
        accept(running)
        extend(tcti_of(running.config), (9, sha256(b"something else").digest()))
        row = judged(running)
        assert row["verdict"] == "FAIL"
        assert claims(running, row["evidence_record"])["boot_log"]["differing"] == [9]
        assert accept(running, "it belongs there")["verdict"] == "PASS"


def tcti_of(config: Config) -> str:
    assert config.tpm.tcti is not None
    return config.tpm.tcti


def test_a_restart_does_not_keep_the_ima_log_once_more(template: Path, room: Path) -> None:
    first = ima_ng("/usr/bin/first", bytes(32))
    write_log(room / "kernel", Log.IMA, ima_entry(first))
    places = []
    with (
        machine(template, room) as tcti,
        accepting(room / "probe.sock", lambda connection: answer(connection, room / "kernel")),
    ):
        extend(tcti, (10, sha256(first).digest()))
        for _ in range(3):
            with Node(configured(room, tcti)) as running:
                payload = evidence(running, judged(running)["evidence_record"])
                part = payload["attachments"].get("ima-log")
                places.append((payload["stated"]["ima_log"], part and part["size"]))
    size = len(ima_entry(first))
    assert places == [
        ({"offset": 0, "entries": 1}, size),
        ({"offset": size, "entries": 1}, None),
        ({"offset": size, "entries": 1}, None),
    ]
    second = ima_ng("/usr/bin/second", bytes(32))  # another boot has a list of its own
    with node(template, room, ima=ima_entry(second)) as running:
        extend(tcti_of(running.config), (10, sha256(second).digest()))
        payload = evidence(running, judged(running)["evidence_record"])
        assert payload["stated"]["ima_log"] == {"offset": 0, "entries": 1}
        assert payload["attachments"]["ima-log"]["size"] == len(ima_entry(second))


def test_the_ima_log_is_quoted_replayed_and_kept_in_parts(template: Path, room: Path) -> None:
    pcrs = real_pcrs(MACHINE)["sha256"]
    first = [ima_ng("boot_aggregate", sha256(b"".join(pcrs[i] for i in range(10))).digest())]
    first += [ima_ng(f"/usr/bin/{number}", bytes(32)) for number in range(20)]
    listed = b"".join(map(ima_entry, first))
    with node(template, room, ima=listed) as running:
        tcti = tcti_of(running.config)
        extend(tcti, *((10, sha256(data).digest()) for data in first))

        def read() -> tuple[dict[str, Any], dict[str, Any], bytes]:
            record = judged(running)["evidence_record"]
            payload, seen = evidence(running, record), claims(running, record)
            part = payload["attachments"].get("ima-log")
            kept = b"" if part is None else running.evidence.get(part["digest"])
            assert "10" in seen["quote"]["pcrs"]
            return seen["ima_log"], payload["stated"]["ima_log"], kept

        seen, stated, part = read()
        assert (seen["entries"], seen["boot_aggregate"], seen["problems"]) == (21, True, [])
        assert (stated, part) == ({"offset": 0, "entries": 21}, listed)
        more = ima_ng("/usr/bin/more", bytes(32))
        write_log(room / "kernel", Log.IMA, listed + ima_entry(more))
        extend(tcti, (10, sha256(more).digest()))
        _, stated, part = read()
        assert (stated, part) == ({"offset": len(listed), "entries": 22}, ima_entry(more))
        _, stated, part = read()
        assert (stated["offset"], part) == (len(listed + ima_entry(more)), b"")
        extend(tcti, (10, bytes(32)))  # by somebody else
        seen, _, _ = read()
        assert (seen["replayed"], len(seen["problems"])) == (False, 1)
        assert outcome(running) == ("NOT_COMPARED", ["NO_REFERENCE", "IMA_LOG_UNEXPLAINED"])
        accepted = accept(running)  # PCR 10 is never compared, and what was found stays visible
        assert (accepted["verdict"], codes(accepted)) == ("PASS", ["IMA_LOG_UNEXPLAINED"])
