"""The state in which a node booted, from what a bundle shows of it (docs/formats.md, "Bundle").

The quote of an evidence record is held against the heads of its boot, and boot and IMA log against
the registers that were quoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from swt3_agent.protocol.bundle import Manifest, Member
from swt3_agent.protocol.bundle_evidence import BootInfo, log_name
from swt3_agent.protocol.checkpoint import BOOT_PCRS
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.tcg.event_log import EventLog, parse_event_log
from swt3_agent.tcg.ima_log import Replayed, parse_ima_log, reach
from swt3_agent.tcg.ima_log.replay import IMA_PCR
from swt3_agent.tcg.measured_boot import MeasuredBoot, measured_values
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify.bundle.archive import Archive
from swt3_agent.verify.bundle.boots import BootHeads, Boots, Registers
from swt3_agent.verify.bundle.evidence import PlatformQuote, Reading, verify_quote
from swt3_agent.verify.refusal import refusal


@dataclass(slots=True)
class BootState:
    """What is known of a boot.

    ``pcrs`` are registers that the TPM quoted last; ``quotes`` counts those of the platform that
    hold; ``log`` is the boot log of the last of them, ``ima`` how far the IMA log leads to it.
    ``lacks`` says what belongs here and is not in the bundle.
    """

    boot_id: str
    resets: int | None
    pcrs: Registers
    quotes: int = 0
    log: MeasuredBoot | None = None
    ima: Replayed | None = None
    lacks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """JSON-able form."""
        log = self.log
        return {
            "boot_id": self.boot_id,
            "resets": self.resets,
            "pcrs": pcrs_text(self.pcrs),
            "quotes": self.quotes,
            "boot_log": log
            and {
                "matched": list(log.matched),
                "unlogged": list(log.unlogged),
                "values": {name: list(values) for name, values in sorted(log.values.items())},
            },
            "ima_log": self.ima
            and {"entries": self.ima.entries, "violations": self.ima.violations},
            "lacks": list(self.lacks),
        }


def judge_boots(
    archive: Archive, manifest: Manifest, boots: Boots, keys: Sequence[EccPublic]
) -> list[BootState]:
    """Every boot that heads of the range or the manifest tell of.

    Raises FormatError: as ``verify_quote``; ``BOOT_READINGS``, ``BOOT_QUOTE_RESET``,
    ``BOOT_QUOTE_VALUES``, ``BOOT_LOG_REPLAY``, ``BOOT_LOG_TRUNCATED``, ``EVENT_LOG_*``,
    ``IMA_LOG_*``.
    """
    boots.check_named(manifest.boots)
    judge = _Judge(archive, {member.name: member for member in manifest.members}, boots, keys)
    states = [judge.state_of(boot) for boot in manifest.boots]
    named = {boot.boot_id for boot in manifest.boots}
    return states + [
        BootState(boot_id, heads.resets, heads.values[-1], lacks=["a quote of the platform"])
        for boot_id, heads in boots.heads.items()
        if boot_id in boots.shown - named
    ]


class _Judge:
    def __init__(
        self,
        archive: Archive,
        members: dict[str, Member],
        boots: Boots,
        keys: Sequence[EccPublic],
    ) -> None:
        self._archive = archive
        self._members = members
        self._boots = boots
        self._keys = keys
        self._log: tuple[str, EventLog] | None = None  # the last one: readings of a boot share it

    def state_of(self, boot: BootInfo) -> BootState:
        heads = self._boots.heads.get(boot.boot_id)
        state = BootState(
            boot.boot_id,
            None if heads is None else heads.resets,
            {} if heads is None else heads.values[-1],
        )
        for seq in boot.readings:
            self._judge_reading(state, self._boots.reading(seq), heads)
        if boot.ima_log:
            self._judge_ima(state, [self._boots.reading(seq) for seq in boot.ima_log])
        return state

    def _judge_reading(self, state: BootState, reading: Reading, heads: BootHeads | None) -> None:
        data = self._attached(state, reading, "quote")
        if data is None:
            return
        quote = verify_quote(data, self._keys)
        if heads is not None:
            _check_heads(state.boot_id, quote, heads)
        elif not self._boots.has_run_alone(quote.attest.reset_count):  # it is another boot's
            state.lacks.append(_LACKS["quote"])
            return
        state.resets = quote.attest.reset_count
        state.quotes += 1
        state.pcrs = {**state.pcrs, **quote.pcrs}
        log = self._boot_log(state, reading)
        if log is None:
            return
        if "sha256" in log.banks:
            state.log = _replayed(log, quote, state.boot_id)
        else:
            state.lacks.append("SHA-256 digests in the boot log")

    def _boot_log(self, state: BootState, reading: Reading) -> EventLog | None:
        digest = reading.attachments.get("boot-log")
        if digest is not None and self._log is not None and self._log[0] == digest:
            return self._log[1]
        data = self._attached(state, reading, "boot-log")
        if data is None or digest is None:
            return None
        self._log = digest, parse_event_log(data)
        return self._log[1]

    def _judge_ima(self, state: BootState, parts: list[Reading]) -> None:
        quoted = state.pcrs.get(IMA_PCR)
        if quoted is None or not all(self._is_here(part, "ima-log") for part in parts):
            state.lacks.append("the IMA log")
            return
        members = [
            self._members[log_name(part.attachments["ima-log"], "ima-log")] for part in parts
        ]
        at = 0
        for part, member in zip(parts, members, strict=True):
            if part.ima_offset != at:
                raise refusal("IMA_LOG_PARTS", f"record {part.seq} does not go on at byte {at}")
            at += member.size
        state.ima = reach(parse_ima_log(map(self._archive.listed, members)), quoted)
        if state.ima is None and self._boots.shares_run(state.boot_id):
            state.lacks.append("the IMA log of the kernel before it, which extended PCR 10 too")
        elif state.ima is None:
            raise refusal(
                "IMA_LOG_REPLAY",
                f"the IMA log of boot {state.boot_id} does not lead to the quoted PCR {IMA_PCR}",
            )

    def _is_here(self, reading: Reading, kind: str) -> bool:
        digest = reading.attachments.get(kind)
        return digest is not None and log_name(digest, kind) in self._members

    def _attached(self, state: BootState, reading: Reading, kind: str) -> bytes | None:
        if self._is_here(reading, kind):
            return self._archive.listed(self._members[log_name(reading.attachments[kind], kind)])
        lack = _LACKS[kind]
        if lack not in state.lacks:
            state.lacks.append(lack)
        return None


_LACKS = {
    "quote": "a quote of the platform",
    "boot-log": "the boot log",
    "ima-log": "the IMA log",
}


def _check_heads(boot_id: str, quote: PlatformQuote, heads: BootHeads) -> None:
    if quote.attest.reset_count != heads.resets:
        raise refusal(
            "BOOT_QUOTE_RESET", f"a quote of the platform is of another run than boot {boot_id}"
        )
    for values in heads.values:
        if all(quote.pcrs.get(index) == values[index] for index in BOOT_PCRS):
            return
    raise refusal(
        "BOOT_QUOTE_VALUES",
        f"a quote of the platform shows other registers than the heads of boot {boot_id}",
    )


def _replayed(log: EventLog, quote: PlatformQuote, boot_id: str) -> MeasuredBoot:
    """The boot log, if the registers of the boot are what it leads to."""
    pcrs = {index: value for index, value in quote.pcrs.items() if index in BOOT_PCRS}
    measured = measured_values(log, pcrs)
    if measured.truncated and (measured.differing or measured.unlogged):
        raise refusal("BOOT_LOG_TRUNCATED", f"the log of boot {boot_id} ends before its end")
    if measured.differing:
        raise refusal(
            "BOOT_LOG_REPLAY",
            f"the log of boot {boot_id} does not lead to PCRs {list(measured.differing)}",
        )
    return measured
