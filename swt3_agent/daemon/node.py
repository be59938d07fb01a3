"""A node: its state directory, TPM, log, heads and collectors, wired together.

The daemon runs one for as long as it lives; a verb such as `attest` opens one for itself where
no daemon runs. Opening it takes the state directory's lock, so there is never a second.
"""

import base64
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import msgspec

from swt3_agent import __version__
from swt3_agent.config import NO_TPM, Config
from swt3_agent.daemon.collectors import watched_collectors
from swt3_agent.daemon.identity import boot_id, find_node_id
from swt3_agent.errors import JournalError, TpmError, UsageError
from swt3_agent.pipeline import Attestation, Minter, Pipeline
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.state import StateDirectory
from swt3_agent.tcg.public import parse_public
from swt3_agent.telemetry import fields
from swt3_agent.tpm.client import Tpm, TpmIdentity

logger = logging.getLogger(__name__)

OWN_PROVENANCE = canonical_json({"listener": "agent"})


@dataclass(frozen=True, slots=True)
class LastRun:
    """What a collector's last run came to."""

    outcomes: tuple[str, ...]
    utc_ms: int
    duration_ms: int


class _LogName(msgspec.Struct):
    """What the first BOOT record says about the log."""

    log_id: str


class Node:
    """The wired parts of one node; open it as a context manager.

    ``tpm`` is None where the settings say so; ``tpm_identity`` is None where none was reached,
    and then ``tpm_lack`` says why: heads stay unsigned until the node is opened again.
    ``findings`` are what opening found that an assessor should know.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.findings: list[Reason] = []
        self.last_runs: dict[str, LastRun] = {}
        self._closing = ExitStack()

    def __enter__(self) -> "Node":
        """Take the state directory, mend what a crash left, reach the TPM, record the start.

        Without a TPM the node runs all the same: its heads are unsigned and it says so.
        Raises StateError or JournalError when the state directory cannot be used.
        """
        try:
            self._open_store()
            self._reach_tpm()
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

    def _open_store(self) -> None:
        state = self._closing.enter_context(StateDirectory.open(self.config.state_dir))
        layout = state.layout
        self.state = state
        self.journal = self._closing.enter_context(Journal.open(layout.journal, layout.keys))
        self.catalogue = self._closing.enter_context(Catalogue.open(layout.catalogue, self.journal))
        self.evidence = EvidenceStore(layout.evidence)

    def _reach_tpm(self) -> None:
        config, layout = self.config, self.state.layout
        self.tpm: Tpm | None = None
        self.tpm_identity: TpmIdentity | None = None
        self.tpm_lack: TpmError | None = None
        if config.tpm.tcti == NO_TPM:
            self.tpm_lack = TpmError(
                "TPM_ABSENT",
                "this node was told to run without a TPM",
                remedy="set agent.tpm.tcti or SWT3_TPM_TCTI to a TPM",
            )
            return
        self.tpm = Tpm(
            config.tpm.tcti,
            layout.keys,
            log_pcr=config.tpm.log_pcr,
            quoted_pcrs=config.quoted_pcrs,
            timeout_s=config.tpm.timeout,
        )
        self._closing.callback(self.tpm.close)
        try:
            self.tpm_identity = self.tpm.open()
        except TpmError as error:
            self.tpm_lack = error
            logger.warning("no TPM signs here %s", fields(code=error.code, why=error))

    def _open_log(self) -> None:
        config = self.config
        self.node_id = find_node_id(self.state.layout.root)
        self.log_id = self._find_log_id()
        self.boot_id = boot_id()
        self.heads = HeadKeeper(
            self.journal,
            self.catalogue,
            None if self.tpm_identity is None else self.tpm,
            node_id=self.node_id,
            log_id=self.log_id,
            boot_id=self.boot_id,
            log_pcr=config.tpm.log_pcr,
        )
        if (cut := self.journal.recovered) is not None:
            detail = f"{cut.size} bytes that were never acknowledged, before record {cut.seq}"
            self.findings.append(Reason("TORN_TAIL_CUT", detail))
        self.findings += self.heads.recover()
        self._record_start()  # the first of all records: it names the log
        self._record_key()
        self.watched = watched_collectors(config, self.tpm)
        minter = Minter(config.tenant, config.clearing_level, config.agent_id)
        self.pipeline = Pipeline(minter, self.journal, self.evidence)
        try:
            self.checkpoint("start")
        except TpmError as error:  # its note waits in the journal and is signed first next time
            logger.warning("no head at the start %s", fields(code=error.code, why=error))

    def _find_log_id(self) -> str:
        """The random name of this log, which its first record states."""
        if self.journal.size == 0:
            return secrets.token_hex(16)
        try:
            return msgspec.json.decode(self.journal.read(0).payload, type=_LogName).log_id
        except msgspec.MsgspecError as error:
            raise JournalError(
                "JOURNAL_DAMAGED",
                f"the first record does not name the log: {error}",
                remedy="run `swt3-agent fsck`; restore the state directory from a backup",
            ) from error

    def _record_start(self) -> None:
        """The BOOT record: who starts, on what, and what opening found."""
        identity = self.tpm_identity
        log_pcr = self._read_log_pcr()
        self._append(
            Kind.BOOT,
            {
                "agent_version": __version__,
                "boot_id": self.boot_id,
                "node_id": self.node_id,
                "log_id": self.log_id,
                "tenant": self.config.tenant,
                "clearing_level": self.config.clearing_level,
                "tpm": None
                if identity is None
                else {
                    "kind": identity.kind.value,
                    "manufacturer": identity.manufacturer,
                    "vendor": identity.vendor,
                    "firmware": identity.firmware,
                },
                "log_pcr": log_pcr,
                "findings": [{"code": f.code, "detail": f.detail} for f in self.findings],
            },
        )

    def _read_log_pcr(self) -> dict[str, object] | None:
        if self.tpm is None or self.tpm_identity is None:
            return None
        index = self.config.tpm.log_pcr
        try:
            value = self.tpm.read_pcrs((index,))[index]
        except TpmError as error:  # lost since it was reached
            self.findings.append(Reason(error.code, error.message, error.remedy))
            return None
        return {"index": index, "value": value.hex()}

    def _record_key(self) -> None:
        """The KEY record of an attestation key that the log does not know yet."""
        if self.tpm_identity is None:
            return
        public = self.tpm_identity.ak_public
        name = parse_public(public).name().hex()
        last = self.catalogue.last_of_kind(Kind.KEY)
        if last is None or name.encode() not in self.journal.read(last).payload:
            key = base64.b64encode(public).decode()
            kind = self.tpm_identity.kind.value
            content = {"event": "created", "ak_public": key, "name": name, "kind": kind}
            self._append(Kind.KEY, content)

    def _append(self, kind: Kind, content: Mapping[str, object]) -> None:
        draft = Draft(kind, OWN_PROVENANCE, canonical_json(content))
        self.journal.append([draft]).result()
        self.catalogue.catch_up()

    def attest(self, names: Sequence[str] = ()) -> list[Attestation]:
        """Run the named collectors (all where none is named) and record what they saw.

        Raises UsageError for an unknown name, JournalError where nothing can be recorded.
        """
        known = {watched.collector.name: watched for watched in self.watched}
        for name in names:
            if name not in known:
                raise UsageError(
                    "NO_SUCH_COLLECTOR",
                    f"no collector {name!r} on this node",
                    remedy=f"name one of: {', '.join(known)}",
                )
        attestations: list[Attestation] = []
        for name in names or known:
            watched = known[name]
            results = self.pipeline.run(watched.collector, watched.appraise)
            outcomes = tuple(result.appraisal.outcome.value for result in results)
            duration_ms = results[0].duration_ms if results else 0
            now_ms = time.time_ns() // 1_000_000
            self.last_runs[name] = LastRun(outcomes, now_ms, duration_ms)
            attestations += results
        return attestations

    def checkpoint(self, reason: str, *, covering: int | None = None) -> HeadRecord | None:
        """Make a head over everything recorded so far, where there is something new."""
        return self.heads.checkpoint(reason, covering=covering)
