"""The boots of a bundle: which registers their heads quote, and which records tell of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.protocol.checkpoint import BOOT_PCRS
from swt3_agent.protocol.record import Record
from swt3_agent.verify.bundle.evidence import Reading, read_evidence
from swt3_agent.verify.bundle.heads import QuotedHead
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.refusal import refusal

Registers = Mapping[int, bytes]


@dataclass(slots=True)
class BootHeads:
    """What the signed heads of a boot quote: the newest reset count, and every set of values that
    the boot's registers had, the newest last."""

    resets: int
    values: list[Registers]


@dataclass(slots=True)
class Boots:
    """Takes heads, boot records and evidence in order. ``shown`` are the boots of the range."""

    named: frozenset[int]
    heads: dict[str, BootHeads] = field(default_factory=dict)
    readings: dict[int, Reading] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    irregularities: list[Irregularity] = field(default_factory=list)
    _now: str | None = None
    _begun: str | None = None
    _bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    _seen_in: dict[int, str] = field(default_factory=dict)
    """The boot of each reading in the range, as far as a record before it names that."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Boots":
        """For the boots that ``manifest`` names."""
        seqs = (seq for boot in manifest.boots for seq in (*boot.readings, *boot.ima_log))
        return cls(frozenset(seqs))

    def see_quoted(self, head: QuotedHead) -> None:
        """A signed head."""
        boot_id, resets = head.note.boot_id, head.attest.reset_count
        values = {index: head.pcrs[index] for index in BOOT_PCRS}
        known = self.heads.get(boot_id)
        if known is None:
            self.heads[boot_id] = BootHeads(resets, [values])
        elif known.values[-1] != values:
            changed = [index for index in BOOT_PCRS if known.values[-1][index] != values[index]]
            detail = f"PCRs {changed} changed within boot {boot_id}, before the head of"
            detail += f" {head.note.size} records"
            self.irregularities.append(Irregularity("BOOT_PCRS_CHANGED", detail))
            known.values.append(values)

    def shares_run(self, boot_id: str) -> bool:
        """Whether heads of another boot show the same reset count: one of both is a kexec."""
        own = self.heads.get(boot_id)
        runs = [heads.resets for name, heads in self.heads.items() if name != boot_id]
        return own is not None and own.resets in runs

    def has_run_alone(self, resets: int) -> bool:
        """Whether a boot without a head can have had this reset count: no head shows it, and a
        later one shows more."""
        runs = [heads.resets for heads in self.heads.values()]
        return resets not in runs and resets < max(runs, default=0)

    def see_boot(self, boot_id: str) -> None:
        """A boot record, or a note, of this boot: what follows is of it."""
        self._now = boot_id
        self._begun = self._begun or boot_id
        self.shown.add(boot_id)

    def see_evidence(self, record: Record, *, earlier: bool = False) -> None:
        """An evidence record; ``earlier``: one before the range."""
        reading = read_evidence(record)
        if reading is None:
            return
        if record.seq in self.named:
            self.readings[record.seq] = reading
            if self._now is not None and not earlier:
                self._seen_in[record.seq] = self._now
        if "quote" in reading.attachments and self._now is not None and not earlier:
            first, _ = self._bounds.get(self._now, (record.seq, record.seq))
            self._bounds[self._now] = first, record.seq

    def check_named(self, boots: Sequence[BootInfo]) -> None:
        """Whether the manifest names each boot once, with readings of its own, and of those in the
        range the first and the last.

        Raises FormatError ``BOOT_READINGS``.
        """
        named = {boot.boot_id: boot.readings for boot in boots}
        if len(named) != len(boots):
            raise refusal("BOOT_READINGS", "the manifest names a boot twice")
        for boot in boots:
            self._check_own(boot)
        for boot_id, (first, last) in self._bounds.items():
            readings = named.get(boot_id, [])
            begins = boot_id == self._begun  # then the first may lie before the range
            if not readings or readings[-1] != last or (readings[0] != first and not begins):
                raise refusal(
                    "BOOT_READINGS",
                    f"the manifest does not name the first and the last quote of boot {boot_id}",
                )

    def _check_own(self, boot: BootInfo) -> None:
        begins_here = boot.boot_id in self.shown and boot.boot_id != self._begun
        for seq in (*boot.readings, *boot.ima_log):
            seen_in = self._seen_in.get(seq)
            if seen_in != boot.boot_id and (begins_here or seen_in is not None):
                raise refusal(
                    "BOOT_READINGS", f"record {seq} is of another boot than {boot.boot_id}"
                )

    def reading(self, seq: int) -> Reading:
        """The reading that the manifest names. Raises FormatError ``BOOT_READINGS``."""
        reading = self.readings.get(seq)
        if reading is None:
            raise _not_here(seq)
        return reading


def _not_here(seq: int) -> FormatError:
    return refusal("BOOT_READINGS", f"record {seq} is not evidence of a boot that is shown here")
