"""Resets of the TPM against boots of the system: each has the other, or it is said.

A TPM is reset by every boot through firmware and by nothing else that an honest node does
(docs/formats.md, "What a signed head proves").
"""

from dataclasses import dataclass

import msgspec

from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.clocks import Moment, check_clocks
from swt3_agent.store.head_chain import boot_without_reset, tpm_was_reset
from swt3_agent.store.head_records import HeadRecord, read_head
from swt3_agent.store.journal import Journal

MOST_STARTS = 1000
"""Looked at, newest first: a start must not read the whole log."""


@dataclass(frozen=True, slots=True)
class EarlierStart:
    """The last that the log says of the TPM: the ``moment``, in boot ``boot_id``.

    ``boots`` are those that were recorded since, without a TPM, that boot not counted.
    """

    boot_id: str
    moment: Moment
    boots: frozenset[str] = frozenset()


class _Boot(msgspec.Struct):
    boot_id: str = ""
    utc_ms: int | None = None
    clock_ms: int | None = None
    reset_count: int | None = None
    restart_count: int | None = None
    safe: bool | None = None

    def moment(self) -> Moment | None:
        match (self.utc_ms, self.clock_ms, self.reset_count, self.restart_count, self.safe):
            case (int(utc), int(clock), int(resets), int(restarts), bool(safe)):
                return Moment(utc, clock, resets, restarts, safe)
        return None


def moment_content(moment: Moment | None) -> dict[str, object]:
    """What a BOOT record says of both clocks; null where there is no TPM."""
    names = ("utc_ms", "clock_ms", "reset_count", "restart_count", "safe")
    return {name: None if moment is None else getattr(moment, name) for name in names}


def earlier_start(journal: Journal, catalogue: Catalogue) -> EarlierStart | None:
    """The newest BOOT record with a TPM, or a signed head after it. None where there is neither.

    Raises JournalError.
    """
    boots: set[str] = set()
    entry = catalogue.last_signed_head()
    head = None if entry is None else read_head(journal, entry)
    for seq in reversed(catalogue.records_of(Kind.BOOT)[-MOST_STARTS:]):
        if head is not None and head.note_seq > seq:
            return _of_head(journal, head, boots)
        try:
            boot = msgspec.json.decode(journal.read(seq).payload, type=_Boot)
        except msgspec.MsgspecError:  # `fsck` says what is wrong with it
            continue
        moment = boot.moment()
        if moment is not None:
            return EarlierStart(boot.boot_id, moment, frozenset(boots - {boot.boot_id}))
        boots.add(boot.boot_id)
    return None


def _of_head(journal: Journal, head: HeadRecord, boots: set[str]) -> EarlierStart | None:
    """Its note may have waited for the TPM, so the time is that of the quote's record."""
    if head.quote is None or head.quote_seq is None:
        return None
    utc_ms = journal.read(head.quote_seq).received_ns // 1_000_000
    moment = Moment.of(head.quote.attestation(), utc_ms)
    return EarlierStart(head.note.boot_id, moment, frozenset(boots - {head.note.boot_id}))


def account(earlier: EarlierStart, boot_id: str, now: Moment) -> tuple[Reason, ...]:
    """What is wrong with resets and clocks from the ``earlier`` start to this one."""
    resets = now.reset_count - earlier.moment.reset_count
    if resets < 0:
        return (_resets_fell(earlier.moment, now),)
    boots = len((earlier.boots | {boot_id}) - {earlier.boot_id})
    clocks = check_clocks(earlier.moment, now)
    if resets > boots:
        return (_unaccounted(resets, boots) if boots else tpm_was_reset(), *clocks)
    if resets < boots:
        return (boot_without_reset(), *clocks)
    return clocks


def _resets_fell(earlier: Moment, now: Moment) -> Reason:
    return Reason(
        "TPM_RESET_COUNT_FELL",
        f"the TPM was reset {now.reset_count} times, and it was {earlier.reset_count} before",
        "the TPM was cleared, or it is another one: enrol the node again if that was you",
    )


def _unaccounted(resets: int, boots: int) -> Reason:
    return Reason(
        "RESETS_UNACCOUNTED",
        f"the TPM was reset {resets} times since it was last seen, and the log knows of {boots}"
        f" boot{'s' * (boots > 1)}",
        "another system ran here, the agent did not start in every boot, or the TPM was reset"
        " under a running system: find out which",
    )
