"""The keys of a node: what `keys` shows, and its orders (docs/formats.md, "JSON")."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509

from swt3_agent.config import Config
from swt3_agent.daemon.caller import caller
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.key_record import KeyEvent
from swt3_agent.store.key_history import KeyStep, Signer, key_steps, present_signer
from swt3_agent.store.state import existing_layout
from swt3_agent.tcg.public import parse_key, parse_tpmt
from swt3_agent.tcg.x509_reading import name_text, refusing_damage, spki_of
from swt3_agent.tpm.client import EndorsementKey, TpmIdentity
from swt3_agent.tpm.key_files import earlier_path


def keys_view(node: Node) -> dict[str, Any]:
    """``keys show``: the key that signs, those before it, the TPM's own keys, the counter."""
    layout = existing_layout(node.config.state_dir)
    steps = key_steps(node.journal, node.catalogue)
    view = _log_view(steps, node.heads.keys.signer, layout.keys)
    lack = node.head_lack
    endorsement, fault = _endorsement(node)
    return {
        **view,
        "running": True,
        "lack": None if lack is None else {**lack.reason.to_json(), "since": lack.since_ms},
        "endorsement_keys": endorsement,
        "endorsement_error": fault,
        "counter": node.counter.view(),
    }


def stopped_keys_view(config: Config) -> dict[str, Any]:
    """The same where no daemon runs: what the log says, and nothing of the TPM.

    Raises StateError or JournalError.
    """
    layout = existing_layout(config.state_dir)
    with stopped_log(config) as log:
        steps = key_steps(log.journal, log.catalogue)
        view = _log_view(steps, present_signer(log.journal, log.catalogue), layout.keys)
    more = ("lack", "endorsement_keys", "endorsement_error", "counter")
    return {**view, "running": False, **dict.fromkeys(more)}


def rotate(node: Node, reason: str, lost: bool) -> dict[str, Any]:
    """Sign with a new key from now on; ``lost``: in place of one that cannot be used any more.

    Raises TpmError, JournalError; UsageError ``KEY_REASON``, ``KEY_NOT_LOST``.
    """
    change = node.heads.replace_key if lost else node.heads.rotate_key
    identity: TpmIdentity = change(reason, caller())
    public = parse_tpmt(identity.ak_public)
    head = node.checkpoint("key", covering=node.journal.size - 1) or node.heads.latest
    return {
        "name": public.name().hex(),
        "spki_sha256": sha256(public.spki_der()).hexdigest(),
        "event": (KeyEvent.REPLACED if lost else KeyEvent.ROTATED).value,
        "signed": head is not None and head.signed,
        "root_of_trust": identity.kind.value,
    }


def retire(node: Node, key: str, reason: str) -> dict[str, Any]:
    """Record that an earlier key signs no more, and see to it.

    Raises as ``NodeKeys.retire``.
    """
    step = node.heads.retire_key(key, reason, caller())
    return {"name": step.record.name.hex(), "record": step.seq}


def _log_view(steps: Sequence[KeyStep], signer: Signer, keys_dir: Path) -> dict[str, Any]:
    named = [step for step in steps if step.record.ak_public is not None]
    present = next((s for s in reversed(named) if s.record.ak_public == signer.ak_public), None)
    successor = signer.successor
    shown = {step.seq for step in (present, successor) if step is not None}
    return {
        "key": None if present is None else _stated(present),
        "successor": None if successor is None else _stated(successor),
        "earlier": [_earlier(step, steps, keys_dir) for step in named if step.seq not in shown],
    }


def _stated(step: KeyStep) -> dict[str, Any]:
    record = step.record
    public = parse_tpmt(record.ak_public or b"")
    return {
        "name": record.name.hex(),
        "spki_sha256": sha256(public.spki_der()).hexdigest(),
        "root_of_trust": record.kind,
        "event": record.event.value,
        "record": step.seq,
        "since": step.received_ms,
        "reason": record.reason,
        "by": record.by,
        "certified_by": None
        if record.certification is None
        else record.certification.certified_by.hex(),
    }


def _earlier(step: KeyStep, steps: Sequence[KeyStep], keys_dir: Path) -> dict[str, Any]:
    """How it ended: by the next key, and by its retirement where there was one."""
    name = step.record.name
    following = next((s for s in steps if s.seq > step.seq and s.record.ak_public), None)
    retired = [s for s in steps if s.record.event is KeyEvent.RETIRED and s.record.name == name]
    return {
        **_stated(step),
        "ended": None if following is None else _end(following),
        "retired": _end(retired[0]) if retired else None,
        "kept": earlier_path(keys_dir, name).exists(),
    }


def _end(step: KeyStep) -> dict[str, Any]:
    record = step.record
    return {
        "event": record.event.value,
        "record": step.seq,
        "time": step.received_ms,
        "lost": record.lost,
        "reason": record.reason,
        "by": record.by,
    }


def _endorsement(node: Node) -> tuple[list[dict[str, Any]] | None, dict[str, str] | None]:
    """The TPM's endorsement keys, or why they cannot be had."""
    if node.tpm is None or node.tpm_identity is None:
        lack = node.tpm_lack
        return None, None if lack is None else dict(Reason.of(lack).to_json())
    try:
        return [_endorsement_key(key) for key in node.tpm.endorsement_keys()], None
    except TpmError as error:
        return None, dict(Reason.of(error).to_json())


def _endorsement_key(key: EndorsementKey) -> dict[str, Any]:
    spki = parse_key(key.public).spki_der()
    return {
        "template": key.template,
        "spki_sha256": sha256(spki).hexdigest(),
        "certificate": None if key.certificate is None else _certificate(key, spki),
    }


def _certificate(key: EndorsementKey, spki: bytes) -> dict[str, Any]:
    """What the certificate says of itself; nobody has checked who issued it."""
    der = key.certificate or b""
    about: dict[str, Any] = {
        "index": f"{key.certificate_index or 0:08x}",
        "sha256": sha256(der).hexdigest(),
    }
    try:
        with refusing_damage("EK_CERT_MALFORMED", "the EK certificate", "ask the TPM's vendor"):
            certificate = x509.load_der_x509_certificate(der)
            return {
                **about,
                "subject": name_text(certificate.subject),
                "issuer": name_text(certificate.issuer),
                "serial": f"{certificate.serial_number:x}",
                "not_before": _ms(certificate.not_valid_before_utc.timestamp()),
                "not_after": _ms(certificate.not_valid_after_utc.timestamp()),
                "of_this_key": spki_of(certificate) == spki,
                "error": None,
            }
    except FormatError as error:
        return {**about, "error": dict(Reason.of(error).to_json())}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
