"""What a ledger's answer means for the records that were sent: pure rules (docs/protocol.md 5.2).

Nothing is ever given up for an answer that was not understood: whatever is not a receipt for a
record, or a refusal of just that record, keeps it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import msgspec

from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.strict_json import MALFORMED
from swt3_agent.relay.delivery.batches import Item
from swt3_agent.relay.delivery.interfaces import Answer

LONGEST_RETRY_AFTER_S = 3600.0
QUEUED = "QUEUED"
"""Not a verdict: the ledger has the record and judges it later."""

_RETRY_AFTER_SECONDS = re.compile("[0-9]{1,10}")
_MAX_EXCERPT = 200  # characters of an answer that are shown


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger answered to every record, in order."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """Not delivered: send the same again, ``retry_after_s`` from now at the earliest."""

    fault: Reason
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Not delivered, and sending again would not help: somebody has to do something."""

    fault: Reason


@dataclass(frozen=True, slots=True)
class Refuse:
    """The body was refused as a whole: ``too_large``, or for one of its records at least."""

    fault: Reason
    too_large: bool


Outcome = Settled | Keep | Stop | Refuse


class _Receipt(msgspec.Struct):
    ok: bool
    swt3_anchor: str | None = None
    verdict: str | None = None
    error: object = None
    signature_verified: bool | None = None


class _Body(msgspec.Struct):
    receipts: list[_Receipt]


_decode = msgspec.json.Decoder(_Body).decode


def decide(
    status: int, headers: Mapping[str, str], body: bytes, items: Sequence[Item], now: datetime
) -> Outcome:
    """What follows from an answer to ``items``. ``headers`` have lower-case names."""
    if 200 <= status <= 299:
        return _read_receipts(body, items)
    excerpt = _excerpt(body)
    said = f"the ledger answered {status}" + (f": {excerpt}" if excerpt else "")
    if status in (401, 403):
        remedy = (
            "check the API key and what it may do, then `swt3-agent queue resume`;"
            " a key from a variable or credential is read again at a restart only"
        )
        return Stop(Reason("LEDGER_DENIED", said, remedy))
    if status in (400, 413, 422):
        remedy = "find out why, then `swt3-agent queue retry`"
        return Refuse(Reason("LEDGER_REFUSED", said, remedy), too_large=status == 413)
    if 300 <= status <= 399:
        remedy = "write the address that the ledger is really at into `endpoint`"
        return Keep(Reason("LEDGER_REDIRECTS", f"{said}, which is not followed", remedy))
    wait_s = retry_after_s(headers.get("retry-after", ""), now)
    if status in (408, 425, 429) or status >= 500:
        return Keep(Reason("LEDGER_BUSY", said, "none: it is tried again"), wait_s)
    remedy = "check `endpoint`: is a ledger there that takes batches?"
    return Keep(Reason("LEDGER_UNEXPECTED", said, remedy), wait_s)


def retry_after_s(header: str, now: datetime) -> float:
    """Seconds that ``Retry-After`` asks for, in either form, within bounds; 0 for anything else."""
    text = header.strip()
    if _RETRY_AFTER_SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_RETRY_AFTER_S)


def _read_receipts(body: bytes, items: Sequence[Item]) -> Settled | Keep:
    try:
        receipts = _decoded(body).receipts
    except (ValueError, RecursionError) as error:  # that of msgspec is a ValueError
        what = f"the ledger's answer is not one that can be read: {error}"
        return Keep(Reason("LEDGER_BAD_ANSWER", what, _ASK_LEDGER))
    if len(receipts) != len(items):
        what = f"the ledger gave {len(receipts)} receipts for {len(items)} records"
        return Keep(Reason("RECEIPT_MISMATCH", what, _ASK_LEDGER))
    for item, receipt in zip(items, receipts, strict=True):
        if not _is_for(receipt, item):
            what = f"the receipt for record {item.seq} names another anchor"
            return Keep(Reason("RECEIPT_MISMATCH", what, _ASK_LEDGER))
    pairs = zip(items, receipts, strict=True)
    return Settled(tuple(_answer(item, receipt) for item, receipt in pairs))


def _decoded(body: bytes) -> _Body:
    """What ``body`` says; half of a surrogate pair, as a text has that was cut, becomes "?"."""
    try:
        return _decode(body)
    except MALFORMED:
        if b"\\u" not in body:
            raise
        whole = json.dumps(json.loads(body), ensure_ascii=False)
        return _decode(whole.encode(errors="replace"))


_ASK_LEDGER = "ask the ledger's operators; all records are kept and sent again"


def _is_for(receipt: _Receipt, item: Item) -> bool:
    """A receipt names no record: its place does, and its anchor must agree where it has one."""
    if receipt.swt3_anchor:
        return receipt.swt3_anchor.endswith(f"-{item.fingerprint}")
    return not receipt.ok or receipt.verdict == QUEUED


def _answer(item: Item, receipt: _Receipt) -> Answer:
    differs = item.verdict is not None and receipt.verdict not in (None, QUEUED, item.verdict)
    return Answer(
        seq=item.seq,
        ok=receipt.ok,
        error=None if receipt.ok else _why(receipt.error),
        token=receipt.swt3_anchor or None,
        verdict=receipt.verdict,
        signature_verified=receipt.signature_verified,
        differs=item.verdict if differs and receipt.ok else None,
    )


def _why(error: object) -> str:
    if isinstance(error, str):
        return error
    if error is None:
        return "the ledger gave no reason"
    try:
        return msgspec.json.encode(error).decode()
    except RecursionError:
        return "the ledger gave a reason that is nested too deep to show"


def _excerpt(body: bytes) -> str:
    """How a text begins, on one line; nothing of what is no text."""
    try:
        text = " ".join(body[: 4 * _MAX_EXCERPT].decode(errors="ignore").split())
    except ValueError:
        return ""
    return "".join(character for character in text if character.isprintable())[:_MAX_EXCERPT]
