"""agent.yaml as a whole: the keys of the SWT3 clients at its top, the agent's own below ``agent``.

The keys of the clients are those of docs/protocol.md 13, with their types and bounds, so that one
file serves both; which of them mean nothing to a node is said in :mod:`swt3_agent.config.ignored`.
Fields without a default there are None: not said.
"""

from typing import Annotated, Any, Literal

import msgspec

from swt3_agent.config.settings import (
    CadenceSettings,
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
from swt3_agent.config.values import DEFAULT_SOCKET, DEFAULT_STATE_DIR, DEFAULT_TENANT

Count = Annotated[int, msgspec.Meta(ge=0)]
Version = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Level = Annotated[int, msgspec.Meta(ge=0, le=3)]
TrustLevel = Annotated[int, msgspec.Meta(ge=0, le=4)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
Freshness = Annotated[float, msgspec.Meta(ge=2, le=366 * 86_400)]  # two readings a second apart
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Names = tuple[Name, ...]
Velocity = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,4}/[1-9][0-9]{0,8}s\Z")]
ProcedureId = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,16}-[A-Z0-9]{1,16}\.[0-9]{1,4}\Z")]
Method = Literal["tpm_2.0", "secure_enclave", "sgx", "sev", "trustzone", "nitro", "cerebras_wse3"]


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``policy``: floors. The strictest of profile, extended files and own file holds."""

    require_signing: bool = False
    require_agent_id: bool = False
    require_jurisdiction: bool = False
    min_clearing_level: Level = 0
    required_procedures: tuple[ProcedureId, ...] = ()
    max_flush_interval: Seconds | None = None


class RuntimeProfileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``hardware.runtime_profile``: what the clients expect of the machine."""

    expected_topology: str | None = None
    min_gpu_count: Count | None = None
    min_memory_mb: Amount | None = None
    expected_accelerator: str | None = None
    max_temperature_celsius: Amount | None = None
    max_power_watts: Amount | None = None


class HardwareSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``hardware``: whether, how and how freshly the hardware must be attested (seconds)."""

    require_attestation: bool = False
    attestation_freshness: Freshness = 3600.0
    allowed_methods: tuple[Method, ...] = ()
    runtime_profile: RuntimeProfileSettings = RuntimeProfileSettings()


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``mcp_policy.rules``."""

    match: Name
    action: Literal["block", "log"]
    reason: str
    params: dict[str, Any] = {}


class McpPolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``mcp_policy``: which tools are witnessed, and which may be called how often."""

    witnessed_tools: Names = ()
    exempt_tools: Names = ()
    require_trust_level: TrustLevel = 0
    auto_witness: bool = True
    block_on_failure: bool = False
    fail_secure: bool = True
    max_velocity: Velocity | None = None
    max_chain_depth: Positive | None = None
    tool_allowlist: Names = ()
    tool_blocklist: Names = ()
    rules: tuple[RuleSettings, ...] = ()
    max_tokens_per_session: Positive | None = None


class TrustedAgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``trust_mesh.trusted_agents``."""

    tenant: Name
    agent: Name


class MeshKeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``trust_mesh.signing_keys``."""

    agent: Name
    key_env: Name


class TrustMeshSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``trust_mesh``: whom the clients take handoffs from."""

    mode: Literal["strict", "permissive", "monitor"] = "permissive"
    min_trust_level: TrustLevel = 1
    require_signature: bool = False
    freshness_window: Annotated[float, msgspec.Meta(ge=1)] = 86400.0
    trusted_tenants: Names = ()
    trusted_agents: tuple[TrustedAgentSettings, ...] = ()
    deny_agents: Names = ()
    deny_tenants: Names = ()
    required_procedures: tuple[ProcedureId, ...] = ()
    signing_keys: tuple[MeshKeySettings, ...] = ()


class DensityPolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``density_policy``: how many anchors the clients owe for their tokens."""

    min_anchors_per_1000_tokens: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    required_providers: Names = ()
    max_chain_gap_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    require_signing_key: bool = False
    min_trust_level: TrustLevel = 1


class MerkleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``merkle``: the clients' session trees."""

    enabled: bool = True
    accumulator_interval: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class SkillCardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``skill_card``: the skills that a client vouches for."""

    skills: tuple[str | dict[str, Any], ...] = ()
    expected_manifest_hash: str | None = None


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent``: what only this agent knows, so that clients never meet it."""

    state_dir: str = str(DEFAULT_STATE_DIR)
    socket: str = str(DEFAULT_SOCKET)
    air_gap: bool = False
    listeners: tuple[ListenerSettings, ...] = ()
    tpm: TpmSettings = TpmSettings()
    intervals: Intervals = Intervals()
    cadence: CadenceSettings = CadenceSettings()
    gpu: GpuSettings = GpuSettings()
    models: tuple[ModelSettings, ...] = ()
    environment: EnvironmentSettings = EnvironmentSettings()
    ledger: LedgerSettings = LedgerSettings()
    clearing: ClearingSettings = ClearingSettings()
    custody: CustodySettings = CustodySettings()
    http: HttpSettings = HttpSettings()
    ops: OpsSettings = OpsSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    probe: ProbeSettings = ProbeSettings()
    output: OutputSettings = OutputSettings()


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agent.yaml as a whole."""

    profile: str | None = None
    extends: str | tuple[str, ...] | None = None
    tenant_id: str = DEFAULT_TENANT
    clearing_level: Level | None = None
    agent_id: str | None = None
    endpoint: str | None = None
    api_key: str | None = None
    api_key_env: Name | None = None
    signing_key: str | None = None
    signing_key_env: Name | None = None
    signing_key_id: Name | None = None
    signing_key_version: Version | None = None
    signing_algorithm: Literal["hmac-sha256", "ml-dsa-65"] = "hmac-sha256"
    cycle_id: Name | None = None
    policy_version: Name | None = None
    jurisdiction: Name | None = None
    legal_basis: Name | None = None
    purpose_class: Name | None = None
    policy: PolicySettings = PolicySettings()
    hardware: HardwareSettings = HardwareSettings()
    mcp_policy: McpPolicySettings = McpPolicySettings()
    trust_mesh: TrustMeshSettings = TrustMeshSettings()
    density_policy: DensityPolicySettings = DensityPolicySettings()
    merkle: MerkleSettings = MerkleSettings()
    skill_card: SkillCardSettings = SkillCardSettings()
    digest_algorithm: Literal["sha256"] = "sha256"
    procedures: tuple[ProcedureId, ...] | None = None
    buffer_size: Positive = 10
    flush_interval: Annotated[float, msgspec.Meta(ge=0.1)] = 5.0
    max_retries: Count = 3
    latency_threshold_ms: Count = 30000
    guardrails_required: Count = 0
    guardrail_names: Names = ()
    factor_handoff: Literal["file"] | None = None
    factor_handoff_path: str | None = None
    on_flush: str | None = None
    gateway_mode: bool = False
    wal_path: str | None = None
    replay_window: Positive = 50000
    token_budget: Count | None = None
    strict: bool = False
    agent: AgentSettings = AgentSettings()
