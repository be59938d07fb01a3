"""Evidence: what a collector saw, or the typed reason why it saw nothing.

The words are those of RFC 9334 (RATS). Nothing here judges: :mod:`swt3_agent.protocol.appraisal`
does. Claims are JSON-able, so that the raw evidence can be stored and digested as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from swt3_agent.errors import AgentError


class RootOfTrust(Enum):
    """Who vouches for a claim. Nothing is called attested that only a driver said."""

    TPM = "tpm"
    SOFTWARE_TPM = "software-tpm"
    GPU_SIGNED = "gpu-signed"
    DRIVER_REPORTED = "driver-reported"
    FILE_CONTENT = "file-content"
    SELF_REPORTED = "self-reported"


class Lack(Enum):
    """Why there is no evidence. Four different things, never folded into one."""

    ABSENT = "absent"  # the source does not exist on this node
    DENIED = "denied"  # it exists and we may not read it
    BUSY = "busy"  # it did not answer in time
    FAILED = "failed"  # it answered with an error


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a collector saw. ``claims`` are JSON-able; each collector documents its keys.

    ``stated`` are those of them that the record holds itself, beside the digest of all: what later
    readers of the log cannot do without, and what may be seen at every clearing level.

    ``attachments`` are what the claims were read from, as it came: ``quote``, ``boot-log``,
    ``ima-log`` (docs/formats.md, "Attachments"). Each is kept by its digest, the same bytes once.
    """

    collector: str
    root_of_trust: RootOfTrust
    claims: Mapping[str, object]
    stated: Mapping[str, object] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a collector has no evidence.

    ``code`` is stable and machine-readable, ``detail`` says what happened to what, ``remedy`` what
    to do. ``claims`` hold what was still seen, for instance the devices on the PCI bus.
    """

    collector: str
    lack: Lack
    code: str
    detail: str
    remedy: str
    claims: Mapping[str, object] = field(default_factory=dict)


Reading = Evidence | Unavailable


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for an outcome: stable code, what was found, and what to do about it."""

    code: str
    detail: str
    remedy: str = ""

    @classmethod
    def of(cls, error: AgentError) -> "Reason":
        """What an error says, where it is told and not raised."""
        return cls(error.code, error.message, error.remedy)

    def to_json(self) -> dict[str, str]:
        """JSON-able form (docs/formats.md, "JSON")."""
        return {"code": self.code, "detail": self.detail, "remedy": self.remedy}
