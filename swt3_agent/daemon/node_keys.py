"""The attestation keys of a node, one after the other (docs/formats.md, "Succession").

The log decides which key signs. A rotation is: the successor is prepared and certified, a KEY
record names it, a head of the old key covers that record, the successor is adopted. A crash
between any two leaves a log that tells which step is next.
"""

import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from swt3_agent.daemon.caller import Caller
from swt3_agent.daemon.node_tpm import NodeTpm
from swt3_agent.errors import TpmError, UsageError
from swt3_agent.protocol.bundle_evidence import MAX_KEYS
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.key_record import (
    Certification,
    KeyEvent,
    KeyRecord,
    checked_reason,
    encode_key_record,
)
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.key_history import KeyStep, Signer, key_steps, present_signer
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.client import Tpm, TpmIdentity
from swt3_agent.tpm.key_faults import LOST_KEY_CODES
from swt3_agent.tpm.key_files import remove_earlier

logger = logging.getLogger(__name__)

PROOF_NONCE_SIZE = 16
SHORTEST_NAME = 8
_PROVENANCE = canonical_json({"listener": "agent"})
_NAME_ALGORITHM = 4  # hex digits that all Names begin with


class NodeKeys:
    """Not thread-safe: whoever makes the heads calls it, between two of them."""

    def __init__(
        self, node_tpm: NodeTpm, keys_dir: Path, journal: Journal, catalogue: Catalogue, log_id: str
    ) -> None:
        self._node_tpm = node_tpm
        self._keys_dir = keys_dir
        self._journal = journal
        self._catalogue = catalogue
        self._log_id = log_id
        self._settled = False  # whether no key waits to be adopted

    @property
    def signer(self) -> Signer:
        """The key that is to sign the next head, as the log has it. Raises JournalError."""
        return present_signer(self._journal, self._catalogue)

    def record_created(self, identity: TpmIdentity) -> None:
        """The log's first key, or one that it does not know: it signs from now on."""
        self._append(KeyEvent.CREATED, identity.ak_public, kind=identity.kind.value)

    def begin_rotation(self, identity: TpmIdentity, reason: str, by: Caller) -> int:
        """Prepare a successor and name it; the record, which a head must cover now.

        One that the log names already goes on. Raises TpmError, JournalError, UsageError
        ``KEY_REASON``, ``KEY_LIMIT``.
        """
        reason = checked_reason(reason)
        self._settled = False
        if (waiting := self.signer.successor) is not None:
            return waiting.seq
        self._refuse_one_too_many()
        successor = self._tpm().prepare_successor(self._log_id)
        present = parse_tpmt(identity.ak_public).name()
        certification = Certification(present, successor.attest, successor.signature_der)
        return self._append(
            KeyEvent.ROTATED,
            successor.ak_public,
            kind=identity.kind.value,
            certification=certification,
            reason=reason,
            by=by,
        )

    def adopt(self, identity: TpmIdentity) -> TpmIdentity | None:
        """Sign with the successor, once a head covers the record that names it; else None.

        Raises TpmError: then the old key signs on, and the next call tries again.
        """
        if self._settled:
            return None
        signer = self.signer
        if signer.ak_public in (b"", identity.ak_public):
            self._settled = signer.successor is None
            return None
        return self._tpm().adopt_successor(signer.ak_public)

    def replace(self, reason: str, by: Caller) -> TpmIdentity:
        """Sign with a new key in place of one that is lost, and say so in the log.

        Raises UsageError ``KEY_NOT_LOST`` where the key works; TpmError where nobody can tell, or
        no key can be made; JournalError.
        """
        reason, tpm = checked_reason(reason), self._tpm()
        lost = _why_lost(tpm)
        identity = tpm.make_replacement()
        self._append(
            KeyEvent.REPLACED,
            identity.ak_public,
            kind=identity.kind.value,
            lost=lost,
            reason=reason,
            by=by,
        )
        return tpm.adopt_successor(identity.ak_public)

    def retire(self, named: str, reason: str, by: Caller) -> KeyStep:
        """Record that an earlier key signs no more, and remove its blob: then it cannot.

        ``named``: its Name in hex, or the first digits of the digest in it. A key that is retired
        already has its blob removed, should a crash have left it.

        Raises UsageError ``NO_SUCH_KEY``, ``KEY_IN_USE``; TpmError TPM_KEY_NOT_STORED where the
        blob cannot be removed; JournalError.
        """
        reason = checked_reason(reason)
        steps = key_steps(self._journal, self._catalogue)
        name = _named(steps, named)
        signer = self.signer
        following = None if signer.successor is None else signer.successor.record.name
        if name in (parse_tpmt(signer.ak_public).name(), following):
            raise UsageError(
                "KEY_IN_USE",
                f"key {name.hex()} signs, or is to sign next",
                remedy="rotate it first: `swt3-agent keys rotate --reason WHY`",
            )
        retired = [s for s in steps if s.record.event is KeyEvent.RETIRED and s.record.name == name]
        if not retired:
            self._append(KeyEvent.RETIRED, None, name=name, reason=reason, by=by)
        remove_earlier(self._keys_dir, name)
        steps = key_steps(self._journal, self._catalogue)
        return next(step for step in reversed(steps) if step.record.name == name)

    def _refuse_one_too_many(self) -> None:
        """A bundle with more keys could not be judged, and no later one either."""
        steps = key_steps(self._journal, self._catalogue)
        known = sum(step.record.ak_public is not None for step in steps)
        if known >= MAX_KEYS:
            raise UsageError(
                "KEY_LIMIT",
                f"this log has had {known} keys, and no bundle shows more",
                remedy="keep the present key, or begin a log of its own in a new state directory",
            )

    def _tpm(self) -> Tpm:
        if self._node_tpm.handle is not None:
            return self._node_tpm.handle
        lack = self._node_tpm.lack
        assert lack is not None  # noqa: S101  there is a TPM, or a reason why not
        raise TpmError(lack.code, lack.message, remedy=lack.remedy)

    def _append(
        self,
        event: KeyEvent,
        ak_public: bytes | None,
        *,
        name: bytes = b"",
        kind: str | None = None,
        certification: Certification | None = None,
        lost: str | None = None,
        reason: str | None = None,
        by: Caller | None = None,
    ) -> int:
        record = KeyRecord(
            event=event,
            name=name if ak_public is None else parse_tpmt(ak_public).name(),
            ak_public=ak_public,
            kind=kind,
            certification=certification,
            lost=lost,
            by=None if by is None else by.to_json(),
            reason=reason,
        )
        draft = Draft(Kind.KEY, _PROVENANCE, encode_key_record(record))
        seq = self._journal.append([draft]).result().first_seq
        self._catalogue.catch_up()
        if by is not None:
            told = fields(Event.KEY_CHANGED, event=event.value, key=record.name.hex(), record=seq)
            logger.warning("attestation key changed %s", told)
        return seq


def _why_lost(tpm: Tpm) -> str:
    """The code that says why the key cannot be used; whatever is no such reason is raised."""
    try:
        tpm.open()
        tpm.challenge(secrets.token_bytes(PROOF_NONCE_SIZE))
    except TpmError as error:
        if error.code in LOST_KEY_CODES:
            return error.code
        raise
    raise UsageError(
        "KEY_NOT_LOST",
        "the attestation key works",
        remedy="rotate it without --lost, so that it vouches for its successor",
    )


def _named(steps: Sequence[KeyStep], named: str) -> bytes:
    """The one key of the log whose Name is, or whose digest begins, as ``named``."""
    digits = named.lower()
    found = {
        step.record.name
        for step in steps
        if step.record.name.hex() == digits
        or (
            len(digits) >= SHORTEST_NAME
            and step.record.name.hex()[_NAME_ALGORITHM:].startswith(digits)
        )
    }
    if len(found) != 1:
        raise UsageError(
            "NO_SUCH_KEY",
            f"{named!r} is {'more than one key' if found else 'no key'} of this log",
            remedy=f"give the Name that `swt3-agent keys show` prints, or {SHORTEST_NAME} digits of"
            " its digest",
        )
    return found.pop()
