"""Where a relayed record came from, as it is kept beside it (docs/formats.md, "Record")."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.relay.answers import Rejection
from swt3_agent.relay.peer import Peer
from swt3_agent.relay.request import SubmitRequest

_BATCH_SLOT = b'"batch":0'
"""Quotes inside of a JSON text are escaped, so this can only be the member itself."""

_MOST_TEMPLATES = 64


@dataclass(slots=True)
class Origin:
    """One connection of one listener: all that its records' provenance has in common."""

    listener: str
    tenant: str
    peer: Peer
    _templates: dict[tuple[str, str | None, int, int], tuple[bytes, bytes]] = field(
        default_factory=dict
    )

    def relayed(
        self, request: SubmitRequest, agent: str | None, declared: int, applied: int
    ) -> bytes:
        """RFC 8785 JSON for an accepted record: who sent it, and which clearing levels held."""
        about = {"agent": agent, "declared_level": declared, "applied_level": applied}
        if request.batch_key is None:
            return self._encoded(None, about)
        client, batch = request.batch_key
        key = (client, agent, declared, applied)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            head, _, tail = self._encoded((client, 0), about).partition(_BATCH_SLOT)
            template = self._templates[key] = (head, tail)
        return b'%b"batch":%d%b' % (template[0], batch, template[1])

    def quarantined(self, request: SubmitRequest, rejection: Rejection) -> bytes:
        """RFC 8785 JSON for a record that is kept but not accepted: the same, and why."""
        about = {"code": rejection.code, "error": rejection.error, "index": rejection.index}
        return self._encoded(request.batch_key, about)

    def _encoded(self, batch_key: tuple[str, int] | None, about: Mapping[str, object]) -> bytes:
        client, batch = batch_key or (None, None)
        members = {
            "listener": self.listener,
            "tenant": self.tenant,
            "client": client,
            "batch": batch,
            "uid": self.peer.uid,
            "gid": self.peer.gid,
            "pid": self.peer.pid,
            "start": self.peer.start,
            "cgroup": self.peer.cgroup,
            **about,
        }
        return canonical_json({name: value for name, value in members.items() if value is not None})


def with_dropped(provenance: bytes, dropped: Sequence[Rejection]) -> bytes:
    """The provenance of a batch's first record, which also says what the batch lost.

    Without it the answer to a batch repeated after a restart could not be the same: what was
    dropped left no record of its own.
    """
    indexes: dict[str, list[int]] = {}
    for rejection in dropped:
        indexes.setdefault(rejection.error, []).append(rejection.index)
    listed = [{"error": error, "indexes": places} for error, places in indexes.items()]
    return canonical_json({**json.loads(provenance), "dropped": listed})
