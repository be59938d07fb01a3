"""What the command line can ask of a node, as JSON-ready answers.

The daemon serves these on its control socket; where no daemon runs, `ask` opens the node for the
length of one question. Either way it is the same code that answers.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from swt3_agent.config import Config
from swt3_agent.daemon import control
from swt3_agent.daemon.airgap import close_export, plan_export
from swt3_agent.daemon.custody import custody_view, rotate_custody
from swt3_agent.daemon.history import Question, history, stopped_history
from swt3_agent.daemon.merkle import merkle, stopped_merkle
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.queue import queue_view, resume, retry, stopped_queue_view
from swt3_agent.daemon.readiness import readiness_view
from swt3_agent.daemon.receipts import import_receipts
from swt3_agent.daemon.views import attestation_view, status_view, stopped_view
from swt3_agent.errors import RemoteError, StateError, TpmError, UsageError
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.store.proofs import build_proof
from swt3_agent.store.state import StateDirectory, existing_layout
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.public import parse_public

_FINGERPRINT = re.compile("[0-9A-Fa-f]{12}")
_SEQUENCE_NUMBER = re.compile("[0-9]{1,19}")
_MAY_BEGIN_A_LOG = frozenset({"attest"})
"""Where there is no log yet, there is nothing to prove, and no key to quote with."""

Ask = Callable[[str, Mapping[str, Any]], Any]
"""An operation by name, with its arguments; its answer."""


def operations(
    node: Node, intake: Callable[[], IntakeCounters] | None = None
) -> dict[str, control.Operation]:
    """The questions that ``node`` answers, by name; ``intake`` None where it takes no anchors."""
    return {
        "status": lambda: status_view(node, intake and intake()),
        "readiness": lambda: readiness_view(node, discreet=False),
        "attest": lambda collectors: attest(node, collectors),
        "prove": lambda record, hide_provenance: prove(node, record, hide_provenance),
        "quote": lambda nonce: quote(node, nonce),
        "custody": lambda: custody_view(node),
        "custody_rotate": lambda: rotate_custody(node),
        "history": lambda **question: history(
            node.journal, node.catalogue, node.evidence, Question(**question), node.breath
        ),
        "merkle": lambda date, fingerprint: merkle(node.days, date, fingerprint),
        "queue": lambda: queue_view(node),
        "queue_retry": lambda records: retry(node, records),
        "queue_resume": lambda: resume(node),
        "plan_export": lambda first, end: plan_export(node, first, end),
        "import_receipts": lambda text: import_receipts(node, text),
        "close_export": lambda manifest, first, end: close_export(node, manifest, first, end),
    }


def ask(config: Config, operation: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Ask the daemon that holds the state directory; where none does, open the node ourselves.

    Raises AgentError: what the operation raised, wherever it ran; StateError ``STATE_ABSENT``
    where an operation that only shows or proves would have to begin a log for it; ConfigError where
    one that mints lacks what the policy demands of every anchor.
    """
    if control_socket := _daemon_of(config):
        return control.call(control_socket, operation, arguments, timeout_s)
    if operation in _MAY_BEGIN_A_LOG:
        config.refuse_incomplete()
    else:
        existing_layout(config.state_dir)
    with Node(config) as node:
        return operations(node)[operation](**arguments)


@contextmanager
def asking(config: Config, timeout_s: float) -> Iterator[Ask]:
    """``ask`` for several questions in a row, of one node: where no daemon runs, it stays open.

    Raises as ``ask``.
    """
    if control_socket := _daemon_of(config):
        yield partial(control.call, control_socket, timeout_s=timeout_s)
        return
    existing_layout(config.state_dir)
    with Node(config) as node:
        answers = operations(node)
        yield lambda operation, arguments: answers[operation](**arguments)


def status_of(config: Config, timeout_s: float) -> dict[str, Any]:
    """The daemon's own view; where none runs, what the log says, without opening the TPM."""
    if control_socket := _daemon_of(config):
        status: dict[str, Any] = control.call(control_socket, "status", {}, timeout_s)
        return status
    return stopped_view(config)


def merkle_of(
    config: Config, date: str | None, fingerprint: str | None, timeout_s: float
) -> dict[str, Any]:
    """A day's tree or a proof in it; where no daemon runs, as far as the log says."""
    if control_socket := _daemon_of(config):
        arguments = {"date": date, "fingerprint": fingerprint}
        found: dict[str, Any] = control.call(control_socket, "merkle", arguments, timeout_s)
        return found
    return stopped_merkle(config, date, fingerprint)


def history_of(config: Config, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """What the log says over time; where no daemon runs, it is read without starting the node."""
    if control_socket := _daemon_of(config):
        found: dict[str, Any] = control.call(control_socket, "history", question, timeout_s)
        return found
    return stopped_history(config, Question(**question))


def queue_of(config: Config, timeout_s: float) -> dict[str, Any]:
    """What waits for the ledger; where no daemon runs, as far as the log says."""
    if control_socket := _daemon_of(config):
        queue: dict[str, Any] = control.call(control_socket, "queue", {}, timeout_s)
        return queue
    return stopped_queue_view(config)


def tell(config: Config, operation: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Give an order that only a running daemon can follow. Raises AgentError."""
    control_socket = _daemon_of(config)
    if control_socket is None:
        raise StateError(
            "NOT_RUNNING",
            f"no agent runs in {config.state_dir}",
            remedy="start it: `systemctl start swt3-agent`",
        )
    return control.call(control_socket, operation, arguments, timeout_s)


def _daemon_of(config: Config) -> Path | None:
    """The control socket of the daemon that holds the state directory, if one does."""
    try:
        holder = StateDirectory.peek(config.state_dir)
    except StateError as error:
        # An operator may use the socket and not look into the state directory.
        if error.code == "STATE_DENIED" and not _is_gone(config.control_socket):
            return config.control_socket
        raise
    if holder is None:
        return None
    if holder.control is None:
        raise StateError(
            "STATE_LOCKED",
            f"pid {holder.pid} holds {config.state_dir} and answers no questions (yet)",
            remedy="try again in a moment: it is starting, stopping, or a verb of its own",
        )
    control_socket = Path(holder.control)
    if _is_gone(control_socket):
        raise RemoteError(
            "CONTROL_GONE",
            f"pid {holder.pid} holds {config.state_dir}, but its control socket"
            f" {control_socket} is gone",
            remedy="restart that daemon, unless it is stopping anyway:"
            " `systemctl restart swt3-agent`",
        )
    return control_socket


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:  # not for us to see: connecting will say why
        return False
    return False


def begins_a_log(config: Config) -> bool:
    """Whether there is no state yet, so that an ``attest`` without a daemon would begin a log."""
    try:
        existing_layout(config.state_dir)
    except StateError as error:
        return error.code == "STATE_ABSENT"
    return False


def attest(node: Node, collectors: Sequence[str]) -> list[dict[str, Any]]:
    """Run the named collectors, or all; one entry for each appraisal."""
    return [attestation_view(attestation) for attestation in node.attest(collectors)]


def prove(node: Node, record: str, hide_provenance: bool) -> dict[str, Any]:
    """A proof of one record by a head made for it now; no proof where several are meant."""
    records = _records_named(node, record)
    if len(records) > 1:
        return {"records": records, "proof": None}
    node.checkpoint("prove", covering=records[0])
    proof = build_proof(node.journal, node.catalogue, records[0], hide_provenance=hide_provenance)
    return {
        "records": records,
        "proof": encode_proof(proof).decode(),
        "size": parse_signed_note(proof.note).note.size,
        "signed": proof.quote is not None,
    }


def _records_named(node: Node, record: str) -> list[int]:
    if _FINGERPRINT.fullmatch(record):
        found = node.catalogue.find_fingerprint(record.lower())
    elif _SEQUENCE_NUMBER.fullmatch(record):
        found = [int(record)] if int(record) < node.journal.size else []
    else:
        raise UsageError(
            "BAD_RECORD",
            f"{record!r} is neither a sequence number nor a fingerprint",
            remedy="give a number from `swt3-agent log`, or 12 hex digits",
        )
    if not found:
        raise UsageError(
            "NO_SUCH_RECORD", f"no record {record} in this log", remedy="see `swt3-agent log`"
        )
    return found


def quote(node: Node, nonce: str) -> dict[str, Any]:
    """The TPM's signature over a challenge and its PCRs (docs/formats.md, "Challenge quote")."""
    node.reach_tpm()
    if node.tpm is None or node.tpm_identity is None:
        assert node.tpm_lack is not None  # noqa: S101  opening sets one or the other
        lack = node.tpm_lack
        raise TpmError(lack.code, lack.message, remedy=lack.remedy)  # one object keeps every trace
    answer = node.tpm.challenge(bytes.fromhex(nonce))
    public = parse_public(answer.ak_public)
    return {
        "ak_pem": public.to_pem(),
        "ak_name": public.name().hex(),
        "attest": base64.b64encode(answer.attest).decode(),
        "signature": base64.b64encode(answer.signature_tpmt).decode(),
        "pcrs": {str(index): value.hex() for index, value in answer.pcrs.items()},
        "root_of_trust": node.tpm_identity.kind.value,
        "reset_count": parse_attest(answer.attest).reset_count,
    }
