"""What a sentinel client hands in that is no witness: kept as it came, and called what it is."""

from swt3_agent.protocol.custody import CUSTODY_FROM_LEVEL
from swt3_agent.protocol.record import Kind
from swt3_agent.relay.answers import Code, Rejection
from swt3_agent.relay.batches import BatchJudgement


class OpaqueJudgement(BatchJudgement):
    """Accepts its one payload as an opaque record with the status ``unparsed``.

    Nobody can say what such bytes hold, so they are refused where the clearing level lets no
    content out.
    """

    __slots__ = ()

    def advance(self, max_bytes: int) -> int:  # noqa: ARG002  # the base's signature
        """Judge the payload, whatever its size; returns how many bytes that were."""
        (payload,) = self.request.payloads
        self._next = 1
        if self._rules.level >= CUSTODY_FROM_LEVEL:
            error = (
                f"not a witness, and clearing level {self._rules.level} lets no other content in"
            )
            self._dropped.append(Rejection(0, Code.BAD_FIELD.value, error, quarantined=False))
        else:
            self._accepted.append((Kind.OPAQUE, self._origin.opaque(self.request), payload))
        return len(payload)
