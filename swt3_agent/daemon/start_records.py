"""What the log says of the agent itself: BOOT (docs/formats.md, "Payloads by kind")."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from swt3_agent import __version__
from swt3_agent.config import Config
from swt3_agent.errors import JournalError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.clocks import Moment
from swt3_agent.store.counter_chain import PresentCounter
from swt3_agent.store.counter_records import boot_counter
from swt3_agent.store.journal import Journal
from swt3_agent.store.starts import moment_content
from swt3_agent.tpm.client import Tpm, TpmIdentity


@dataclass(frozen=True, slots=True)
class LogNames:
    """Whose log it is, which one, and the boot that runs now (docs/formats.md, "Checkpoint
    note")."""

    node_id: str
    log_id: str
    boot_id: str


@dataclass(slots=True)
class TpmReadings:
    """What a start reads from the TPM, as far as it answers: index and value of the log PCR, both
    clocks, and the counter."""

    log_pcr: tuple[int, bytes] | None = None
    moment: Moment | None = None
    counter: PresentCounter | None = None


class _LogName(msgspec.Struct):
    """What the first BOOT record says about the log."""

    log_id: str


def stated_log_id(journal: Journal) -> str:
    """The name that the first record gives the log. Raises JournalError where it gives none."""
    try:
        return msgspec.json.decode(journal.read(0).payload, type=_LogName).log_id
    except MALFORMED as error:
        raise _damaged(0, f"does not name the log: {error}") from error


def read_tpm(tpm: Tpm, log_pcr: int) -> TpmReadings:
    """All of it but the counter. Raises TpmError."""
    value = tpm.read_pcrs((log_pcr,))[log_pcr]
    return TpmReadings((log_pcr, value), Moment.of(tpm.clock(), time.time_ns() // 1_000_000))


def boot_content(
    config: Config,
    names: LogNames,
    *,
    identity: TpmIdentity | None,
    readings: TpmReadings,
    findings: Iterable[Reason],
    earlier: Mapping[str, int],
) -> dict[str, object]:
    """A BOOT record: who starts, on what, and what was found now and ``earlier`` in this boot."""
    return {
        "agent_version": __version__,
        "boot_id": names.boot_id,
        "node_id": names.node_id,
        "log_id": names.log_id,
        "tenant": config.tenant,
        "clearing_level": config.clearing_level,
        "tpm": _tpm_content(identity),
        "log_pcr": _log_pcr_content(readings.log_pcr),
        **moment_content(readings.moment),
        "counter": None if readings.counter is None else boot_counter(readings.counter),
        "findings": findings_content(findings),
        "earlier": earlier,
    }


def _tpm_content(identity: TpmIdentity | None) -> dict[str, object] | None:
    if identity is None:
        return None
    return {
        "kind": identity.kind.value,
        "manufacturer": identity.manufacturer,
        "vendor": identity.vendor,
        "firmware": identity.firmware,
    }


def _log_pcr_content(log_pcr: tuple[int, bytes] | None) -> dict[str, object] | None:
    return None if log_pcr is None else {"index": log_pcr[0], "value": log_pcr[1].hex()}


def findings_content(findings: Iterable[Reason]) -> list[dict[str, str]]:
    """``findings`` of a BOOT record."""
    return [{"code": finding.code, "detail": finding.detail} for finding in findings]


def _damaged(seq: int, what: str) -> JournalError:
    return JournalError(
        "JOURNAL_DAMAGED",
        f"record {seq} {what}",
        remedy="run `swt3-agent fsck`; restore the state directory from a backup",
    )
