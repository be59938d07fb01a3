"""What the log says of itself, in order: heads, starts, keys, counter and boots.

Each record is handed to whoever follows one of them; each refuses the first that does not follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from swt3_agent.protocol.bundle import Head, Manifest
from swt3_agent.protocol.pcr_values import pcrs_from
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.verify.bundle.boots import Boots
from swt3_agent.verify.bundle.counter import CounterChain, PinnedCounter
from swt3_agent.verify.bundle.heads import HeadChain, QuotedHead
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.bundle.signers import Signers
from swt3_agent.verify.bundle.times import HeadTimes
from swt3_agent.verify.bundle.windows import Windows
from swt3_agent.verify.refusal import refusal


class _Checkpoint(msgspec.Struct, frozen=True):
    """A note record has ``body``, a quote record all the others."""

    body: str | None = None
    note: str = ""
    of: int = 0
    before: str = ""
    pcrs: dict[str, str] = {}


class _Counter(msgspec.Struct, frozen=True):
    defined: bool = False


class _Boot(msgspec.Struct, frozen=True):
    boot_id: str = ""
    counter: _Counter | None = None


class _Key(msgspec.Struct, frozen=True):
    event: str = "created"
    ak_public: bytes = b""
    name: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{2})*\Z")] = ""


@dataclass(slots=True)
class History:
    """``chain`` follows heads, ``counter`` its steps, ``boots`` what the TPM quoted of each boot,
    ``times`` when heads were made, ``windows`` what each reset leaves open."""

    chain: HeadChain
    counter: CounterChain
    boots: Boots
    times: HeadTimes = field(default_factory=HeadTimes)
    windows: Windows = field(default_factory=Windows)
    _whole: bool = False

    @classmethod
    def of(cls, manifest: Manifest, statement: TrustStatement | None) -> "History":
        """For the range of ``manifest``, and the counter that ``statement`` names.

        Raises FormatError as ``Signers.named_in``.
        """
        pinned = None
        if statement is not None and statement.counter_index is not None:
            pinned = PinnedCounter(statement.counter_index, statement.counter_name or b"")
        signers = Signers.named_in(manifest)
        chain = HeadChain.of(manifest.node_id, manifest.log_id, signers, manifest.log_pcr)
        return cls(chain, CounterChain(pinned), Boots.of(manifest), _whole=manifest.first == 0)

    @property
    def irregularities(self) -> list[Irregularity]:
        """What every one of them noticed."""
        followers = self.chain, self.counter, self.boots, self.windows
        return [found for follower in followers for found in follower.irregularities]

    def begin(self, previous: Head | None, boot_heads: bytes, earlier: Sequence[Record]) -> None:
        """Take up what lies before the range. Raises FormatError as the followers do, and
        ``COUNTER_BEFORE_MISSING``."""
        quoted = self.chain.begin(previous, boot_heads)
        at = len(earlier)
        if previous is not None:
            at = sum(record.seq < previous.seq for record in earlier)
        self.counter.begin()
        for record in earlier[:at]:
            self._see_earlier(record)
        if previous is not None and self.chain.last is not None and self.counter.last is not None:
            self.counter.see_note(previous.seq, self.chain.last)
        for record in earlier[at:]:
            self._see_earlier(record)
        stated = 0 if self.chain.last is None else self.chain.last.counter
        if stated and self.counter.last is None:
            raise refusal(
                "COUNTER_BEFORE_MISSING",
                f"the head before the range says ctr={stated}, and no certificate of it is here",
            )
        self.counter.begin_range()
        if quoted is not None:
            self._see_quoted(quoted)

    def _see_earlier(self, record: Record) -> None:
        if record.kind is Kind.CHECKPOINT:
            checkpoint = msgspec.json.decode(record.payload, type=_Checkpoint)
            if checkpoint.body is None:
                before, pcrs = _registers(checkpoint)
                text = checkpoint.note.encode()
                self.counter.see_quoted(self.chain.look_up(checkpoint.of, text, before, pcrs))
        elif record.kind is Kind.BOOT:
            self._see_definition(msgspec.json.decode(record.payload, type=_Boot))
        elif record.kind is Kind.EVIDENCE:
            self.boots.see_evidence(record, earlier=True)
        elif record.kind is Kind.COUNTER_INTENT:
            self.counter.see_intent(record)
        elif record.kind is Kind.COUNTER_CERT:
            self.counter.see_certificate(record)

    def see_checkpoint(self, record: Record) -> None:
        """A checkpoint record of the range."""
        checkpoint = msgspec.json.decode(record.payload, type=_Checkpoint)
        if checkpoint.body is not None:
            note = self.chain.see_note(record.seq, checkpoint.body)
            self.counter.see_note(record.seq, note)
            self.boots.see_boot(note.boot_id)
            return
        before, pcrs = _registers(checkpoint)
        quoted = self.chain.see_quote(checkpoint.note.encode(), before, pcrs)
        if quoted is not None:
            self._see_quoted(quoted)

    def see_boot(self, record: Record) -> None:
        """A boot record of the range."""
        boot = msgspec.json.decode(record.payload, type=_Boot)
        self.chain.see_boot(boot.boot_id)
        self.boots.see_boot(boot.boot_id)
        self.windows.see_boot(record.seq, boot.boot_id)
        self._see_definition(boot)

    def _see_definition(self, boot: _Boot) -> None:
        if boot.counter is not None and boot.counter.defined:
            self.counter.see_definition(boot.boot_id)

    def see_key(self, record: Record) -> None:
        """A key record of the range."""
        key = msgspec.json.decode(record.payload, type=_Key)
        if key.event == "retired":
            self.chain.signers.retire(bytes.fromhex(key.name))
        else:
            self.chain.signers.state(record.seq, key.ak_public)

    def see_tail(self, heads: Sequence[Head]) -> None:
        """The heads after the range, which its closing head ends."""
        before = self.chain.last
        for place, head in enumerate(heads):
            quoted = self.chain.see_head(head)
            if self.chain.last is not None:
                self.counter.see_later_note(self.chain.last)
            if place == 0:
                around = {note.boot_id for note in (before, self.chain.last) if note is not None}
                self.windows.end_range(frozenset(self.boots.shown or around))
            if quoted is not None:
                self._see_quoted(quoted)

    def finish(self) -> None:
        """Nothing follows. Raises FormatError ``COUNTER_UNCOVERED``."""
        last = self.chain.last
        self.counter.finish(0 if last is None else last.size)
        self.windows.finish(self.counter)

    def _see_quoted(self, quoted: QuotedHead) -> None:
        first = self.chain.first
        if self._whole and first is not None and first.boot_id == quoted.note.boot_id:
            self.counter.first_run = quoted.attest.reset_count
        self.windows.see_quoted(quoted, self.counter)
        self.counter.see_quoted(quoted)
        self.boots.see_quoted(quoted)
        self.times.see_quoted(quoted)


def _registers(checkpoint: _Checkpoint) -> tuple[bytes, dict[int, bytes]]:
    pcrs = pcrs_from(checkpoint.pcrs)
    return bytes.fromhex(checkpoint.before), pcrs
