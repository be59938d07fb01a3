"""The chain of heads: every note follows the one before, every quote the register's last value.

docs/formats.md, "What a signed head proves". A head that is missing, a second history and an extend
by somebody else all show as a value of the log PCR that nothing here leads to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import Head
from swt3_agent.protocol.checkpoint import (
    FIRST_PREVIOUS,
    CheckpointNote,
    SignedNote,
    extended,
    parse_signed_note,
)
from swt3_agent.protocol.proof import QuoteContext
from swt3_agent.tcg.attest import Attest
from swt3_agent.tcg.public import EccPublic, check_ak, parse_tpmt
from swt3_agent.verify import quote
from swt3_agent.verify.anchoring import CLOCK_LAG_MS
from swt3_agent.verify.bundle.archive import refusal

_RESET_VALUE = bytes(32)
StatedRoot = tuple[int, bytes, int]
"""Size and root that a note states, and the note's record."""

CLOCK_STEP_MS = 60_000
"""By how much the node's clock may drift from the TPM's between two heads before it is said."""


@dataclass(frozen=True, slots=True)
class Irregularity:
    """Something in the chain that an honest node can have, and that a reader must know of.

    ``decides``: without an explanation the bundle cannot be called true.
    """

    code: str
    detail: str
    decides: bool = False
    size: int = 0


@dataclass(slots=True)
class HeadChain:
    """Takes heads in order and refuses the first that does not follow.

    ``roots`` are the sizes and roots that notes state, with the note's record; ``first`` and
    ``last`` the notes at both ends; ``signed`` counts verified quotes, ``used_keys`` are the AKs
    (TPMT_PUBLIC) that made them, ``resets`` the resets of the TPM between them.
    """

    origin: str
    keys: Sequence[EccPublic]
    log_pcr: int | None
    count: int = 0
    signed: int = 0
    first: CheckpointNote | None = None
    last: CheckpointNote | None = None
    roots: list[StatedRoot] = field(default_factory=list)
    irregularities: list[Irregularity] = field(default_factory=list)
    used_keys: set[bytes] = field(default_factory=set)
    resets: int = 0
    _previous: bytes = b""
    _body: bytes = b""
    _awaits_quote: bool = False
    _unsigned: list[bytes] = field(default_factory=list)
    _replayed: bool = True
    _value: bytes | None = None
    _attest: Attest | None = None
    _signed_note: CheckpointNote | None = None
    _boots: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls, node_id: str, log_id: str, publics: Sequence[bytes], log_pcr: int | None
    ) -> "HeadChain":
        """A chain signed by one of these AKs (TPMT_PUBLIC). Raises FormatError ``PUBLIC_*`` or
        ``AK_*``."""
        keys = [parse_tpmt(public) for public in publics]
        for key in keys:
            check_ak(key)
        return cls(f"swt3-agent/{node_id}/{log_id}", keys, log_pcr)

    def begin(self, previous: Head | None, boot_heads: bytes) -> None:
        """Take up the chain before the range. Raises FormatError ``HEAD_*`` and as ``see_quote``.

        ``boot_heads`` is what the log PCR held at the reset before the first signed head to come,
        and the digests that were extended since: empty where there are none before the range.
        """
        if boot_heads and previous is None:  # they could be those of another history
            raise refusal("HEAD_CHAIN", "heads before the range are told, and the last is not here")
        if previous is not None:
            self._previous = previous.checkpoint.encode()
            self._see_head(previous, follows=False)
            self.count = self.signed = 0  # it is not of this bundle
            self.roots.clear()
            self.first = None
        if not boot_heads:
            self._replayed = self._signed_note is None
            return
        value = start = boot_heads[:32]
        for at in range(32, len(boot_heads), 32):
            value = sha256(value + boot_heads[at : at + 32]).digest()
        if self._value not in (None, value):
            raise refusal("HEAD_CHAIN", "the heads before the range do not replay to the last one")
        self._value = value
        assert self.last is not None  # noqa: S101  the previous head
        if start != _RESET_VALUE:
            self._unknown_start(self.last)

    def see_boot(self, boot_id: str) -> None:
        """A boot record: a start of the agent."""
        self._boots.add(boot_id)

    def see_head(self, head: Head) -> None:
        """A head that stands in one piece. Raises as ``see_note`` and ``see_quote``."""
        self._see_head(head, follows=True)

    def _see_head(self, head: Head, *, follows: bool) -> None:
        signed = parse_signed_note(head.checkpoint.encode())
        self._take_note(head.seq, signed, follows=follows)
        if head.quote is None:
            if signed.signatures:
                raise refusal("HEAD_QUOTE", "a signed head lacks what it takes to check it")
            return
        before = bytes.fromhex(head.quote.before)
        pcrs = {int(index): bytes.fromhex(value) for index, value in head.quote.pcrs.items()}
        self._take_quote(head.checkpoint.encode(), before, pcrs, follows=follows)

    def see_note(self, seq: int, text: str) -> None:
        """A note, recorded as ``seq``.

        Raises FormatError ``NOTE_*``, ``HEAD_ORIGIN``, ``HEAD_SIZE`` or ``HEAD_PREVIOUS``.
        """
        self._take_note(seq, parse_signed_note(text.encode()), follows=True)

    def _take_note(self, seq: int, signed: SignedNote, *, follows: bool) -> None:
        note, last = signed.note, self.last
        if note.origin != self.origin:
            raise refusal("HEAD_ORIGIN", f"the head at record {seq} is of another node or log")
        if note.size > seq or (last is not None and note.size < last.size):
            raise refusal("HEAD_SIZE", f"the head at record {seq} states a size of {note.size}")
        expected = FIRST_PREVIOUS if last is None else last.digest()
        if follows and note.previous != expected:
            raise refusal(
                "HEAD_PREVIOUS", f"the head at record {seq} does not follow the one before it"
            )
        if self._awaits_quote and self.keys:
            self._unsigned.append(self._body)
        if last is not None and last.boot_id != note.boot_id:
            self._unsigned.clear()
        self._boots.add(note.boot_id)
        self._body, self._awaits_quote = signed.body, True
        self.last = note
        self.first = self.first or note
        self.count += 1
        self.roots.append((note.size, note.root, seq))

    def see_quote(self, signed_text: bytes, before: bytes, pcrs: dict[int, bytes]) -> None:
        """The quote of the note before.

        Raises FormatError: what ``verify.quote`` raises; ``HEAD_QUOTE`` for one of another note;
        ``HEAD_CHAIN``, ``HEAD_RESET``, ``HEAD_CLOCK`` where it does not follow the one before.
        """
        if self.count == 0 and signed_text == self._previous:
            return  # the range begins between the last head before it and that head's quote
        self._take_quote(signed_text, before, pcrs, follows=True)

    def _take_quote(
        self, signed_text: bytes, before: bytes, pcrs: dict[int, bytes], *, follows: bool
    ) -> None:
        head = parse_signed_note(signed_text)
        if head.body != self._body or not self._awaits_quote or self.last is None:
            raise refusal("HEAD_QUOTE", "a quote is not of the note before it")
        attest = self._verified(head, before, pcrs)
        if follows:
            self._check_order(attest, before, self.last)
            self._replayed = True
        self._value = extended(before, head.body)
        self._attest, self._signed_note = attest, self.last
        self._awaits_quote = False
        self._unsigned.clear()
        self._boots = {self.last.boot_id}
        self.signed += 1

    def _verified(self, head: SignedNote, before: bytes, pcrs: dict[int, bytes]) -> Attest:
        signers = [key for key in self.keys if head.signature_of(key.spki_der()) is not None]
        if not signers:
            raise refusal("NOTE_KEY_ID", "a head is signed by no key that the bundle names")
        if self.log_pcr is None:
            raise refusal("HEAD_QUOTE", "the bundle names no log PCR, and a head is signed")
        key = signers[0]
        context = QuoteContext(key.tpmt, self.log_pcr, before, pcrs)
        signature = quote.signature_under(head, key)
        quote.check_signature(signature, key)
        attest, info = quote.check_attest(signature.attest, head.body)
        quote.check_pcrs(info, context)
        quote.check_log_pcr(context, head.body)
        self.used_keys.add(key.tpmt)
        return attest

    def _check_order(self, attest: Attest, before: bytes, note: CheckpointNote) -> None:
        earlier, earlier_note = self._attest, self._signed_note
        if earlier is None or earlier_note is None:
            if self._value is not None and not self._leads_to(before, self._value):
                raise _broken(note)
            if self._value is None and not self._leads_to(before, _RESET_VALUE):
                self._unknown_start(note)
            return
        if earlier_note.boot_id == note.boot_id:
            self._check_same_boot(attest, earlier, before, note)
            self._check_clocks(attest, earlier, note, earlier_note)
            return
        resets = attest.reset_count - earlier.reset_count
        if resets < 0 or attest.clock_ms + CLOCK_LAG_MS < earlier.clock_ms:
            raise refusal(
                "HEAD_CLOCK", "the TPM's clock or reset count fell: it was cleared, or is another"
            )
        self.resets += resets
        if resets == 0:
            self._check_continues(before, note)
            detail = f"boot {note.boot_id} came without a reset of the TPM (kexec)"
            self.irregularities.append(Irregularity("BOOT_WITHOUT_TPM_RESET", detail))
            return
        boots = len(self._boots - {earlier_note.boot_id})
        if resets != boots:
            detail = f"the TPM was reset {resets} times before the head of {note.size} records"
            detail += f", and the log knows of {boots} boots"
            more = resets > boots
            code = "RESETS_UNACCOUNTED" if more else "BOOT_WITHOUT_TPM_RESET"
            self.irregularities.append(Irregularity(code, detail, decides=more))
        elif boots > 1:
            detail = f"{boots - 1} boots before the head of {note.size} records were recorded and"
            detail += " left no signed head: what ran in them is root's own word"
            self.irregularities.append(Irregularity("BOOT_WITHOUT_HEAD", detail))
        if not self._leads_to(before, _RESET_VALUE):
            self._unknown_start(note)

    def _check_same_boot(
        self, attest: Attest, earlier: Attest, before: bytes, note: CheckpointNote
    ) -> None:
        if attest.reset_count != earlier.reset_count:
            raise refusal("HEAD_RESET", "the TPM was reset and the system was not")
        if attest.restart_count < earlier.restart_count or attest.clock_ms < earlier.clock_ms:
            raise refusal("HEAD_CLOCK", "the TPM's clock or restart count fell within a boot")
        self._check_continues(before, note)

    def _check_continues(self, before: bytes, note: CheckpointNote) -> None:
        """The register goes on from the head before, and that from the reset."""
        if not self._replayed:
            raise refusal("HEAD_CHAIN", "the heads before the range, since the reset, are not here")
        if not self._leads_to(before, self._value or _RESET_VALUE):
            raise _broken(note)

    def _check_clocks(
        self, attest: Attest, earlier: Attest, note: CheckpointNote, earlier_note: CheckpointNote
    ) -> None:
        """UTC minus TPM clock is constant within a boot, but for what the clock is set by."""
        step = (note.utc_ms - attest.clock_ms) - (earlier_note.utc_ms - earlier.clock_ms)
        if abs(step) > CLOCK_STEP_MS:
            detail = f"the node's clock was set by {step} ms before the head of {note.size} records"
            self.irregularities.append(Irregularity("CLOCK_STEP", detail))

    def _leads_to(self, before: bytes, value: bytes) -> bool:
        """Whether the register went from ``value`` to ``before``: at once, or by one note that was
        extended and never quoted, because the TPM was gone in between."""
        return before == value or any(before == extended(value, body) for body in self._unsigned)

    def _unknown_start(self, note: CheckpointNote) -> None:
        detail = "the log PCR was not at its reset value before the first head of boot"
        detail += f" {note.boot_id}: something else, or another log, extended it"
        self.irregularities.append(
            Irregularity("LOG_PCR_START", detail, decides=True, size=note.size)
        )


def _broken(note: CheckpointNote) -> FormatError:
    return refusal(
        "HEAD_CHAIN",
        f"nothing in the bundle leads the log PCR to the head of {note.size} records: a head is"
        " missing, or something else extended the register",
    )
