"""A node: its state directory, TPM, log, heads and collectors, wired together.

The daemon runs one for as long as it lives; a verb such as `attest` opens one for itself where
no daemon runs. Opening it takes the state directory's lock, so there is never a second.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.config import Config
from swt3_agent.daemon.audit import AuditCollector
from swt3_agent.daemon.breath import Breath
from swt3_agent.daemon.collectors import READ_WITH, Watched, watched_collectors
from swt3_agent.daemon.coverage_collector import watched_coverage
from swt3_agent.daemon.delivery import Delivery
from swt3_agent.daemon.earlier_findings import count_earlier_findings
from swt3_agent.daemon.gaps import GapRecorder
from swt3_agent.daemon.identity import boot_id, find_node_id
from swt3_agent.daemon.minter import minter_of
from swt3_agent.daemon.node_tpm import NodeTpm
from swt3_agent.daemon.runs import LastRun, last_run
from swt3_agent.daemon.start_records import (
    boot_content,
    key_content,
    stated_key,
    stated_log_id,
)
from swt3_agent.errors import AgentError, TpmError, UsageError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.appraisal.audit import appraise_audit
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.custody.log_shelf import Source
from swt3_agent.store.custody.opening import open_custody
from swt3_agent.store.days import DayTrees
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.exports import Exports
from swt3_agent.store.head_chain import tpm_was_reset
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.settlements import Settlements
from swt3_agent.store.state import StateDirectory
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.client import Tpm, TpmIdentity

logger = logging.getLogger(__name__)

MOST_FINDINGS = 100
"""Kept for `status`; the log has every one of them."""

OWN_PROVENANCE = canonical_json({"listener": "agent"})


@dataclass(frozen=True, slots=True)
class HeadLack:
    """Why heads are not signed, and since when (UTC ms)."""

    reason: Reason
    since_ms: int


class Node:
    """The wired parts of one node; open it as a context manager.

    ``tpm`` is None where the settings say so; ``tpm_identity`` is None as long as none was reached,
    and then ``tpm_lack`` says why. A TPM that comes later is taken up with the next head.
    ``head_lack`` says why heads are unsigned or not made at all; None while they are signed.
    ``gaps`` records what was refused; None where the node takes nothing in.
    ``delivery`` sends records to the ledger; None where there is none, or no daemon.
    ``findings`` are what an assessor should know of this run, the newest ``MOST_FINDINGS``;
    ``earlier_findings`` counts those of this boot before this start, by code.
    """

    def __init__(self, config: Config, state: StateDirectory | None = None) -> None:
        """``state``: the directory of ``config``, where the caller has opened it already; it stays
        the caller's to close."""
        self.config = config
        self.findings: deque[Reason] = deque(maxlen=MOST_FINDINGS)
        self.last_runs: dict[str, LastRun] = {}
        self.tpm_identity: TpmIdentity | None = None
        self.head_lack: HeadLack | None = None
        self.gaps: GapRecorder | None = None
        self.delivery: Delivery | None = None
        self._opened_state = state
        self._heads_lock = threading.Lock()  # over who signs, and one head at a time
        self._closing = ExitStack()

    def __enter__(self) -> "Node":
        """Take the state directory, mend what a crash left, reach the TPM, record the start.

        Without a TPM the node runs all the same: its heads are unsigned and it says so.
        Raises StateError or JournalError when the state directory cannot be used.
        """
        try:
            self._open_store()
            self._open_log()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    @property
    def tpm(self) -> Tpm | None:
        """The handle on the TPM; it may lead to one that is not there."""
        return self._node_tpm.handle

    @property
    def tpm_lack(self) -> TpmError | None:
        """Why no TPM was reached; None where one was."""
        return None if self.tpm_identity is not None else self._node_tpm.lack

    def _open_store(self) -> None:
        state = self._opened_state
        if state is None:
            state = self._closing.enter_context(StateDirectory.open(self.config.state_dir))
        layout = state.layout
        self.journal = self._closing.enter_context(Journal.open(layout.journal, layout.keys))
        self.catalogue = self._closing.enter_context(Catalogue.open(layout.catalogue, self.journal))
        self.settlements = Settlements(self.journal, self.catalogue)
        self.exports = Exports(self.journal, self.catalogue)
        self.evidence = EvidenceStore(layout.evidence)
        self.node_id = find_node_id(layout.root)
        self.log_id = stated_log_id(self.journal) if self.journal.size else secrets.token_hex(16)
        source = Source(self.node_id, self.log_id)
        # Closed before the journal, where those who wait for it go on.
        custody = open_custody(self.config.custody, layout, source)
        self.custody = self._closing.enter_context(custody)
        self.boot_id = boot_id()
        expected_ak = stated_key(self.journal, self.catalogue)
        self._node_tpm = NodeTpm(self.config, layout.keys, expected_ak)
        self._closing.callback(self._node_tpm.close)

    def _open_log(self) -> None:
        config = self.config
        identity = self._node_tpm.reach(at_once=True)
        findings: list[Reason] = []
        if (cut := self.journal.recovered) is not None:
            detail = f"{cut.size} bytes of no whole commit, before record {cut.seq}"
            findings.append(Reason("TORN_TAIL_CUT", detail))
        lack = self._node_tpm.lack
        if lack is not None and lack.code == "TPM_KEY_UNUSABLE":  # the log names one
            findings.append(Reason.of(lack))
        self.earlier_findings = count_earlier_findings(self.journal, self.catalogue, self.boot_id)
        self._sign_with(identity, findings)
        self.breath = Breath()
        self.days = DayTrees(self.journal, self.catalogue, config.tenant, breathe=self.breath)
        self.audit = AuditCollector(
            self.journal,
            self.catalogue,
            self.days,
            config.tenant,
            breath=self.breath,
            found=self._note,
        )
        self._closing.callback(self.audit.stop)
        self._watch(config)
        minter = minter_of(config)
        self.pipeline = Pipeline(minter, self.journal, self.evidence, self.custody)
        try:
            self.checkpoint("start")
        except TpmError as error:  # its note waits in the journal and is signed first next time
            logger.warning(
                "no head at the start %s", fields(Event.HEAD_FAILED, code=error.code, why=error)
            )

    def reconfigure(self, config: Config, minter: Minter) -> None:
        """Go on with ``config``, as far as it can change while the node is open (daemon/reload)."""
        self.config = config
        self.pipeline.mint_as(minter)
        self._watch(config)

    def _watch(self, config: Config) -> None:
        audit = Watched(self.audit, appraise_audit)
        collectors = watched_collectors(config, self.tpm, self._boot_faults)
        self.watched = (*collectors, *watched_coverage(self), audit)

    def _boot_faults(self) -> tuple[Reason, ...]:
        """Why the TPM's registers do not tell of this boot, where heads have shown that."""
        reset = tpm_was_reset()
        found = {finding.code for finding in self.findings} | self.earlier_findings.keys()
        return (reset,) if reset.code in found else ()

    def _sign_with(self, identity: TpmIdentity | None, findings: list[Reason]) -> None:
        """Take up the chain of heads with this TPM (None: unsigned) and record the start.

        Changes nothing in the node where it fails, so that it can be done again.
        """
        heads = HeadKeeper(
            self.journal,
            self.catalogue,
            None if identity is None else self.tpm,
            node_id=self.node_id,
            log_id=self.log_id,
            boot_id=self.boot_id,
            log_pcr=self.config.tpm.log_pcr,
        )
        findings += heads.recover()
        log_pcr = None
        if identity is not None:
            try:
                log_pcr = self._read_log_pcr()
            except TpmError as error:  # lost since it was reached
                findings.append(Reason.of(error))
        self._record_start(identity, log_pcr, findings)
        if identity is not None and identity.ak_public != stated_key(self.journal, self.catalogue):
            self._append(Kind.KEY, key_content(identity))
        self.heads = heads
        self.tpm_identity = identity
        self._note(findings)

    def _read_log_pcr(self) -> dict[str, object] | None:
        if self.tpm is None:
            return None
        index = self.config.tpm.log_pcr
        return {"index": index, "value": self.tpm.read_pcrs((index,))[index].hex()}

    def _record_start(
        self,
        identity: TpmIdentity | None,
        log_pcr: Mapping[str, object] | None,
        findings: Sequence[Reason],
    ) -> None:
        """The BOOT record: who starts, on what, and what was found. The first names the log."""
        content = boot_content(
            self.config,
            boot_id=self.boot_id,
            node_id=self.node_id,
            log_id=self.log_id,
            identity=identity,
            log_pcr=log_pcr,
            findings=findings,
            earlier=count_earlier_findings(self.journal, self.catalogue, self.boot_id),
        )
        self._append(Kind.BOOT, content)

    def _append(self, kind: Kind, content: Mapping[str, object]) -> None:
        draft = Draft(kind, OWN_PROVENANCE, canonical_json(content))
        self.journal.append([draft]).result()
        self.catalogue.catch_up()

    def _note(self, findings: Iterable[Reason]) -> None:
        for finding in findings:
            told = fields(
                Event.FINDING,
                code=finding.code,
                what=finding.detail,
                remedy=finding.remedy or "none",
            )
            logger.warning("finding %s", told)
            self.findings.append(finding)

    def reach_tpm(self) -> None:
        """Ask now for a TPM that was not to be had so far: somebody waits for it.

        Raises JournalError when it is there and that cannot be recorded.
        """
        with self._heads_lock:
            self._take_up_tpm(at_once=True)

    def _take_up_tpm(self, *, at_once: bool) -> None:
        """Sign with a TPM that was late at the start. Call it with the lock."""
        if self.tpm_identity is not None:
            return
        identity = self._node_tpm.reach(at_once=at_once)
        if identity is None:
            return
        self.catalogue.catch_up()  # the chain goes on from the last of the unsigned heads
        self._sign_with(identity, [])
        logger.info("a TPM signs from now on %s", fields(Event.TPM_BACK, tpm=identity.kind.value))

    def attest(self, names: Sequence[str] = ()) -> list[Attestation]:
        """Run the named collectors and record what they saw; where none is named, all of them, the
        audit only if a day is due.

        Raises UsageError for an unknown name, JournalError where nothing can be recorded.
        """
        known = {watched.collector.name: watched for watched in self.watched}
        names = list(dict.fromkeys(READ_WITH.get(name, name) for name in names))
        for name in names:
            if name not in known:
                raise UsageError(
                    "NO_SUCH_COLLECTOR",
                    f"no collector {name!r} on this node",
                    remedy=f"name one of: {', '.join(known)}",
                )
        if not names:
            due = self.audit.is_due()
            names = [name for name in known if due or name != self.audit.name]
        attestations: list[Attestation] = []
        for name in names:
            watched = known[name]
            if watched.collector.name == PlatformCollector.name:
                self.reach_tpm()  # else it would attest to a TPM that signs no head
            results = self.pipeline.run(watched.collector, watched.appraise, watched.expected)
            now_ms = time.time_ns() // 1_000_000
            self.last_runs[name] = last_run(self.journal, results, self.last_runs.get(name), now_ms)
            attestations += results
        return attestations

    def checkpoint(self, reason: str, *, covering: int | None = None) -> HeadRecord | None:
        """Make a head over everything recorded so far, where there is something new.

        ``covering``: a record that it must cover, because somebody waits for it. A TPM that was
        not to be had so far is tried first. Raises as ``HeadKeeper.checkpoint``.
        """
        with self._heads_lock:
            try:
                self._take_up_tpm(at_once=covering is not None)
                head = self.heads.checkpoint(reason, covering=covering)
            except AgentError as error:
                self._lacks_heads(error)
                raise
            if head is not None:
                self._note(head.findings)
            if self.tpm_lack is not None:
                self._lacks_heads(self.tpm_lack)
            else:
                self.head_lack = None
            return head

    def _lacks_heads(self, error: AgentError) -> None:
        since_ms = time.time_ns() // 1_000_000
        if self.head_lack is not None:
            since_ms = self.head_lack.since_ms
        self.head_lack = HeadLack(Reason.of(error), since_ms)
