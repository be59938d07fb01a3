"""Where a ledger is."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ledger is and how it is reached.

    ``endpoint`` is a URL without what belongs to the call, ``api_key`` a secret. ``ca`` is a PEM
    file of the only authorities that are trusted (None: the system's), ``certificate`` and ``key``
    are PEM files of a client certificate. ``timeout_s`` is for a whole POST with its answer.
    """

    endpoint: str
    api_key: str = field(repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout_s: float = 30.0

    @property
    def host(self) -> str:
        """The name of the ledger in receipts: host, and port where it is given."""
        return urlsplit(self.endpoint).netloc
