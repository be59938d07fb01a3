"""The settings of agent.yaml below its top level, section by section: shapes and defaults.

What a value may be is checked in one place, :mod:`swt3_agent.config.checks`, which names the key.
"""

import msgspec

from swt3_agent.protocol.checkpoint import DEFAULT_LOG_PCR


class TpmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.tpm``: where the TPM is, which register chains the heads of the log, and which NV
    index counts (8 hex digits, or ``none``)."""

    tcti: str | None = None
    log_pcr: int = DEFAULT_LOG_PCR
    counter: str = "01800053"
    timeout: float = 30.0


class Intervals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.intervals``: seconds between two runs of each collector, between heads, and between
    steps of the counter."""

    host: float = 3600.0
    platform: float = 3600.0
    gpu: float = 3600.0
    weights: float = 3600.0
    environment: float = 3600.0
    checkpoint: float = 10.0
    counter: float = 900.0


class AdapterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of a model's ``adapters``: the directory of a PEFT adapter, from / on or relative to the
    model's path, and the digest (64 hex digits) it was approved with."""

    name: str
    path: str
    approved: str | None = None


class WeightFileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of a model's ``files``: its path within the model, and the SHA-256 (64 hex digits) that
    it was approved with, as sha256sum prints it and model hubs publish it."""

    path: str
    sha256: str


class CadenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.cadence``: seconds within which a required procedure must be witnessed again, by what
    brings it about. None: as the profile has it; of the two the shorter holds."""

    inference: float | None = None
    schedule: float | None = None
    review: float | None = None


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``agent.models``: a file or directory, and the digest it was approved with.

    ``stage`` is where the model is in its life: design, development, testing, deployment,
    monitoring or decommission.
    """

    name: str
    path: str
    approved: str | None = None
    stage: str | None = None
    files: tuple[WeightFileSettings, ...] = ()
    adapters: tuple[AdapterSettings, ...] = ()


class GpuSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.gpu``: how many accelerators there must be, and which NVML library is the one."""

    expected: int | None = None
    library: str | None = None


class EnvironmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.environment``: the limits of AI-ENV.1 (degrees C)."""

    max_temperature: int = 85


class LedgerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.ledger``: how the ledger that ``endpoint`` names is reached.

    ``ca`` is a PEM file of the only authorities that are trusted (None: the system's),
    ``certificate`` and ``key`` are PEM files of a client certificate. ``timeout`` in seconds.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    timeout: float = 30.0
    batch_records: int = 1000
    batch_bytes: int = 512 * 1024


class ClearingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.clearing``: ``drop_guardrail_names`` takes the names of guardrails out of contexts at
    level 1 too, as one of the published readings wants."""

    drop_guardrail_names: bool = False


class CustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.custody``: where what clearing removes is kept, and who may read it.

    ``format``: ``log`` (encrypted, one file for many records) or ``files`` (a handoff file for each
    record). ``recipients``: PEM files of the custodians' public keys. ``path`` None: in the state
    directory.
    """

    format: str = "log"
    path: str | None = None
    recipients: tuple[str, ...] = ()


class ListenerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``agent.listeners``: an intake socket for the processes of another tenant.

    ``name`` is what their records' provenance calls it. Whoever may open the socket is of that
    tenant: its directory belongs where they are and nowhere else.
    """

    name: str
    tenant: str
    socket: str


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.http``: the ledger's interface for clients that speak HTTP.

    ``socket`` empty: none. ``port`` None: not on TCP; else on 127.0.0.1, and ``token_file`` holds
    the bearer token that clients must show.
    """

    socket: str | None = None
    port: int | None = None
    token_file: str | None = None


class OpsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.ops``: health and metrics; ``port`` None: not on TCP, else on 127.0.0.1."""

    socket: str | None = None
    port: int | None = None


class ReceiptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.receipts``: PEM files of the importers' public keys whose receipts settle records."""

    importers: tuple[str, ...] = ()


class ProbeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.probe``: the socket of the helper that reads the boot and IMA logs; empty: none."""

    socket: str = "/run/swt3-agent-probe.sock"


class OutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.output``: ``json_lines`` prints every anchor of the agent on standard output."""

    json_lines: bool = False
