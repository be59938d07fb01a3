"""Keys of the SWT3 clients that mean nothing to a node, and what does their work there."""

from collections.abc import Iterable

from swt3_agent.config.layers import Layer, walk

_INSTEAD = {
    "buffer_size": "the agent commits what came in at once",
    "flush_interval": "the agent delivers when there is something",
    "max_retries": "the agent retries until a ledger answers",
    "latency_threshold_ms": "AI-INF.2 comes from the clients",
    "guardrails_required": "AI-GRD.1 comes from the clients",
    "guardrail_names": "AI-GRD.1 comes from the clients",
    "factor_handoff": "agent.custody.format: files",
    "factor_handoff_path": "agent.custody.path",
    "on_flush": "nothing runs code of a configuration",
    "gateway_mode": "agent.http takes what a gateway would",
    "wal_path": "agent.state_dir holds the log",
    "replay_window": "the agent replays from its log",
    "token_budget": "mcp_policy.max_tokens_per_session",
    "strict": "the agent is always strict",
    "trust_mesh": "clients judge handoffs among themselves",
    "density_policy": "clients count their tokens",
    "merkle": "the agent's log is a tree already",
    "skill_card": "clients vouch for their skills",
    "policy.max_flush_interval": "the agent delivers when there is something",
    "hardware.runtime_profile": "agent.gpu.expected says how many accelerators there must be",
    "mcp_policy.witnessed_tools": "clients witness their tools",
    "mcp_policy.exempt_tools": "clients witness their tools",
    "mcp_policy.require_trust_level": "clients judge trust among themselves",
    "mcp_policy.auto_witness": "clients witness their tools",
    "mcp_policy.block_on_failure": "clients decide whether to go on",
}
_USED = frozenset({"hardware.runtime_profile.max_temperature_celsius"})


def ignored_keys(layers: Iterable[Layer]) -> tuple[str, ...]:
    """What ``layers`` set and a node does not use, each with what there is instead."""
    found: dict[str, str] = {}

    def visit(path: str, _value: object) -> None:
        for key, instead in _INSTEAD.items():
            if (path == key or path.startswith(f"{key}.")) and path not in _USED:
                found[path] = instead

    for layer in layers:
        walk(layer.document, visit)
    return tuple(f"{path}: {instead}" for path, instead in found.items())
