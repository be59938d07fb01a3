"""Bundles of a node that is rebooted, killed, kexec'ed and put back to an older disk."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import identity
from swt3_agent.daemon.caller import Caller
from swt3_agent.daemon.node import Node
from swt3_agent.protocol.record import Kind
from swt3_agent.store.drafts import Draft
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from swt3_agent.verify import BundleReport
from tests.support.bundles import export, judged, relay, trust_in
from tests.support.software_tpm import tpm2

Boot = Callable[[str], None]


@pytest.fixture
def boot(room: Path, monkeypatch: pytest.MonkeyPatch) -> Boot:
    """Has the kernel say that it runs in another boot."""
    path = room / "boot_id"
    monkeypatch.setattr(identity, "BOOT_ID", path)
    path.write_text("boot-1\n")

    def boots_now(name: str) -> None:
        path.write_text(f"{name}\n")

    return boots_now


def settings(room: Path, tcti: str | None = None) -> Config:
    return load_config(
        {
            "SWT3_STATE_DIR": str(room / "state"),
            "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
            "SWT3_TPM_TCTI": tcti or f"swtpm:path={room}/tpm/tpm.sock",
            "SWT3_CLEARING_LEVEL": "1",
        }
    )


def work(node: Node, reason: str = "start") -> None:
    """What a daemon does after its start: a step, a reading, records, a head."""
    node.counter.step(reason)
    node.attest(["platform"])
    relay(node, 3)
    node.checkpoint("test")


def report_of(node: Node, room: Path, first: int = 0, end: int | None = None) -> BundleReport:
    bundle = export(node, room / f"{node.journal.size}.tar", first, end)
    return judged(bundle, trust_in(node))


def codes(report: BundleReport) -> list[str]:
    assert report.history is not None, report.render()
    return [found.code for found in report.history.irregularities]


def test_boots_follow_each_other_without_a_gap(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    with Node(settings(room)) as node:
        work(node)
        node.counter.step("stop")
        node.checkpoint("stop")
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
        assert report.code == "VERIFIED", report.render()
        assert codes(report) == []
        assert report.history is not None
        assert (report.history.counter.steps, report.history.counter.value) == (3, 4)
        (window,) = report.history.windows.all
        assert (window.boot_id, window.resets) == ("boot-2", 1)
        assert window.first is not None
        assert window.first < window.end
        assert [boot.boot_id for boot in report.boots] == ["boot-1", "boot-2"]
        assert [boot.quotes for boot in report.boots] == [1, 1]
        text = report.render()
        assert "3 steps follow each other" in text
        assert "just before the reset of boot boot-2" in text


def test_every_range_of_a_node_with_boots_verifies(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    with Node(settings(room)) as node:
        work(node)
        work(node, "cycle")
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        size = node.journal.size
        for first in range(1, size, 4):
            report = report_of(node, room, first)
            assert report.code == "VERIFIED", report.render()


def test_a_kexec_leaves_doubt(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    with Node(settings(room)) as node:
        work(node)
    boot("boot-2")
    with Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("BOOT_WITHOUT_TPM_RESET", 4)


def test_a_reset_that_no_boot_explains_leaves_doubt(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    with start_software_tpm(room / "tpm"):  # another system
        pass
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("RESETS_UNACCOUNTED", 4)


def test_a_boot_without_a_step_leaves_doubt(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    """Another history could have had that boot to itself, and been quoted in it."""
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm") as again:
        with Node(settings(room)) as node:
            relay(node, 3)
            node.checkpoint("test")
        again.stop()
    boot("boot-3")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("COUNTER_NOT_STEPPED", 4)


def test_an_export_takes_the_first_step_of_a_boot(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        relay(node, 3)
        report = report_of(node, room)
        again = report_of(node, room)
    assert report.code == again.code == "VERIFIED"
    assert report.history is not None
    assert again.history is not None
    assert report.history.counter.steps == again.history.counter.steps == 2


def test_a_disk_from_yesterday_is_found(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    with Node(settings(room)) as node:
        work(node)
    shutil.copytree(room / "state", room / "yesterday")
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    shutil.rmtree(room / "state")
    (room / "yesterday").rename(room / "state")
    boot("boot-2")
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("COUNTER_GAP", 3)


def test_a_tpm_that_is_reset_under_a_running_system_is_found(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        relay(node, 1)
        node.checkpoint("test")
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("HEAD_RESET", 3)


def test_a_boot_is_not_judged_by_the_registers_of_its_namesake(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    """Root names the boot of his kernel after an earlier one, whose registers are accepted."""
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    boot("boot-2")
    with start_software_tpm(room / "tpm") as again:
        with Node(settings(room)) as node:
            work(node)
        again.stop()
    boot("boot-1")
    with start_software_tpm(room / "tpm") as tpm:
        tpm2(tpm.tcti, "pcrextend", f"4:sha256={'66' * 32}")
        with Node(settings(room)) as node:
            node.counter.step("start")
            relay(node, 3)
            report = report_of(node, room)
    assert (report.code, report.exit_code) == ("HEAD_RESET", 3)


def test_a_boot_without_a_head_does_not_show_the_quote_of_another(
    swtpm: SoftwareTpm, room: Path, boot: Boot
) -> None:
    """Nothing but root's own word says that the evidence is of that boot."""
    with Node(settings(room)) as node:
        work(node)
    swtpm.stop()
    boot("boot-2")
    with Node(settings(room, "none")) as node:
        evidence = map(node.journal.read, node.catalogue.records_of(Kind.EVIDENCE))
        taken = next(record for record in evidence if b'"quote"' in record.payload)
        node.journal.append([Draft(Kind.EVIDENCE, taken.provenance, taken.payload)]).result()
        relay(node, 3)
        node.checkpoint("test")
    boot("boot-3")
    with start_software_tpm(room / "tpm") as between:
        between.stop()
    with start_software_tpm(room / "tpm"), Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert codes(report) == ["BOOT_WITHOUT_HEAD"]
    assert [(state.quotes, state.resets is None) for state in report.boots] == [
        (1, False),
        (0, True),
        (1, False),
    ]
    assert report.boots[1].lacks == ["a quote of the platform"]


def test_a_foreign_extend_is_found(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    with Node(settings(room)) as node:
        work(node)
    tpm2(swtpm.tcti, "pcrextend", f"13:sha256={'ab' * 32}")
    with Node(settings(room)) as node:
        work(node)
        report = report_of(node, room)
    assert (report.code, report.exit_code) == ("HEAD_CHAIN", 3)


def test_keys_follow_each_other(swtpm: SoftwareTpm, room: Path, boot: Boot) -> None:
    with Node(settings(room)) as node:
        work(node)
        enrolled = trust_in(node)
        node.heads.rotate_key("planned", Caller.of(0, 0))
        work(node)
        bundle = export(node, room / "bundle.tar")
        report = judged(bundle, enrolled)
        assert report.code == "VERIFIED", report.render()
        assert report.manifest is not None
        assert len(report.manifest.successions) == 1
        assert judged(bundle, trust_in(node)).code == "TRUST_AK"
