"""What a ledger answered, on its way into RECEIPT records, and exceptions into the agent's log."""

import logging
from collections.abc import Sequence

from swt3_agent.relay.delivery.interfaces import Answer, Held
from swt3_agent.store.settlements import Receipt, Settlement, Settlements, Withheld
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)


class SettledRecords:
    """`relay.delivery.interfaces.SettlementSink` over the records of the journal."""

    def __init__(self, settlements: Settlements, source: str) -> None:
        self._settlements = settlements
        self._source = source

    @property
    def cursor(self) -> int:
        """Every record before this one is settled."""
        return self._settlements.cursor

    def settle(self, first: int, end: int, answers: Sequence[Answer], held: Sequence[Held]) -> None:
        """Keep what came of ``[first, end)``; returns when it is durable. Raises JournalError."""
        receipts = tuple(
            Receipt(
                seq=answer.seq,
                ok=answer.ok,
                error=answer.error,
                token=answer.token,
                verdict=answer.verdict,
                signature_verified=answer.signature_verified,
                differs=answer.differs,
            )
            for answer in answers
        )
        withheld = tuple(Withheld(part.first, part.end, part.reason) for part in held)
        settlement = Settlement("ledger", first, end, None, receipts, withheld, self._source)
        record = self._settlements.append(settlement)
        _tell_of_exceptions(receipts, record)


def _tell_of_exceptions(receipts: Sequence[Receipt], record: int) -> None:
    """Log what an operator has to look at; the RECEIPT ``record`` has the whole of it."""
    refused = [receipt for receipt in receipts if not receipt.ok]
    if refused:
        told = fields(
            Event.RECORD_REFUSED,
            count=len(refused),
            first=refused[0].seq,
            why=refused[0].error,
            receipt=record,
        )
        logger.warning("the ledger refused records %s", told)
    differing = [receipt for receipt in receipts if receipt.differs is not None]
    if differing:
        one = differing[0]
        told = fields(
            Event.VERDICT_DIFFERS,
            count=len(differing),
            first=one.seq,
            ledger=one.verdict,
            agent=one.differs,
            receipt=record,
        )
        logger.warning("the ledger judges otherwise than this agent %s", told)
