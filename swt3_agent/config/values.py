"""The settings in force: what the rest of the agent reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swt3_agent.config.problems import Problem
from swt3_agent.config.settings import (
    ClearingSettings,
    CustodySettings,
    EnvironmentSettings,
    GpuSettings,
    HttpSettings,
    Intervals,
    LedgerSettings,
    ListenerSettings,
    ModelSettings,
    OpsSettings,
    OutputSettings,
    ProbeSettings,
    ReceiptSettings,
    TpmSettings,
)
from swt3_agent.protocol.checkpoint import quoted_pcrs

DEFAULT_FILE = Path("/etc/swt3-agent/agent.yaml")
DEFAULT_STATE_DIR = Path("/var/lib/swt3-agent")
DEFAULT_SOCKET = Path("/run/swt3-agent/intake.sock")
DEFAULT_TENANT = "LOCAL"
NO_TPM = "none"
NO_COUNTER = "none"

LEVEL_WITHOUT_LEDGER = 3  # nothing may leave
LEVEL_WITH_LEDGER = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger to deliver to. ``endpoint`` has no trailing slash; ``api_key`` is a secret.

    The key is empty only where ``Config.lacks`` says so: then nothing is delivered.
    """

    endpoint: str
    api_key: str = field(repr=False)
    settings: LedgerSettings


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key of ``payload_signature`` (docs/protocol.md 7.1); ``key`` is a secret."""

    algorithm: str
    key: str = field(repr=False)
    key_id: str | None
    key_version: int | None


@dataclass(frozen=True, slots=True)
class Labels:
    """Operational fields of every anchor that this node mints (docs/protocol.md 4)."""

    cycle_id: str | None = None
    policy_version: str | None = None
    jurisdiction: str | None = None
    legal_basis: str | None = None
    purpose_class: str | None = None


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """``mcp_policy``: what `check` lets a tool do (docs/protocol.md 13, 15)."""

    allowlist: tuple[str, ...] = ()
    blocklist: tuple[str, ...] = ()
    max_velocity: str | None = None
    max_chain_depth: int | None = None
    rules: tuple[Mapping[str, object], ...] = ()
    max_tokens_per_session: int | None = None
    fail_secure: bool = True


@dataclass(frozen=True, slots=True)
class Cadence:
    """How long ago a required procedure may last have been witnessed, in seconds, by what brings
    it about (``Trigger`` in the procedure catalogue). What an event brings about has no cadence."""

    inference: float = 86_400.0
    schedule: float = 93_600.0  # a day, and two hours for what is sealed after midnight
    review: float = 90 * 86_400.0


@dataclass(frozen=True, slots=True)
class Required:
    """``policy`` and ``hardware``: what must be witnessed, and how fresh the hardware's word is.

    ``attestation_freshness``: seconds, for AI-HW.* in place of the cadence.
    """

    procedures: tuple[str, ...] = ()
    attestation_freshness: float = 3600.0
    cadence: Cadence = Cadence()


def is_hardware(procedure: str) -> bool:
    """Whether ``hardware.attestation_freshness`` bounds the procedure, in place of a cadence."""
    return procedure.startswith("AI-HW.")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force, each checked.

    ``warnings`` are for whoever wrote them; ``ignored`` are keys of SWT3 clients that mean nothing
    to a node; ``lacks`` is what must still be set before anything is minted or delivered.
    """

    tenant: str
    clearing_level: int
    agent_id: str | None
    profile: str | None
    ledger: Ledger | None
    signing: SigningKey | None
    labels: Labels
    tools: ToolPolicy
    required: Required
    state_dir: Path
    socket: Path
    listeners: tuple[ListenerSettings, ...]
    tpm: TpmSettings
    intervals: Intervals
    gpu: GpuSettings
    models: tuple[ModelSettings, ...]
    environment: EnvironmentSettings
    clearing: ClearingSettings
    custody: CustodySettings
    http: HttpSettings
    ops: OpsSettings
    receipts: ReceiptSettings
    probe: ProbeSettings
    output: OutputSettings
    source: str
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    lacks: tuple[Problem, ...] = ()

    @property
    def control_socket(self) -> Path:
        """Beside the intake socket: ``intake.sock`` -> ``control.sock``, ``x`` -> ``x.control``."""
        return self._beside("control")

    @property
    def http_socket(self) -> Path | None:
        """``agent.http.socket``; where nothing is said, beside the intake socket. None: none."""
        return self._chosen(self.http.socket, "http")

    @property
    def ops_socket(self) -> Path | None:
        """``agent.ops.socket``; where nothing is said, beside the intake socket. None: none."""
        return self._chosen(self.ops.socket, "ops")

    @property
    def probe_socket(self) -> Path | None:
        """``agent.probe.socket``. None: there is no probe."""
        return Path(self.probe.socket) if self.probe.socket else None

    def _chosen(self, setting: str | None, name: str) -> Path | None:
        if setting is None:
            return self._beside(name)
        return Path(setting).absolute() if setting else None

    def _beside(self, name: str) -> Path:
        if self.socket.name == DEFAULT_SOCKET.name:
            return self.socket.with_name(f"{name}.sock")
        return self.socket.with_name(f"{self.socket.name}.{name}")

    @property
    def quoted_pcrs(self) -> tuple[int, ...]:
        """The PCRs of every quote, ascending (docs/formats.md, "What a signed head proves")."""
        return quoted_pcrs(self.tpm.log_pcr)

    @property
    def counter_index(self) -> int | None:
        """The NV index of the gapless counter (``agent.tpm.counter``). None: there is none."""
        return None if self.tpm.counter == NO_COUNTER else int(self.tpm.counter, 16)

    def refuse_incomplete(self) -> None:
        """Raise ConfigError where something is missing that minting and delivery need."""
        if self.lacks:
            raise self.lacks[0].as_error(others=len(self.lacks) - 1)
