"""The chain of heads: every note follows the one before, every quote the register's last value.

docs/formats.md, "What a signed head proves". A head that is missing, a second history and an extend
by somebody else all show as a value of the log PCR that nothing here leads to.
"""

from collections.abc import Mapping
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
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.protocol.proof import QuoteContext
from swt3_agent.tcg.attest import Attest
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify import quote
from swt3_agent.verify.bundle.clocks import Clocks
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.bundle.signers import Signers
from swt3_agent.verify.refusal import refusal

_RESET_VALUE = bytes(32)
StatedRoot = tuple[int, bytes, int]
"""Size and root that a note states, and the note's record."""


@dataclass(frozen=True, slots=True)
class QuotedHead:
    """A head whose quote holds: its note, recorded as ``seq``, who signed it, and what it says.

    ``reset``: it is the first since the TPM was reset, ``resets`` times since the head before.
    """

    seq: int
    note: CheckpointNote
    key: EccPublic
    attest: Attest
    pcrs: Mapping[int, bytes]
    resets: int = 0


@dataclass(slots=True)
class HeadChain:
    """Takes heads in order and refuses the first that does not follow.

    ``roots`` are the sizes and roots that notes state, with the note's record; ``first`` and
    ``last`` the notes at both ends; ``signed`` counts verified quotes, ``resets`` the resets of the
    TPM between them.
    """

    origin: str
    signers: Signers
    log_pcr: int | None
    count: int = 0
    signed: int = 0
    first: CheckpointNote | None = None
    last: CheckpointNote | None = None
    roots: list[StatedRoot] = field(default_factory=list)
    irregularities: list[Irregularity] = field(default_factory=list)
    resets: int = 0
    clocks: Clocks = field(default_factory=Clocks)
    _previous: bytes = b""
    _body: bytes = b""
    _seq: int = 0
    _awaits_quote: bool = False
    _unsigned: list[bytes] = field(default_factory=list)
    _begins_unsigned: bool = False
    _replayed: bool = True
    _value: bytes | None = None
    _attest: Attest | None = None
    _signed_note: CheckpointNote | None = None
    _boots: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clocks.irregularities = self.irregularities

    @classmethod
    def of(cls, node_id: str, log_id: str, signers: Signers, log_pcr: int | None) -> "HeadChain":
        """The chain of this log, in this PCR."""
        return cls(f"swt3-agent/{node_id}/{log_id}", signers, log_pcr)

    def begin(self, previous: Head | None, boot_heads: bytes) -> QuotedHead | None:
        """Take up the chain before the range; the previous head, where it is signed.

        Raises FormatError ``HEAD_*`` and as ``see_quote``.

        ``boot_heads`` is what the log PCR held at the reset before the first signed head to come,
        and the digests that were extended since: empty where there are none before the range.
        """
        if boot_heads and previous is None:  # they could be those of another history
            raise refusal("HEAD_CHAIN", "heads before the range are told, and the last is not here")
        quoted = None
        if previous is not None:
            self._previous = previous.checkpoint.encode()
            quoted = self._see_head(previous, follows=False)
            self._begins_unsigned = quoted is None
            self.count = self.signed = 0  # it is not of this bundle
            self.roots.clear()
            self.first = None
        if not boot_heads:
            self._replayed = self._signed_note is None
            return quoted
        value = start = boot_heads[:32]
        for at in range(32, len(boot_heads), 32):
            value = sha256(value + boot_heads[at : at + 32]).digest()
        if self._value not in (None, value):
            raise refusal("HEAD_CHAIN", "the heads before the range do not replay to the last one")
        self._value = value
        assert self.last is not None  # noqa: S101  the previous head
        if start != _RESET_VALUE:
            self._unknown_start(self.last)
        return quoted

    def see_boot(self, boot_id: str) -> None:
        """A boot record: a start of the agent."""
        self._boots.add(boot_id)

    def see_head(self, head: Head) -> QuotedHead | None:
        """A head that stands in one piece; None where it is unsigned. Raises as ``see_note`` and
        ``see_quote``."""
        return self._see_head(head, follows=True)

    def _see_head(self, head: Head, *, follows: bool) -> QuotedHead | None:
        signed = parse_signed_note(head.checkpoint.encode())
        self._take_note(head.seq, signed, follows=follows)
        if head.quote is None:
            if signed.signatures:
                raise refusal("HEAD_QUOTE", "a signed head lacks what it takes to check it")
            return None
        before = bytes.fromhex(head.quote.before)
        pcrs = pcrs_from(head.quote.pcrs)
        return self._take_quote(head.checkpoint.encode(), before, pcrs, follows=follows)

    def see_note(self, seq: int, text: str) -> CheckpointNote:
        """A note, recorded as ``seq``.

        Raises FormatError ``NOTE_*``, ``HEAD_ORIGIN``, ``HEAD_SIZE`` or ``HEAD_PREVIOUS``.
        """
        signed = parse_signed_note(text.encode())
        self._take_note(seq, signed, follows=True)
        return signed.note

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
        if self._awaits_quote and self.signers.keys:
            self._unsigned.append(self._body)
        if last is not None and last.boot_id != note.boot_id:
            self._unsigned.clear()
        self._boots.add(note.boot_id)
        self._body, self._seq, self._awaits_quote = signed.body, seq, True
        self.last = note
        self.first = self.first or note
        self.count += 1
        self.roots.append((note.size, note.root, seq))

    def see_quote(
        self, signed_text: bytes, before: bytes, pcrs: dict[int, bytes]
    ) -> QuotedHead | None:
        """The quote of the note before; None where the range begins with that of the head before.

        Raises FormatError: what ``verify.quote`` raises; ``HEAD_KEY`` and the other codes of
        ``Signers`` and ``Clocks``; ``HEAD_QUOTE`` for one of another note; ``HEAD_CHAIN`` where it
        does not follow the one before.
        """
        if self.count == 0 and signed_text == self._previous:
            return None
        return self._take_quote(signed_text, before, pcrs, follows=True)

    def _take_quote(
        self, signed_text: bytes, before: bytes, pcrs: dict[int, bytes], *, follows: bool
    ) -> QuotedHead:
        head = parse_signed_note(signed_text)
        if head.body != self._body or not self._awaits_quote or self.last is None:
            raise refusal("HEAD_QUOTE", "a quote is not of the note before it")
        key = self.signers.signer_of(head)
        attest = self._verified(head, key, before, pcrs)
        self.clocks.take(attest, self.last)
        resets = self._check_order(attest, before, self.last) if follows else 0
        self._replayed = self._replayed or follows
        self._value = extended(before, head.body)
        self._attest, self._signed_note = attest, self.last
        self._awaits_quote = False
        self._unsigned.clear()
        self._boots = {self.last.boot_id}
        self.signed += 1
        return QuotedHead(self._seq, self.last, key, attest, pcrs, resets)

    def look_up(
        self, seq: int, signed_text: bytes, before: bytes, pcrs: dict[int, bytes]
    ) -> QuotedHead:
        """A head beside the chain, of record ``seq``: one before the range that a record in it
        rests on. Raises as ``verify.quote``, and ``NOTE_KEY_ID``."""
        head = parse_signed_note(signed_text)
        if head.note.origin != self.origin:
            raise refusal("HEAD_ORIGIN", f"the head at record {seq} is of another node or log")
        key = self.signers.signer_of(head, follows=False)
        return QuotedHead(seq, head.note, key, self._verified(head, key, before, pcrs), pcrs)

    def _verified(
        self, head: SignedNote, key: EccPublic, before: bytes, pcrs: dict[int, bytes]
    ) -> Attest:
        if self.log_pcr is None:
            raise refusal("HEAD_QUOTE", "the bundle names no log PCR, and a head is signed")
        context = QuoteContext(key.tpmt, self.log_pcr, before, pcrs)
        signature = quote.signature_under(head, key)
        quote.check_signature(signature, key)
        attest, info = quote.check_attest(signature.attest, head.body)
        quote.check_pcrs(info, context)
        quote.check_log_pcr(context, head.body)
        return attest

    def _check_order(self, attest: Attest, before: bytes, note: CheckpointNote) -> int:
        """Whether the register goes on from the head before; how often the TPM was reset since."""
        earlier, earlier_note = self._attest, self._signed_note
        if earlier is None or earlier_note is None:
            if self._value is not None and not self._leads_to(before, self._value):
                raise _broken(note)
            if self._value is None and not self._leads_to(before, _RESET_VALUE):
                self._unknown_start(note)
            elif self._begins_unsigned:  # or it was signed, and somebody left that away
                self._doubt_start(
                    note,
                    "the head before the range is unsigned here: nothing shows what extended the"
                    " log PCR, and how often the TPM was reset, before the head of"
                    f" {note.size} records",
                )
            return 0
        resets = attest.reset_count - earlier.reset_count
        if earlier_note.boot_id == note.boot_id:
            self._check_continues(before, note)
            return 0
        self.resets += resets
        if resets == 0:
            self._check_continues(before, note)
            detail = f"boot {note.boot_id} came without a reset of the TPM (kexec): its registers"
            detail += " tell of an earlier one"
            self.irregularities.append(
                Irregularity("BOOT_WITHOUT_TPM_RESET", detail, decides=True, size=note.size)
            )
            return 0
        self._account_for(resets, earlier_note, note)
        if not self._leads_to(before, _RESET_VALUE):
            self._unknown_start(note)
        return resets

    def _account_for(self, resets: int, earlier_note: CheckpointNote, note: CheckpointNote) -> None:
        """Compare resets with the boots that the log knows since the head before."""
        boots = len(self._boots - {earlier_note.boot_id})
        if resets != boots:
            detail = f"the TPM was reset {resets} times before the head of {note.size} records"
            detail += f", and the log knows of {boots} boots"
            more = resets > boots
            code = "RESETS_UNACCOUNTED" if more else "BOOT_WITHOUT_TPM_RESET"
            size = 0 if more else note.size
            self.irregularities.append(Irregularity(code, detail, decides=True, size=size))
        elif boots > 1:
            detail = f"{boots - 1} boots before the head of {note.size} records were recorded and"
            detail += " left no signed head: what ran in them is root's own word"
            self.irregularities.append(Irregularity("BOOT_WITHOUT_HEAD", detail))

    def _check_continues(self, before: bytes, note: CheckpointNote) -> None:
        """The register goes on from the head before, and that from the reset."""
        if not self._replayed:
            raise refusal("HEAD_CHAIN", "the heads before the range, since the reset, are not here")
        if not self._leads_to(before, self._value or _RESET_VALUE):
            raise _broken(note)

    def _leads_to(self, before: bytes, value: bytes) -> bool:
        """Whether the register went from ``value`` to ``before``: at once, or by one note that was
        extended and never quoted, because the TPM was gone in between."""
        return before == value or any(before == extended(value, body) for body in self._unsigned)

    def _unknown_start(self, note: CheckpointNote) -> None:
        self._doubt_start(
            note,
            "the log PCR was not at its reset value before the first head of boot"
            f" {note.boot_id}: something else, or another log, extended it",
        )

    def _doubt_start(self, note: CheckpointNote, detail: str) -> None:
        found = Irregularity("LOG_PCR_START", detail, decides=True, size=note.size)
        self.irregularities.append(found)


def _broken(note: CheckpointNote) -> FormatError:
    return refusal(
        "HEAD_CHAIN",
        f"nothing in the bundle leads the log PCR to the head of {note.size} records: a head is"
        " missing, or something else extended the register",
    )
