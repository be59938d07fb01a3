"""The gapless counter: what makes a log that lost its end after a reset look like it.

docs/formats.md, "Counter". A step is: announce it; have a head cover that; certify the value
before, over that head; increment; certify the value after. Each part is durable before the next
begins, so that an interruption anywhere leaves a log that explains the counter's value.
"""

from dataclasses import dataclass
from typing import Protocol

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.counter_chain import (
    PresentCounter,
    StatedCounter,
    certified,
    take_up,
    to_define,
)
from swt3_agent.store.counter_records import (
    Certificate,
    LastCertificate,
    Phase,
    certificate_draft,
    intent_draft,
    last_step,
    stated_counter,
)
from swt3_agent.store.head_records import HeadRecord
from swt3_agent.store.journal import Commit, Draft, Journal
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.nv_public import COUNTER_SIZE, parse_nv_public

__all__ = ["CounterKeeper", "CounterSigner"]


class CounterReading(Protocol):
    """An NV counter: ``public`` is its TPMS_NV_PUBLIC; ``defined`` says that the index is new."""

    @property
    def index(self) -> int: ...
    @property
    def public(self) -> bytes: ...
    @property
    def value(self) -> int: ...
    @property
    def defined(self) -> bool: ...


class CounterCertificate(Protocol):
    """TPMS_ATTEST of an NV certification, and the AK's DER signature over it."""

    @property
    def attest(self) -> bytes: ...
    @property
    def signature_der(self) -> bytes: ...


class CounterSigner(Protocol):
    """A TPM that counts. Every call may raise TpmError; after that an increment has happened or
    not, and ``open_counter`` tells."""

    def open_counter(self, index: int, *, define: bool) -> CounterReading: ...
    def certify_counter(self, index: int, extra: bytes) -> CounterCertificate: ...
    def increment_counter(self, index: int) -> int: ...


@dataclass(frozen=True, slots=True)
class OpenedCounter:
    """What the TPM says of the counter, from where the log goes on, and what it does not explain.

    ``present.defined`` where it had to be defined or is about to be, and the log does not say so
    yet.
    """

    present: PresentCounter
    stated: StatedCounter | None
    findings: tuple[Reason, ...]


class CoveringHeads(Protocol):
    """Makes heads of the log: ``cover`` a signed one over a record; ``record_counter`` records a
    certificate of a value, which later notes state. Both may raise TpmError and JournalError."""

    def cover(self, seq: int) -> HeadRecord: ...
    def record_counter(self, certificate: Draft, value: int) -> Commit: ...


class CounterKeeper:
    """Steps the counter of one log. One thread at a time; heads may be made meanwhile."""

    def __init__(
        self,
        journal: Journal,
        catalogue: Catalogue,
        signer: CounterSigner,
        index: int,
    ) -> None:
        """Raises JournalError where the log's own certificates cannot be read."""
        self.index = index
        self._journal = journal
        self._signer = signer
        self._stated = stated_counter(journal, catalogue)
        self._last = last_step(journal, catalogue)
        self._public = b""

    @property
    def stated(self) -> StatedCounter | None:
        """What the log says of the counter; None where it says nothing yet."""
        return self._stated

    @property
    def public(self) -> bytes:
        """TPMS_NV_PUBLIC as last seen; empty before."""
        return self._public

    @property
    def last(self) -> LastCertificate | None:
        """The newest certificate after a step. What was recorded after its head a reset can still
        drop."""
        return self._last

    def open(self) -> OpenedCounter:
        """Look where the counter stands. Raises TpmError.

        One that is not there is defined, but first the log must say so where it states a value:
        else nothing would explain the next one if the TPM's answer were lost. ``go_on`` once the
        findings are told.
        """
        stated = self._stated
        announced = stated is not None and stated.redefined
        try:
            reading = self._signer.open_counter(self.index, define=stated is None or announced)
        except TpmError as error:
            if error.code != "TPM_COUNTER_GONE":
                raise
            present = to_define(self.index)
        else:
            self._public, name = reading.public, _name_of(reading.public)
            new = announced or (reading.defined and not self._knows(name, reading.value))
            present = PresentCounter(self.index, name, reading.value, defined=new)
        return OpenedCounter(present, *take_up(stated, present))

    def go_on(self, opened: OpenedCounter) -> None:
        """Take ``opened`` for what the log states: it is told."""
        self._stated = opened.stated

    def step(self, opened: OpenedCounter, reason: str, heads: CoveringHeads) -> None:
        """Take one step from where ``open`` has just found the counter.

        ``reason``: ``start``, ``cycle`` or ``stop``. Raises TpmError or JournalError where it was
        interrupted: then the next ``open`` finds out how far it came.
        """
        value = opened.present.value
        assert value is not None  # noqa: S101  what is about to be defined cannot be stepped
        intent = self._append_intent(value + 1, reason)
        head = heads.cover(intent)
        before = self._certificate("before", intent, head, value)
        self._record(before, head, heads, reason)
        self._signer.increment_counter(self.index)
        after = self._certificate("after", intent, head, value + 1)
        self._record(after, head, heads, reason)

    def _knows(self, name: bytes, value: int) -> bool:
        """Whether the log has said already that the counter with this Name is at ``value``."""
        stated = self._stated
        return stated is not None and (stated.index, stated.name, stated.value) == (
            self.index,
            name,
            value,
        )

    def _append_intent(self, value: int, reason: str) -> int:
        draft = intent_draft(self.index, value, reason)
        return self._journal.append([draft]).result().first_seq

    def _certificate(self, phase: Phase, intent: int, head: HeadRecord, value: int) -> Certificate:
        signed = self._signer.certify_counter(self.index, head.note.digest())
        self._check(signed.attest, head, value)
        return Certificate(
            phase, intent, head.note_seq, value, self._public, signed.attest, signed.signature_der
        )

    def _record(
        self, certificate: Certificate, head: HeadRecord, heads: CoveringHeads, reason: str
    ) -> None:
        commit = heads.record_counter(certificate_draft(certificate), certificate.value)
        assert self._stated is not None  # noqa: S101  ``go_on`` has set it
        step_follows = certificate.phase == "before"
        self._stated = certified(self._stated, certificate.value, step_follows=step_follows)
        if certificate.phase == "after":  # one before a step alone vouches for nothing
            self._last = LastCertificate(
                self._stated,
                commit.first_seq,
                head.note.size,
                head.note.boot_id,
                commit.received_ns // 1_000_000,
                reason,
            )

    def _check(self, attest: bytes, head: HeadRecord, value: int) -> None:
        """Refuse to record a certificate that proves nothing.

        Raises TpmError: TPM_FAILED; TPM_WAS_RESET or TPM_KEY_CHANGED since the head was quoted;
        COUNTER_MOVED.
        """
        try:
            parsed = parse_attest(attest)
        except FormatError as error:
            raise _not_certified(str(error)) from error
        nv = parsed.nv
        if nv is None or parsed.extra_data != head.note.digest():
            raise _not_certified("the TPM certified something else than it was asked")
        if (nv.name, nv.offset, len(nv.contents)) != (_name_of(self._public), 0, COUNTER_SIZE):
            raise _not_certified("the TPM certified another index")
        quoted = None if head.quote is None else head.quote.attestation()
        if quoted is None or parsed.reset_count != quoted.reset_count:
            raise TpmError(
                "TPM_WAS_RESET",
                "the TPM was reset since it signed the head that the certificate belongs to",
                remedy="reboot the node; if nobody did this, treat it as tampered with",
            )
        if parsed.qualified_signer != quoted.qualified_signer:
            raise TpmError(
                "TPM_KEY_CHANGED",
                "another key signs since the head that the certificate belongs to",
                remedy="nothing: the next step is certified by the new key alone",
            )
        if int.from_bytes(nv.contents, "big") != value:
            raise TpmError(
                "COUNTER_MOVED",
                f"the counter {self.index:08x} is not at {value}: somebody else incremented it",
                remedy="find what else uses this NV index, or set agent.tpm.counter to another",
            )


def _name_of(public: bytes) -> bytes:
    try:
        return parse_nv_public(public).name()
    except FormatError as error:
        raise _not_certified(str(error)) from error


def _not_certified(what: str) -> TpmError:
    return TpmError(
        "TPM_FAILED",
        f"the TPM did not certify the counter: {what}",
        remedy="trust this TPM with nothing; look for what changes its answers",
    )
