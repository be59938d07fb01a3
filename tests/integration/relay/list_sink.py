"""A small real sink: an append-only list behind a thread of its own, as the journal has one."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from swt3_agent.errors import JournalError
from swt3_agent.protocol.custody import CustodyEntry
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.sink import Commit, Draft, StoredRecord

_PATIENCE_S = 20.0


@dataclass(frozen=True)
class ListCommit:
    first_seq: int
    count: int


class ListSink:
    """Commits in order of arrival; ``stall`` holds commits back until ``release``."""

    def __init__(self, records: Sequence[Draft] = ()) -> None:
        self.records: list[Draft] = list(records)
        self.withheld: list[CustodyEntry] = []
        self.appends = 0
        self.refuse_with: JournalError | None = None
        self.fail_with: BaseException | None = None
        self._waiting: list[tuple[Sequence[Draft], Future[Commit]]] = []
        self._changed = threading.Condition()
        self._stalled = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def append(
        self, drafts: Sequence[Draft], withheld: Sequence[CustodyEntry] = ()
    ) -> "Future[Commit]":
        if self.refuse_with is not None:
            raise self.refuse_with
        future: Future[Commit] = Future()
        with self._changed:
            self.appends += 1
            self._waiting.append((drafts, future))
            self.withheld += withheld
            self._changed.notify()
        return future

    def last_batch(self, tenant: str, client: str) -> int | None:
        whose = tenant, client
        return max((batch for who, batch, _ in self._batches() if who == whose), default=None)

    def find_batch(self, tenant: str, client: str, batch: int) -> Sequence[StoredRecord]:
        wanted = (tenant, client), batch
        return [record for *key, record in self._batches() if tuple(key) == wanted]

    def stall(self) -> None:
        with self._changed:
            self._stalled = True

    def release(self) -> None:
        with self._changed:
            self._stalled = False
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive(), "the sink does not end"

    def payloads(self, kind: Kind) -> list[bytes]:
        return [payload for was, _, payload in self.records if was is kind]

    def _batches(self) -> list[tuple[tuple[str, str], int, StoredRecord]]:
        found = []
        for seq, (kind, provenance, _) in enumerate(self.records):
            said = json.loads(provenance)
            if "client" in said:
                whose = said["tenant"], said["client"]
                found.append((whose, said["batch"], StoredRecord(seq, kind, provenance)))
        return found

    def _run(self) -> None:
        while True:
            with self._changed:
                while (not self._waiting or self._stalled) and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                waiting, self._waiting = self._waiting, []
            for drafts, future in waiting:
                if self.fail_with is not None:
                    future.set_exception(self.fail_with)
                    continue
                first = len(self.records)
                self.records += drafts
                future.set_result(ListCommit(first, len(drafts)))
