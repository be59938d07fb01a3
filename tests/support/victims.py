"""An agent to which something happens, and what a stranger makes of its log afterwards."""

import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swt3_agent.daemon.control import call
from swt3_agent.errors import RemoteError
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.store.bundle.build import Plan
from swt3_agent.store.evidence_store import EvidenceStore
from swt3_agent.store.journal import Journal
from swt3_agent.store.state import existing_layout
from swt3_agent.verify import BundleReport, enroller_public_key, sign_trust, verify_bundle
from tests.support.agent import AgentProcess, IntakeConnection
from tests.support.anchors import inference_anchor, submission_of
from tests.support.bundles import write_bundle

PATIENCE_S = 60.0
TPM_TIMEOUT_S = 3.0
_ENROLLER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_FOR_EVER = 2**50
_SETTINGS = """\
clearing_level: 3
agent:
  tpm:
    timeout: {timeout}
  intervals:
    checkpoint: 1
"""


class Victim(AgentProcess):
    """A daemon that makes heads every second and waits for its TPM briefly.

    It remembers how many anchors it acknowledged: all of them must be in its log ever after.
    """

    def __init__(
        self, room: Path, tcti: str, *, tpm_timeout_s: float = TPM_TIMEOUT_S, **options: Any
    ) -> None:
        settings = room / "agent.yaml"
        settings.write_text(_SETTINGS.format(timeout=tpm_timeout_s))
        settings.chmod(0o600)
        super().__init__(room, tcti, arguments=("--config", str(settings)), **options)
        self.acknowledged: set[str] = set()
        self._client = str(uuid4())  # another of the same name would be taken for this one
        self._batch = 0

    def take(self, count: int = 5) -> int:
        """Hand anchors in, all of which must be acknowledged; the number of the last record."""
        anchors = [inference_anchor() for _ in range(count)]
        with IntakeConnection(self.intake) as intake:
            request = submission_of(*anchors, batch=self._batch, client=self._client)
            answer = intake.ask(request)
        assert answer["accepted"] == count, answer
        self._batch += 1
        self.acknowledged |= {anchor["anchor_fingerprint"] for anchor in anchors}
        return int(answer["first_seq"]) + count - 1

    def assert_nothing_is_lost(self) -> None:
        """Every anchor that was acknowledged is in the log, once."""
        with self._journal() as journal:
            logged = [
                json.loads(record.payload)["anchor_fingerprint"]
                for record in journal.scan(0)
                if record.kind is Kind.RELAYED
            ]
        assert sorted(logged) == sorted(self.acknowledged)

    def _journal(self) -> Journal:
        layout = existing_layout(self.state_dir)
        return Journal.open(layout.journal, layout.keys, readonly=True)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What the daemon answers on its control socket. Raises RemoteError."""
        return call(self.intake.with_name("control.sock"), operation, arguments, PATIENCE_S)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.ask("status")
        return status

    def await_status(
        self, condition: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        """Its status once that fulfils ``condition``."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, f"{what} never came: {status}"
            time.sleep(0.01)
        return status

    def await_lack(self, *codes: str) -> dict[str, Any]:
        """Its status once heads lack a signature for one of these reasons."""
        return self.await_status(lambda status: head_lack(status) in codes, " or ".join(codes))

    def cover(self, seq: int) -> dict[str, Any]:
        """Its status once a signed head covers record ``seq``, as for one who waits for a proof."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := self._proof(seq)).get("signed"):
            assert time.monotonic() < deadline, f"no signed head covers {seq}: {answer}"
            time.sleep(0.01)
        return self.status()

    def _proof(self, seq: int) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self.ask("prove", record=str(seq), hide_provenance=False)
        except RemoteError as error:
            return {"error": error.code}
        return answer

    def trust(self) -> bytes:
        """The trust file of an enroller who saw the key that signs now."""
        seq = self.take(1)
        self.cover(seq)
        proven = decode_proof(self._proof(seq)["proof"].encode())
        assert proven.quote is not None
        statement = TrustStatement(
            enroller="enroller.example",
            enroller_key=enroller_public_key(_ENROLLER),
            node_id=proven.node_id,
            log_id=proven.log_id,
            ak_public=proven.quote.ak_public,
            tpm=TpmKind.SOFTWARE,
            log_pcr=proven.quote.log_pcr,
            valid_from_ms=0,
            valid_until_ms=_FOR_EVER,
        )
        return sign_trust(statement.body(), _ENROLLER)

    def judged(self, trust: bytes) -> BundleReport:
        """What a stranger makes of the whole log, exported now."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                bundle = self._export()
            except RemoteError as error:  # where a twin extended the register in between
                if error.code != "TPM_LOG_PCR" or time.monotonic() > deadline:
                    raise
            else:
                return verify_bundle(io.BytesIO(bundle), trust=trust, allow_software_tpm=True)

    def _export(self) -> bytes:
        plan = msgspec.convert(self.ask("plan_export", first=0, end=None, ima=False), Plan)
        evidence = EvidenceStore(existing_layout(self.state_dir).evidence)
        path = self.root / f"{uuid4()}.tar"
        with self._journal() as journal:
            close_export = partial(self.ask, "close_export")
            return write_bundle(path, plan, journal, evidence, close_export)


def head_lack(status: dict[str, Any]) -> str | None:
    """Why heads are not signed; None where they are."""
    error = status["log"]["checkpoint_error"]
    return None if error is None else str(error["code"])


def found(status: dict[str, Any]) -> set[str]:
    """The codes of what an assessor should know."""
    return {finding["code"] for finding in status["findings"]}
