"""Where boot and IMA logs come from, and the typed reason why one does not come."""

from collections.abc import Mapping
from typing import Protocol

from swt3_agent.errors import AgentError
from swt3_agent.protocol.evidence import Lack


class MeasurementLogs(Protocol):
    """Reads the kernel's logs of what was measured. Both raise ``AgentError``."""

    def boot_log(self) -> bytes:
        """The firmware's event log of this boot."""

    def ima_log(self, offset: int = 0) -> bytes:
        """IMA's binary measurement list from byte ``offset`` on."""


def lack_of(error: AgentError) -> Mapping[str, object]:
    """The claim of a log that was not to be had: absent, denied, busy or failed, and why."""
    ending = error.code.rpartition("_")[2]
    lack = _LACKS.get(ending, Lack.FAILED)
    return {
        "lack": lack.value,
        "code": error.code,
        "detail": error.message,
        "remedy": error.remedy,
    }


_LACKS = {"ABSENT": Lack.ABSENT, "DENIED": Lack.DENIED, "BUSY": Lack.BUSY}
