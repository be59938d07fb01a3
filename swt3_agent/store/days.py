"""The trees of the days: their roots, and proofs that an anchor is in one (docs/protocol.md 9)."""

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from swt3_agent.errors import AgentError, FormatError, JournalError
from swt3_agent.protocol.day_tree import DayTree, FingerprintSet
from swt3_agent.protocol.days import date_of, parse_date, seal_of
from swt3_agent.protocol.merkle import MerkleProof
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.day_scan import AnchorReader
from swt3_agent.store.journal import Journal
from swt3_agent.store.open_days import OpenDays, OpenTree
from swt3_agent.store.proofs import build_proof
from swt3_agent.store.seals import SealRecord, Seals

_FINGERPRINT = re.compile("[0-9a-f]{12}")
_KEPT_TREES = 2  # of sealed days, newest asked for; 8 bytes an anchor
_WAIT_S = 5.0  # for another who has a tree built; then the answer is to ask again
_MOST_RECORDS = 100  # listed of those that bear one fingerprint


class DayTrees:
    """Roots and proofs of the days of one tenant; any thread may ask.

    ``breathe`` is called between the slices of long work, so that it can leave others their turn.
    """

    def __init__(
        self,
        journal: Journal,
        catalogue: Catalogue,
        tenant: str,
        *,
        breathe: Callable[[], None] = lambda: None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self.seals = Seals(journal, catalogue, tenant)
        self._journal = journal
        self._catalogue = catalogue
        self._tenant = tenant
        self._breathe = breathe
        self._open = OpenDays(journal, self.seals, tenant, breathe, clock_s)
        self._trees: OrderedDict[int, DayTree] = OrderedDict()
        self._building = threading.Lock()

    def root(self, date: str) -> dict[str, Any] | None:
        """The tree of ``date`` (YYYY-MM-DD): root, count, seal (docs/formats.md, "Daily roll-up").

        None for a day that has no tree: it has not come, the log did not reach it, or it ended
        without an anchor. Raises FormatError ``BAD_DATE``, JournalError (``BUSY``: retryable).
        """
        try:
            day = parse_date(date)
        except ValueError as error:
            remedy = "write it as 2026-03-30"
            raise FormatError("BAD_DATE", str(error), remedy=remedy) from None
        sealed = {one.seal.day: one for one in self.seals.all()}.get(day)
        if sealed is not None:
            return self._sealed_view(sealed)
        with self._turn():
            found = self._open.tree(day)
        return None if found is None else self._open_view(day, found)

    def last_sealed(self) -> str | None:
        """The newest sealed date; None before the first."""
        days = [one.seal.day for one in self.seals.all()]
        return date_of(max(days)) if days else None

    def proof(self, fingerprint: str) -> dict[str, Any] | None:
        """That an anchor with ``fingerprint`` (12 hex digits) is in its day's tree; None for one
        that is not in the log. Of several the first is proved, and all are named.

        Raises FormatError ``BAD_FINGERPRINT``, JournalError (``BUSY``, ``NO_TREE_YET``: retryable).
        """
        if not _FINGERPRINT.fullmatch(fingerprint):
            what = f"{fingerprint!r} is no fingerprint"
            raise FormatError("BAD_FINGERPRINT", what, remedy="give 12 lowercase hex digits")
        found = self._anchors(fingerprint)
        if not found:
            return None
        seq, own_day = found[0]
        sealed = self.seals.all()
        seal = seal_of((one.seal for one in sealed), seq, own_day)
        with self._turn():
            if seal is not None:
                one = next(one for one in sealed if one.seal is seal)
                view = self._sealed_view(one)
                proof = self._sealed_tree(one, sealed).proof(fingerprint)
                seal_record: int | None = one.record
            else:
                open_day = self._open.day_of(own_day)
                tree = None if open_day is None else self._open.tree(open_day, covering=seq)
                if open_day is None or tree is None:
                    raise _in_no_tree_yet(seq)
                view, seal_record = self._open_view(open_day, tree), None
                proof = tree.tree.proof(fingerprint)
        return {
            **_steps(proof),
            "day": view,
            "late": date_of(own_day) != view["date"],
            "record": seq,
            "records": [other for other, _ in found],
            "record_proof": self._log_proof(seq),
            "seal_proof": None if seal_record is None else self._log_proof(seal_record),
        }

    def keep(self, day: int, tree: DayTree) -> None:
        """Keep the tree of a day that is being sealed, for the proofs that are asked of it."""
        with self._building:
            self._remember(day, tree)

    def _anchors(self, fingerprint: str) -> list[tuple[int, int]]:
        """Record and own day of the tenant's anchors that bear ``fingerprint``."""
        reader = AnchorReader(self._tenant)
        found = []
        for seq in self._catalogue.find_fingerprint(fingerprint)[:_MOST_RECORDS]:
            anchor = reader.read(self._journal.read(seq))
            if anchor is not None:
                found.append((seq, anchor[1]))
        return found

    def _sealed_tree(self, one: SealRecord, sealed: list[SealRecord]) -> DayTree:
        tree = self._trees.get(one.seal.day)
        if tree is None:
            tree = self._rebuild(one, sealed)
        self._remember(one.seal.day, tree)
        return tree

    def _rebuild(self, one: SealRecord, sealed: list[SealRecord]) -> DayTree:
        seal, reader = one.seal, AnchorReader(self._tenant)
        rivals = [other.seal for other in sealed if other.seal.end > seal.first]
        members = FingerprintSet()
        for count, record in enumerate(self._journal.scan(seal.first, seal.end), 1):
            anchor = reader.read(record)
            if anchor is not None and seal_of(rivals, record.seq, anchor[1]) is seal:
                members.add(anchor[0])
            if count % 512 == 0:
                self._breathe()
        tree = DayTree([members], self._breathe)
        if tree.root != one.day.root:
            raise JournalError(
                "DAY_ROOT_MISMATCH",
                f"the anchors of {one.day.date} have root {tree.root};"
                f" record {one.record} sealed {one.day.root}",
                remedy="run `swt3-agent fsck`: records were changed or lost since",
            )
        return tree

    def _remember(self, day: int, tree: DayTree) -> None:
        self._trees[day] = tree
        self._trees.move_to_end(day)
        while len(self._trees) > _KEPT_TREES:
            self._trees.popitem(last=False)

    def _sealed_view(self, one: SealRecord) -> dict[str, Any]:
        days = [day.date for day in one.audit.days]
        anchors = self.seals.anchors_of(one.record, len(days))
        place = days.index(one.day.date)
        return {
            "tenant": self._tenant,
            "date": one.day.date,
            "sealed": True,
            "root": one.day.root,
            "count": one.day.count,
            "late": one.day.late,
            "verified": one.audit.verified,
            "read_back": one.audit.entries,
            "sealed_at": one.sealed_ms,
            "log": {"size": one.audit.log.size, "root": one.audit.log.root},
            "record": one.record,
            "anchor": self._anchor_view(anchors[place]) if place < len(anchors) else None,
        }

    def _anchor_view(self, seq: int) -> dict[str, Any]:
        """The AI-AUDIT.1 that a sealed day was given."""
        record = self._journal.read(seq)
        payload: Mapping[str, Any] = json.loads(record.payload)
        token = json.loads(record.provenance).get("token")
        return {"record": seq, "fingerprint": payload["anchor_fingerprint"], "token": token}

    def _open_view(self, day: int, found: OpenTree) -> dict[str, Any]:
        return {
            "tenant": self._tenant,
            "date": date_of(day),
            "sealed": False,
            "root": found.tree.root,
            "count": len(found.tree),
            "late": found.late,
            "verified": None,
            "read_back": None,
            "sealed_at": None,
            "log": {"size": found.size, "root": self._journal.root(found.size).hex()},
            "record": None,
            "anchor": None,
        }

    def _log_proof(self, seq: int) -> str | None:
        """The record's own proof, by the newest head that covers it; None where none does.

        As text: a proof has one spelling, and a JSON tool would give it another.
        """
        try:
            proof = build_proof(self._journal, self._catalogue, seq, hide_provenance=True)
        except AgentError:  # no head yet, or none by the newest key: `prove` says which
            return None
        return encode_proof(proof).decode()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._building.acquire(timeout=_WAIT_S):
            raise JournalError(
                "BUSY",
                "the tree of a day is being built for somebody else",
                remedy="ask again in a minute",
                retryable=True,
            )
        try:
            yield
        finally:
            self._building.release()


def _in_no_tree_yet(seq: int) -> JournalError:
    """A clock that ran ahead sealed its day before it came, or the day is just being sealed."""
    return JournalError(
        "NO_TREE_YET",
        f"record {seq} came after its day was sealed, and goes to the day that is sealed next",
        remedy=f"ask again tomorrow; `swt3-agent prove {seq}` proves it in the log now",
        retryable=True,
    )


def _steps(proof: MerkleProof) -> dict[str, Any]:
    return {
        "fingerprint": proof.fingerprint,
        "leaf_hash": proof.leaf_hash,
        "root": proof.root,
        "steps": [{"hash": step.hash, "position": step.position} for step in proof.steps],
    }
