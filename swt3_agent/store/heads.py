"""Making heads: a note of the log's size and root, signed by a TPM quote where there is a TPM.

docs/formats.md, "What a signed head proves" and "Checkpoint note".
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from swt3_agent.errors import JournalError, TpmError
from swt3_agent.protocol.checkpoint import (
    FIRST_PREVIOUS,
    CheckpointNote,
    extended,
    signed_note,
)
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.clocks import Moment, check_clocks, reference
from swt3_agent.store.counter_records import last_certificate
from swt3_agent.store.head_chain import (
    ChainState,
    Step,
    decide,
    foreign_extend,
    read_chain,
    tpm_was_reset,
    unsigned_notes,
)
from swt3_agent.store.head_records import (
    HeadQuote,
    HeadRecord,
    note_draft,
    quote_draft,
    read_head,
)
from swt3_agent.store.journal import Commit, Draft, Journal
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.public import parse_public
from swt3_agent.telemetry import Event, fields

__all__ = ["HeadKeeper", "HeadRecord", "HeadSigner"]

logger = logging.getLogger(__name__)

MOST_WAIT_MS = 15_000
"""How long a note may wait for its quote."""


class SignerIdentity(Protocol):
    """The key that signs: ``ak_public`` is its TPMT_PUBLIC."""

    @property
    def ak_public(self) -> bytes: ...


class SignerClock(Protocol):
    """``reset_count`` counts resets of the TPM, which a reboot causes."""

    @property
    def reset_count(self) -> int: ...


class QuotedHead(Protocol):
    """A quote over a note: TPMS_ATTEST, DER signature, log PCR before the extend, PCR values."""

    @property
    def attest(self) -> bytes: ...
    @property
    def signature_der(self) -> bytes: ...
    @property
    def before(self) -> bytes: ...
    @property
    def pcrs(self) -> Mapping[int, bytes]: ...


class HeadSigner(Protocol):
    """A TPM that signs heads. Every call may raise TpmError; then nothing is lost."""

    def open(self) -> SignerIdentity: ...
    def clock(self) -> SignerClock: ...
    def read_pcrs(self, indices: tuple[int, ...]) -> Mapping[int, bytes]: ...
    def extend_and_quote(self, body: bytes) -> QuotedHead: ...
    def quote_head(self, body: bytes, before: bytes) -> QuotedHead: ...


class HeadKeeper:
    """Makes the heads of one log; any thread may ask for one."""

    def __init__(
        self,
        journal: Journal,
        catalogue: Catalogue,
        signer: HeadSigner | None,
        *,
        node_id: str,
        log_id: str,
        boot_id: str,
        log_pcr: int,
    ) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._signer = signer
        self._node_id = node_id
        self._log_id = log_id
        self._boot_id = boot_id
        self._log_pcr = log_pcr
        self._lock = threading.Lock()
        newest = [read_head(journal, entry) for entry in catalogue.heads(newest=1)]
        self._latest = newest[0] if newest else None
        self._own = _own_records(newest[0]) if newest else set()
        self._chain = read_chain(journal, catalogue, boot_id)
        certificate = last_certificate(journal, catalogue)
        self._counter = 0 if certificate is None else certificate.stated.value
        self._moment: Moment | None = None
        self._settled = signer is None
        self._findings: tuple[Reason, ...] = ()  # noticed, and in no record yet

    @property
    def latest(self) -> HeadRecord | None:
        """The newest head, signed or not."""
        return self._latest

    def recover(self) -> list[Reason]:
        """Finish the head that an interruption left half made; what an assessor should know of it.

        Call it once, before the boot record is written. A TPM that fails now is a finding, and
        recovery goes on with the next head.

        Raises JournalError, ``LOG_ROOT_MISMATCH`` where the log is not the one that the newest head
        states: a head more would make two histories of it.
        """
        with self._lock:
            self._refuse_another_history()
            try:
                self._settle()
            except TpmError as error:
                told = fields(Event.HEAD_FAILED, code=error.code, why=error, remedy=error.remedy)
                logger.warning("chain of heads not taken up %s", told)
                self._findings += (Reason.of(error),)
            findings, self._findings = self._findings, ()
            return list(findings)

    def checkpoint(self, reason: str, *, covering: int | None = None) -> HeadRecord | None:
        """Make a head over everything committed; None where only heads were added since the last.

        A head's own records do not call for the next one, unless that must cover record
        ``covering``, or there is a TPM now and it did not sign the last one.

        Raises JournalError, or TpmError: then the note waits in the journal and is signed first
        when the next head is asked for, if that is soon.
        """
        with self._lock:
            self._settle()
            size = self._journal.size
            if self._latest is not None and not self._is_due(self._latest, size, covering):
                return None
            return self._make(size, reason)

    def record_counter(self, certificate: Draft, value: int) -> Commit:
        """Record a certificate of the counter; notes after it state ``value``. Raises JournalError.

        It takes its turn with the heads: a note states the newest certificate before it.
        """
        with self._lock:
            commit = self._journal.append([certificate]).result()
            self._counter = value
            return commit

    def tell(self, findings: Sequence[Reason]) -> None:
        """Have the next signed head record what was noticed elsewhere."""
        with self._lock:
            self._findings += tuple(findings)

    def _refuse_another_history(self) -> None:
        if self._latest is None:
            return
        note, seq = self._latest.note, self._latest.note_seq
        root = self._journal.root(note.size)
        if root != note.root:
            raise JournalError(
                "LOG_ROOT_MISMATCH",
                f"the head at record {seq} states root {note.root.hex()} over {note.size} records;"
                f" the records and segment keys that are there give {root.hex()}",
                remedy="restore journal/ and keys/ from one backup, and run `swt3-agent fsck`;"
                " nothing was changed",
            )

    def _is_due(self, latest: HeadRecord, size: int, covering: int | None) -> bool:
        if size - latest.note.size != len(self._own):
            return True
        if self._signer is not None and not latest.signed:
            return True
        return covering is not None and covering >= latest.note.size

    def _make(self, size: int, reason: str) -> HeadRecord:
        note = CheckpointNote(
            node_id=self._node_id,
            log_id=self._log_id,
            size=size,
            root=self._journal.root(size),
            utc_ms=time.time_ns() // 1_000_000,
            boot_id=self._boot_id,
            previous=FIRST_PREVIOUS if self._latest is None else self._latest.note.digest(),
            counter=self._counter,
        )
        note_seq = self._journal.append([note_draft(note, reason)]).result().first_seq
        self._journal.mark_size()
        head = HeadRecord(note, note_seq, None, None)
        self._remember(head)
        if self._signer is None:
            return head
        self._settled = False
        self._chain = replace(self._chain, pending=head)
        return self._finish(self._signer, head, self._signer.extend_and_quote(note.body()))

    def _settle(self) -> None:
        """Bring journal and log PCR to agree, so that a new head can follow."""
        signer = self._signer
        if signer is None or self._settled:
            return
        present = signer.read_pcrs((self._log_pcr,))[self._log_pcr]
        reset_count = signer.clock().reset_count
        unsigned = unsigned_notes(self._journal, self._catalogue, self._boot_id)
        if self._chain.pending is not None and _is_stale(self._chain.pending):
            self._chain = replace(self._chain, pending=None)
        step, findings = decide(self._chain, present, reset_count, unsigned)
        pending = self._chain.pending
        if step is Step.NOTHING or pending is None:
            self._chain = ChainState(present, reset_count=reset_count)
            self._settled = True
            self._findings += findings
            return
        body = pending.note.body()
        if step is Step.EXTEND:
            quoted = signer.extend_and_quote(body)
        else:
            quoted = signer.quote_head(body, self._chain.value or b"")
        self._finish(signer, pending, quoted)

    def _finish(self, signer: HeadSigner, head: HeadRecord, quoted: QuotedHead) -> HeadRecord:
        """Record the quote of ``head``, and what was noticed; with it the head is done."""
        body = head.note.body()
        moment = Moment.of(parse_attest(quoted.attest), time.time_ns() // 1_000_000)
        steps = () if self._moment is None else check_clocks(self._moment, moment)
        findings = self._findings + self._surprises(quoted, moment) + steps
        spki = parse_public(signer.open().ak_public).spki_der()
        text = signed_note(body, quoted.attest, quoted.signature_der, spki)
        quote = HeadQuote(text, quoted.before, dict(quoted.pcrs))
        draft = quote_draft(head.note_seq, quote, findings)
        quote_seq = self._journal.append([draft]).result().first_seq
        done = HeadRecord(head.note, head.note_seq, quote, quote_seq, findings)
        self._remember(done)
        self._chain = ChainState(extended(quoted.before, body), reset_count=moment.reset_count)
        self._moment = reference(self._moment, moment, parted=bool(steps))
        self._settled = True
        self._findings = ()
        return done

    def _surprises(self, quoted: QuotedHead, moment: Moment) -> tuple[Reason, ...]:
        """What happened to the TPM since the last head."""
        if self._chain.reset_count not in (None, moment.reset_count):
            return (tpm_was_reset(),)
        if self._chain.value not in (None, quoted.before):
            return (foreign_extend(self._chain.value or b"", quoted.before),)
        return ()

    def _remember(self, head: HeadRecord) -> None:
        self._latest = head
        self._own = _own_records(head)


def _is_stale(head: HeadRecord) -> bool:
    """Whether its time is so long ago that a quote made now would show it as dated back. It stays
    unsigned then, and a new head follows."""
    return abs(time.time_ns() // 1_000_000 - head.note.utc_ms) > MOST_WAIT_MS


def _own_records(head: HeadRecord) -> set[int]:
    """Records of ``head`` itself that its size does not count."""
    return {seq for seq in (head.note_seq, head.quote_seq) if seq is not None}
