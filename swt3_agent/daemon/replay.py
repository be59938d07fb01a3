"""Replaying a bundle: its anchors to a ledger, by the importer on the other side of an air gap.

The same lane as the agent's own delivery: stored bytes, batches, and what each answer means
(docs/protocol.md 5). Breaking off keeps nothing: a repetition sends the same bytes again.
"""

import asyncio
from collections.abc import Callable, Sequence

from swt3_agent.config import Ledger
from swt3_agent.daemon.delivery import address_of
from swt3_agent.errors import RemoteError
from swt3_agent.relay.delivery.batches import BatchLimits
from swt3_agent.relay.delivery.gate import Gate
from swt3_agent.relay.delivery.interfaces import Answer, Held
from swt3_agent.relay.delivery.lane import Lane, LaneState
from swt3_agent.relay.delivery.ledger import HttpLedger
from swt3_agent.verify.bundle.source import BundleSource

FIRST_FAILURES, MOST_FAILURES = 4, 12
"""Failed attempts in a row after which a replay gives up: while nothing was delivered yet (some
seconds), and once something was, which would have to be sent again (some ten minutes)."""

REFUSED = "REFUSED_BY_LEDGER"
"""The code in the receipts of what the ledger would not take."""

Progress = Callable[[int, int], None]


def replay(
    source: BundleSource,
    ledger: Ledger,
    tenant: str,
    progress: Progress = lambda _done, _total: None,
) -> list[tuple[int, str]]:
    """Deliver every anchor of ``source``; the records that the ledger refused, each with a code.

    Raises RemoteError with the reason where the ledger cannot be reached or takes nothing, and
    FormatError where the bundle changed meanwhile.
    """
    return asyncio.run(_replay(source, ledger, tenant, progress))


async def _replay(
    source: BundleSource, ledger: Ledger, tenant: str, progress: Progress
) -> list[tuple[int, str]]:
    taken = _Taken(source.first)
    settings = ledger.settings
    limits = BatchLimits(settings.batch_records, settings.batch_bytes)
    lane = Lane(source, taken, Gate(tenant, 0), limits)  # the verifier judged the level
    failures = 0
    async with HttpLedger(address_of(ledger)) as http:
        while True:
            step = await lane.step(http)
            if step.state is LaneState.IDLE:
                progress(source.size - source.first, source.size - source.first)
                return sorted(taken.refused)
            failures = 0 if step.fault is None else failures + 1
            patience = FIRST_FAILURES if taken.cursor == source.first else MOST_FAILURES
            if step.fault is not None and (step.state is LaneState.STOPPED or failures >= patience):
                raise RemoteError(step.fault.code, step.fault.detail, remedy=step.fault.remedy)
            progress(taken.cursor - source.first, source.size - source.first)
            await asyncio.sleep(step.wait_s or 0)


class _Taken:
    """`relay.delivery.interfaces.SettlementSink` in memory."""

    def __init__(self, first: int) -> None:
        self.cursor = first
        self.refused: list[tuple[int, str]] = []

    def settle(self, first: int, end: int, answers: Sequence[Answer], held: Sequence[Held]) -> None:
        del first
        self.refused += [(answer.seq, REFUSED) for answer in answers if not answer.ok]
        if held:
            raise RemoteError(
                "NOT_SENT",
                f"records {held[0].first} to {held[0].end - 1} cannot be sent: {held[0].reason}",
                remedy="ask the node's operator for an export in which they are whole",
            )
        self.cursor = end
