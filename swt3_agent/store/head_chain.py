"""Taking up the chain of heads: which step was reached, told from journal and log PCR.

The note is durable before the extend and the quote right after it, so that after any interruption
the value of the log PCR says how far the last head came (docs/formats.md, "What a signed head
proves"). An extend that is not ours is a finding, and the chain goes on from what is there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import msgspec

from swt3_agent.protocol.checkpoint import extended
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.head_records import HeadRecord, read_head
from swt3_agent.store.journal import Journal

_RESET_VALUE = bytes(32)


class Step(Enum):
    """What is to be done about the last note before a new one is made."""

    NOTHING = "nothing"
    EXTEND = "extend and quote it"
    QUOTE = "quote it: it is extended already"


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where the journal says the chain stands, in the boot that runs now.

    ``value`` is what the log PCR should hold, None where this boot has no chain yet. ``pending`` is
    a note made in this boot for a TPM that has not signed it. ``reset_count`` is the TPM's count at
    the last signed head of this boot; ``earlier`` what the log PCR held, and that count, at the
    last signed head where that is of an earlier boot.
    """

    value: bytes | None = None
    pending: HeadRecord | None = None
    reset_count: int | None = None
    earlier: tuple[bytes, int] | None = None


class _Boot(msgspec.Struct):
    boot_id: str = ""
    log_pcr: dict[str, object] | None = None


def read_chain(journal: Journal, catalogue: Catalogue, boot_id: str) -> ChainState:
    """The state of the chain from the boot record, the last head and the last signed head.

    Raises JournalError.
    """
    boot_seq = catalogue.last_of_kind(Kind.BOOT)
    boot_value = None if boot_seq is None else _stated_value(journal, boot_seq, boot_id)
    newest = [read_head(journal, entry) for entry in catalogue.heads(newest=1)]
    entry = catalogue.last_signed_head()
    signed = None if entry is None else read_head(journal, entry)
    value, reset_count, earlier = boot_value, None, None
    if signed is not None and signed.quote is not None:
        after = extended(signed.quote.before, signed.note.body())
        resets = signed.quote.reset_count()
        if signed.note.boot_id != boot_id:
            earlier = after, resets
        else:
            reset_count = resets
            if boot_value is None or boot_seq is None or signed.note_seq > boot_seq:
                value = after
    pending = None
    if newest and not newest[0].signed and boot_value is not None and boot_seq is not None:
        last = newest[0]
        if last.note.boot_id == boot_id and last.note_seq > boot_seq:
            pending = last
    return ChainState(value, pending, reset_count, earlier)


def unsigned_notes(journal: Journal, catalogue: Catalogue, boot_id: str) -> Iterator[bytes]:
    """Texts of the notes of this boot since the last signed head, newest first.

    Raises JournalError.
    """
    for entry in reversed(catalogue.heads()):
        head = read_head(journal, entry)
        if head.signed or head.note.boot_id != boot_id:
            return
        yield head.note.body()


def decide(
    state: ChainState, present: bytes, reset_count: int, unsigned: Iterable[bytes] = ()
) -> tuple[Step, tuple[Reason, ...]]:
    """What to do when the log PCR holds ``present`` and the TPM was reset ``reset_count`` times.

    ``unsigned`` are the ``unsigned_notes``: the TPM may have gone for a while between the extend
    and the quote of one, and starts and heads without a TPM may have come in between.
    """
    if state.value is None:
        return Step.NOTHING, _first_of_boot(state, present, reset_count)
    reset = state.reset_count not in (None, reset_count)
    pending = state.pending.note.body() if state.pending is not None else None
    if present == state.value and not reset:
        return Step.NOTHING if pending is None else Step.EXTEND, ()
    if pending is not None and present == extended(state.value, pending) and not reset:
        return Step.QUOTE, ()
    if reset or present == _RESET_VALUE:
        return Step.NOTHING, (tpm_was_reset(),)
    if any(present == extended(state.value, body) for body in unsigned):
        return Step.NOTHING, ()
    return Step.NOTHING, (foreign_extend(state.value, present),)


def foreign_extend(expected: bytes, present: bytes) -> Reason:
    """Somebody else extended the log PCR."""
    return Reason(
        "LOG_PCR_FOREIGN_EXTEND",
        f"the log PCR holds {present.hex()}, and our own heads make it {expected.hex()}",
        "find out what else extends this PCR, or set agent.tpm.log_pcr to one of your own",
    )


def tpm_was_reset() -> Reason:
    """The TPM lost its PCRs while the system went on running."""
    return Reason(
        "TPM_RESET_UNDER_RUNNING_SYSTEM",
        "the TPM was reset and the system was not: what the PCRs say of this boot is void",
        "reboot the node; if that was not you, treat it as tampered with",
    )


def boot_without_reset() -> Reason:
    """A kernel started another."""
    return Reason(
        "BOOT_WITHOUT_TPM_RESET",
        "the system booted and the TPM was not reset (kexec): PCRs 0 to 9 are the last boot's",
        "reboot the node through its firmware to have this boot measured",
    )


def _first_of_boot(state: ChainState, present: bytes, reset_count: int) -> tuple[Reason, ...]:
    """A new chain; without a reset of the TPM the PCRs of the last boot are still there."""
    if state.earlier is None or state.earlier[1] != reset_count:
        return ()
    if present == state.earlier[0]:
        return (boot_without_reset(),)
    return boot_without_reset(), foreign_extend(state.earlier[0], present)


def _stated_value(journal: Journal, boot_seq: int, boot_id: str) -> bytes | None:
    """The log PCR's value in the boot record, if it is of the boot that runs now."""
    try:
        boot = msgspec.json.decode(journal.read(boot_seq).payload, type=_Boot)
        if boot.boot_id != boot_id or boot.log_pcr is None:
            return None
        return bytes.fromhex(str(boot.log_pcr["value"]))
    except (KeyError, *MALFORMED):
        return None
