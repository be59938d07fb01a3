"""What a sentinel client hands in that is no witness: kept, and called what it is."""

from swt3_agent.protocol.custody import CUSTODY_FROM_LEVEL
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.batches import BatchJudgement
from swt3_agent.relay.origin import with_original


class OpaqueJudgement(BatchJudgement):
    """Accepts its one payload as an opaque record with the status ``unparsed``.

    Nobody can say what such bytes hold. Where the clearing level lets no content out they are
    custody's, and the log keeps an empty payload with the commitment to them.
    """

    __slots__ = ()

    def advance(self, max_bytes: int) -> int:  # noqa: ARG002  # the base's signature
        """Judge the payload, whatever its size; returns how many bytes that were."""
        (payload,) = self.request.payloads
        self._next = 1
        said = self._origin.opaque(self.request)
        level = self._rules.level
        if level < CUSTODY_FROM_LEVEL:
            self._accepted.append((Kind.OPAQUE, said, payload))
        else:
            said = with_original(said, self._withhold(payload, b"", level))
            self._accepted.append((Kind.OPAQUE, said, b""))
        return len(payload)
