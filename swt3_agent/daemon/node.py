"""A node: its state directory, TPM, log, heads and collectors, wired together.

The daemon runs one for as long as it lives; a verb such as `attest` opens one for itself where
no daemon runs. Opening it takes the state directory's lock, so there is never a second.
"""

import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
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
from swt3_agent.daemon.node_counter import NodeCounter
from swt3_agent.daemon.node_heads import HeadLack, NodeHeads
from swt3_agent.daemon.node_keys import NodeKeys
from swt3_agent.daemon.node_tpm import NodeTpm
from swt3_agent.daemon.runs import LastRun, last_run
from swt3_agent.daemon.start_records import LogNames, stated_log_id
from swt3_agent.errors import AgentError, TpmError, UsageError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.appraisal.audit import appraise_audit
from swt3_agent.protocol.baseline import PLATFORM, Accepted
from swt3_agent.protocol.evidence import Reason
from swt3_agent.store.baselines import Baselines
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.custody.log_shelf import Source
from swt3_agent.store.custody.opening import open_custody
from swt3_agent.store.days import DayTrees
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.exports import Exports
from swt3_agent.store.head_chain import boot_without_reset, tpm_was_reset
from swt3_agent.store.heads import HeadRecord
from swt3_agent.store.ima_parts import kept_of_boot
from swt3_agent.store.journal import Journal
from swt3_agent.store.key_history import present_signer
from swt3_agent.store.settlements import Settlements
from swt3_agent.store.state import StateDirectory
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.client import Tpm, TpmIdentity

logger = logging.getLogger(__name__)

MOST_FINDINGS = 100
"""Kept for `status`; the log has every one of them."""


class Node:
    """The wired parts of one node; open it as a context manager.

    ``tpm`` is None where the settings say so. ``heads`` makes the heads of the log, ``counter``
    steps what shows the end that a reset drops.
    ``gaps`` records what was refused; None where the node takes nothing in.
    ``delivery`` sends records to the ledger; None where there is none, or no daemon.
    ``findings`` are what an assessor should know of this run, the newest ``MOST_FINDINGS``;
    ``earlier_findings`` counts those of this boot before this start, by code, ``finding_counts``
    those since.
    """

    def __init__(self, config: Config, state: StateDirectory | None = None) -> None:
        """``state``: the directory of ``config``, where the caller has opened it already; it stays
        the caller's to close."""
        self.config = config
        self.findings: deque[Reason] = deque(maxlen=MOST_FINDINGS)
        self.finding_counts: Counter[str] = Counter()
        self.last_runs: dict[str, LastRun] = {}
        self.gaps: GapRecorder | None = None
        self.delivery: Delivery | None = None
        self._opened_state = state
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
    def tpm_identity(self) -> TpmIdentity | None:
        """The TPM that signs; None as long as none was reached."""
        return self.heads.identity

    @property
    def tpm_lack(self) -> TpmError | None:
        """Why no TPM was reached; None where one was."""
        return None if self.tpm_identity is not None else self._node_tpm.lack

    @property
    def head_lack(self) -> HeadLack | None:
        """Why heads are unsigned or not made at all; None while they are signed."""
        return self.heads.lack

    def _open_store(self) -> None:
        state = self._opened_state
        if state is None:
            state = self._closing.enter_context(StateDirectory.open(self.config.state_dir))
        layout = state.layout
        self.journal = self._closing.enter_context(Journal.open(layout.journal, layout.keys))
        self.catalogue = self._closing.enter_context(Catalogue.open(layout.catalogue, self.journal))
        self.settlements = Settlements(self.journal, self.catalogue)
        self.exports = Exports(self.journal, self.catalogue)
        self.baselines = Baselines(self.journal, self.catalogue)
        self.evidence = EvidenceStore(layout.evidence)
        self.node_id = find_node_id(layout.root)
        self.log_id = stated_log_id(self.journal) if self.journal.size else secrets.token_hex(16)
        source = Source(self.node_id, self.log_id)
        # Closed before the journal, where those who wait for it go on.
        custody = open_custody(self.config.custody, layout, source)
        self.custody = self._closing.enter_context(custody)
        self.boot_id = boot_id()
        expected_ak = present_signer(self.journal, self.catalogue).ak_public
        self._node_tpm = NodeTpm(self.config, layout.keys, expected_ak)
        self._closing.callback(self._node_tpm.close)
        self.heads = NodeHeads(
            self._node_tpm,
            self.journal,
            self.catalogue,
            LogNames(self.node_id, self.log_id, self.boot_id),
            NodeKeys(self._node_tpm, layout.keys, self.journal, self.catalogue, self.log_id),
            config=lambda: self.config,
            found=self._note,
        )
        self.counter = NodeCounter(self.heads, lambda: self.config)

    def _open_log(self) -> None:
        config = self.config
        findings: list[Reason] = []
        if (cut := self.journal.recovered) is not None:
            detail = f"{cut.size} bytes of no whole commit, before record {cut.seq}"
            findings.append(Reason("TORN_TAIL_CUT", detail))
        self.earlier_findings = count_earlier_findings(self.journal, self.catalogue, self.boot_id)
        self.heads.start(findings)
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
        collectors = watched_collectors(
            config, self.tpm, self._boot_faults, self._accepted, self._ima_kept
        )
        self.watched = (*collectors, *watched_coverage(self), audit)

    def _accepted(self) -> Sequence[Accepted] | Reason:
        """The reference values for the boot state, as they are in force now."""
        return self.baselines.accepted(PLATFORM, time.time_ns() // 1_000_000)

    def _ima_kept(self) -> int:
        """Bytes of this boot's IMA list that readings before have kept, as far as the log can be
        read: the rest is kept again."""
        try:
            return kept_of_boot(self.journal, self.catalogue, self.boot_id, PlatformCollector.name)
        except AgentError:
            return 0

    def _boot_faults(self, reset_count: int) -> tuple[Reason, ...]:
        """Why the TPM's registers do not tell of this boot, where start or heads have shown that,
        or the newest head was signed before a reset that the next one will find.

        By the counts: ``findings`` keeps only the newest, and others could push these out.
        """
        found = {*self.finding_counts, *self.earlier_findings}
        head = self.heads.latest
        ours = None if head is None or head.note.boot_id != self.boot_id else head.quote
        if ours is not None and ours.reset_count() != reset_count:
            found.add(tpm_was_reset().code)
        return tuple(
            fault for fault in (tpm_was_reset(), boot_without_reset()) if fault.code in found
        )

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
            self.finding_counts[finding.code] += 1

    def reach_tpm(self) -> None:
        """Ask now for a TPM that was not to be had so far: somebody waits for it.

        Raises JournalError when it is there and that cannot be recorded.
        """
        self.heads.reach_tpm()

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
        """Make a head, as ``NodeHeads.checkpoint`` does."""
        return self.heads.checkpoint(reason, covering=covering)
