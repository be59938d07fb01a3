"""The heads of a node: who signs them, from when on, and what hinders them.

A TPM that is there at the start signs from the start; one that comes later is taken up with the
next head. Either way a BOOT record says so first (docs/formats.md, "Payloads by kind"), and where
its clocks and its counter stand.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from swt3_agent.config import Config
from swt3_agent.daemon.caller import Caller
from swt3_agent.daemon.earlier_findings import count_earlier_findings
from swt3_agent.daemon.node_keys import NodeKeys
from swt3_agent.daemon.node_tpm import NodeTpm
from swt3_agent.daemon.pace import Pace
from swt3_agent.daemon.start_records import LogNames, TpmReadings, boot_content, read_tpm
from swt3_agent.errors import AgentError, TpmError
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.counter import CounterKeeper, OpenedCounter
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Commit, Draft, Journal
from swt3_agent.store.key_history import KeyStep
from swt3_agent.store.starts import account, earlier_start
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.client import Tpm, TpmIdentity
from swt3_agent.tpm.key_faults import KEY_CODES

logger = logging.getLogger(__name__)

OWN_PROVENANCE = canonical_json({"listener": "agent"})


@dataclass(frozen=True, slots=True)
class HeadLack:
    """Why heads are not signed, and since when (UTC ms)."""

    reason: Reason
    since_ms: int


class NodeHeads:
    """Makes the heads of one node, one at a time; any thread may ask.

    ``identity`` is the TPM that signs, None as long as none was reached; ``lack`` says why heads
    are unsigned or not made at all, None while they are signed. ``counter`` is None without a TPM,
    or where the settings want none. ``found`` is told every finding.
    """

    def __init__(
        self,
        node_tpm: NodeTpm,
        journal: Journal,
        catalogue: Catalogue,
        names: LogNames,
        keys: NodeKeys,
        *,
        config: Callable[[], Config],
        found: Callable[[Iterable[Reason]], None],
    ) -> None:
        self.identity: TpmIdentity | None = None
        self.lack: HeadLack | None = None
        self.counter: CounterKeeper | None = None
        self._node_tpm = node_tpm
        self._journal = journal
        self._catalogue = catalogue
        self._names = names
        self.keys = keys
        self._config = config
        self._found = found
        self._lock = threading.Lock()  # over who signs, and one head at a time
        self._pace = Pace()

    @property
    def boot_id(self) -> str:
        """The boot that runs now."""
        return self._names.boot_id

    @property
    def latest(self) -> HeadRecord | None:
        """The newest head, signed or not."""
        return self._keeper.latest

    @property
    def rested(self) -> bool:
        """Whether a head is due that nobody waits for: not while the TPM is slow to sign them."""
        return self._pace.rested

    def start(self, findings: Sequence[Reason]) -> None:
        """Take up the chain of heads with the TPM that is to be had now, or with none; record the
        start and what was found on the way, ``findings`` before it.

        Raises JournalError where the log cannot go on.
        """
        identity = self._node_tpm.reach(at_once=True)
        lack = self._node_tpm.lack
        if lack is not None and lack.code in KEY_CODES:  # the log names one
            findings = [*findings, Reason.of(lack)]
        self._sign_with(identity, findings)

    def reach_tpm(self) -> None:
        """Ask now for a TPM that was not to be had so far: somebody waits for it.

        Raises JournalError when it is there and that cannot be recorded.
        """
        with self._lock:
            self._take_up_tpm(at_once=True)

    def checkpoint(self, reason: str, *, covering: int | None = None) -> HeadRecord | None:
        """Make a head over everything recorded so far, where there is something new.

        ``covering``: a record that it must cover, because somebody waits for it. A TPM that was
        not to be had so far is tried first. Raises as ``HeadKeeper.checkpoint``.
        """
        with self._lock:
            return self._checkpoint(reason, covering)

    def cover(self, seq: int) -> HeadRecord:
        """A signed head that covers the record ``seq``. Raises as ``checkpoint``, and TpmError
        where nothing signs."""
        with self._lock:
            head = self._checkpoint("counter", seq) or self.latest
            if head is None or not head.signed:
                raise self._without_tpm()
            return head

    def record_counter(self, certificate: Draft, value: int) -> Commit:
        """As ``HeadKeeper.record_counter``, whoever signs by now."""
        with self._lock:
            return self._keeper.record_counter(certificate, value)

    def rotate_key(self, reason: str, by: Caller) -> TpmIdentity:
        """Have the attestation key vouch for a new one, and sign with that from then on.

        Raises as ``checkpoint``: then every head tries to finish it, and so does a restart.
        """
        with self._lock:
            self._take_up_tpm(at_once=True)
            if self.identity is None:
                raise self._without_tpm()
            self._checkpoint("key", self.keys.begin_rotation(self.identity, reason, by))
            return self.identity

    def replace_key(self, reason: str, by: Caller) -> TpmIdentity:
        """Sign with a new key in place of one that is lost. Raises as ``NodeKeys.replace``."""
        with self._lock:
            identity = self.keys.replace(reason, by)
            self._sign_with(identity, [])
            return identity

    def retire_key(self, named: str, reason: str, by: Caller) -> KeyStep:
        """Record that an earlier key signs no more. Raises as ``NodeKeys.retire``."""
        with self._lock:
            return self.keys.retire(named, reason, by)

    def open_counter(self) -> tuple[CounterKeeper, OpenedCounter]:
        """The counter as it is now. Where it has to be defined anew, a BOOT record says so before,
        and another one with which value it begins.

        Raises TpmError, also where there is no counter, and JournalError.
        """
        with self._lock:
            self._take_up_tpm(at_once=False)
            counter, tpm = self.counter, self._node_tpm.handle
            if counter is None or tpm is None:
                raise self._without_tpm()
            opened = counter.open()
            for _ in ("that it is to be", "where it begins"):
                if not opened.present.defined:
                    break
                self._tell_of_counter(tpm, counter, opened)
                opened = counter.open()
            if opened.present.value is None:
                raise TpmError(
                    "TPM_COUNTER_GONE",
                    f"the counter {counter.index:08x} is removed as soon as it is defined",
                    remedy="find out who removes it",
                )
            self._keeper.tell(opened.findings)
            counter.go_on(opened)
            return counter, opened

    def _tell_of_counter(self, tpm: Tpm, counter: CounterKeeper, opened: OpenedCounter) -> None:
        """The BOOT record of a counter that is defined anew. Call it with the lock."""
        findings = [*self._keeper.recover(), *opened.findings]
        readings = read_tpm(tpm, self._config().tpm.log_pcr)
        readings.counter = opened.present
        self._record_start(self.identity, readings, findings)
        self._found(findings)
        counter.go_on(opened)

    def _checkpoint(self, reason: str, covering: int | None) -> HeadRecord | None:
        """Call it with the lock."""
        try:
            self._take_up_tpm(at_once=covering is not None)
            with self._pace.busy():
                head = self._keeper.checkpoint(reason, covering=covering)
            if self.identity is not None:
                self.identity = self.keys.adopt(self.identity) or self.identity
        except AgentError as error:
            self._lacks(error)
            raise
        if head is not None:
            self._found(head.findings)
        if self.identity is None and self._node_tpm.lack is not None:
            self._lacks(self._node_tpm.lack)
        else:
            self.lack = None
        return head

    def _take_up_tpm(self, *, at_once: bool) -> None:
        """Sign with a TPM that was late at the start. Call it with the lock."""
        if self.identity is not None:
            return
        identity = self._node_tpm.reach(at_once=at_once)
        if identity is None:
            return
        self._catalogue.catch_up()  # the chain goes on from the last of the unsigned heads
        self._sign_with(identity, [])
        logger.info("a TPM signs from now on %s", fields(Event.TPM_BACK, tpm=identity.kind.value))

    def _sign_with(self, identity: TpmIdentity | None, known: Sequence[Reason]) -> None:
        """Take up the chain of heads with this TPM (None: unsigned) and record the start.

        Changes nothing here where it fails, so that it can be done again.
        """
        earlier = earlier_start(self._journal, self._catalogue)
        keeper = HeadKeeper(
            self._journal,
            self._catalogue,
            None if identity is None else self._node_tpm.handle,
            node_id=self._names.node_id,
            log_id=self._names.log_id,
            boot_id=self._names.boot_id,
            log_pcr=self._config().tpm.log_pcr,
        )
        findings = [*known, *keeper.recover()]
        readings, counter, opened = TpmReadings(), None, None
        tpm, index = self._node_tpm.handle, self._config().counter_index
        if identity is not None and tpm is not None:
            if index is not None:
                counter = CounterKeeper(self._journal, self._catalogue, tpm, index)
            try:
                readings = read_tpm(tpm, self._config().tpm.log_pcr)
                opened = None if counter is None else counter.open()
            except TpmError as error:  # lost since it was reached, or it does not count
                findings.append(Reason.of(error))
        if earlier is not None and readings.moment is not None:
            found = account(earlier, self._names.boot_id, readings.moment)
            findings += [new for new in found if new.code not in {old.code for old in findings}]
        if counter is not None and opened is not None:
            readings.counter = opened.present
            findings += opened.findings
        self._record_start(identity, readings, findings)
        if counter is not None and opened is not None:
            counter.go_on(opened)
        if identity is not None and identity.ak_public != self.keys.signer.ak_public:
            self.keys.record_created(identity)
        self._keeper = keeper
        self.counter = counter
        self.identity = identity
        self._found(findings)

    def _record_start(
        self,
        identity: TpmIdentity | None,
        readings: TpmReadings,
        findings: Sequence[Reason],
    ) -> None:
        """The BOOT record: who starts, on what, and what was found. The first names the log."""
        content = boot_content(
            self._config(),
            self._names,
            identity=identity,
            readings=readings,
            findings=findings,
            earlier=count_earlier_findings(self._journal, self._catalogue, self._names.boot_id),
        )
        self._append(Kind.BOOT, content)

    def _append(self, kind: Kind, content: Mapping[str, object]) -> None:
        draft = Draft(kind, OWN_PROVENANCE, canonical_json(content))
        self._journal.append([draft]).result()
        self._catalogue.catch_up()

    def _without_tpm(self) -> TpmError:
        lack = self._node_tpm.lack
        if self.identity is None and lack is not None:
            return TpmError(lack.code, lack.message, remedy=lack.remedy)
        return TpmError(
            "COUNTER_NONE",
            "the settings say that no counter is kept",
            remedy="set agent.tpm.counter to an NV index",
        )

    def _lacks(self, error: AgentError) -> None:
        since_ms = time.time_ns() // 1_000_000
        if self.lack is not None:
            since_ms = self.lack.since_ms
        self.lack = HeadLack(Reason.of(error), since_ms)
