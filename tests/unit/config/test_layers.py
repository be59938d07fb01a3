from pathlib import Path

import pytest

from swt3_agent.config import examine, load_config
from tests.unit.config.support import loaded, refused, written


def test_files_that_are_extended_lie_below_the_profile_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "clearing_level: 0\ntenant_id: BASE\nagent_id: base\nagent: {gpu: {expected: 8}}\n"
    )
    config = loaded(
        tmp_path,
        "extends: base.yaml\nprofile: nist-ai-rmf\nagent_id: own\nagent: {gpu: {library: /l}}\n",
    )
    assert (config.tenant, config.agent_id, config.clearing_level) == ("BASE", "own", 1)
    assert (config.gpu.expected, config.gpu.library) == (8, "/l")


def test_of_several_the_later_wins_and_lists_replace(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("tenant_id: A\nmcp_policy: {tool_allowlist: [a, b]}\n")
    (tmp_path / "b.yaml").write_text("tenant_id: B\nmcp_policy: {tool_allowlist: [c]}\n")
    config = loaded(tmp_path, "extends: [a.yaml, b.yaml]\n")
    assert config.tenant == "B"
    assert config.tools.allowlist == ("c",)


def test_a_file_may_extend_its_neighbour_directory_and_no_further(tmp_path: Path) -> None:
    directory = tmp_path / "site" / "node"
    directory.mkdir(parents=True)
    (tmp_path / "site" / "shared.yaml").write_text("tenant_id: SITE\n")
    (tmp_path / "outside.yaml").write_text("tenant_id: OUTSIDE\n")
    assert loaded(directory, "extends: ../shared.yaml\n").tenant == "SITE"
    error = refused(directory, "extends: ../../outside.yaml\n")
    assert error.code == "CONFIG_EXTENDS"
    assert loaded(directory, f"extends: {tmp_path / 'outside.yaml'}\n").tenant == "OUTSIDE"


def test_a_link_does_not_lead_outside(tmp_path: Path) -> None:
    directory = tmp_path / "site" / "node"
    directory.mkdir(parents=True)
    (tmp_path / "outside.yaml").write_text("tenant_id: OUTSIDE\n")
    (directory / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    assert refused(directory, "extends: link.yaml\n").code == "CONFIG_EXTENDS"


def test_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert refused(tmp_path, "extends: a.yaml\n").code == "CONFIG_EXTENDS"
    assert refused(tmp_path, "extends: agent.yaml\n").code == "CONFIG_EXTENDS"


def test_ten_deep_is_taken_and_eleven_is_not(tmp_path: Path) -> None:
    for depth in range(11):
        (tmp_path / f"{depth}.yaml").write_text(f"extends: {depth + 1}.yaml\n")
    (tmp_path / "10.yaml").write_text("tenant_id: DEEP\n")
    assert loaded(tmp_path, "extends: 1.yaml\n").tenant == "DEEP"
    assert refused(tmp_path, "extends: 0.yaml\n").code == "CONFIG_EXTENDS"


def test_an_extended_file_that_is_absent_or_wrong_is_named(tmp_path: Path) -> None:
    assert "absent.yaml" in refused(tmp_path, "extends: absent.yaml\n").message
    (tmp_path / "wrong.yaml").write_text("clearing_levle: 1\n")
    assert "wrong.yaml" in refused(tmp_path, "extends: wrong.yaml\n").message


def test_keys_of_clients_are_checked_and_said_to_be_unused(tmp_path: Path) -> None:
    text = "buffer_size: 5\nmerkle: {enabled: true}\ntrust_mesh: {min_trust_level: 2}\n"
    found = examine({}, written(tmp_path, text))
    assert not found.problems
    assert [line.split(":")[0] for line in found.ignored] == [
        "buffer_size",
        "merkle.enabled",
        "trust_mesh.min_trust_level",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("buffer_size: 0\n", "buffer_size"),
        ("flush_interval: 0.05\n", "flush_interval"),
        ("trust_mesh: {mode: advisory}\n", "trust_mesh.mode"),
        ("trust_mesh: {min_trust_level: 5}\n", "trust_mesh.min_trust_level"),
        ("hardware: {allowed_methods: [tpm]}\n", "hardware.allowed_methods"),
        ("hardware: {attestation_freshness: .nan}\n", "hardware.attestation_freshness"),
        ("hardware: {attestation_freshness: .inf}\n", "hardware.attestation_freshness"),
        ("mcp_policy: {max_velocity: fast}\n", "mcp_policy.max_velocity"),
        ("mcp_policy: {max_chain_depth: 0}\n", "mcp_policy.max_chain_depth"),
        ("mcp_policy: {rules: [{match: a, action: allow, reason: r}]}\n", "mcp_policy.rules[0]"),
        ("mcp_policy: {rules: [{match: a}]}\n", "mcp_policy.rules[0]"),
        ("mcp_policy: {rules: [a]}\n", "mcp_policy.rules[0]"),
        ("mcp_policy: {rules: a}\n", "mcp_policy.rules"),
        ("policy: {required_procedures: [inference]}\n", "policy.required_procedures"),
        ("policy: {min_clearing_level: true}\n", "policy.min_clearing_level"),
        ("digest_algorithm: sha512\n", "digest_algorithm"),
        ("signing_algorithm: rsa\n", "signing_algorithm"),
        ("skill_card: 7\n", "skill_card"),
        ("agent: {custody: {format: tar}}\n", "agent.custody.format"),
        (
            "agent: {custody: {format: files, recipients: [/k]}}\n",
            "agent.custody.recipients",
        ),
        ("agent: {custody: {path: custody}}\n", "agent.custody.path"),
        ("agent: {http: {port: 8480}}\n", "agent.http.token_file"),
        ("agent: {http: {port: 0, token_file: /t}}\n", "agent.http.port"),
        ("agent: {ops: {port: 70000}}\n", "agent.ops.port"),
        ("agent: {ops: {port: 80}, http: {port: 80, token_file: /t}}\n", "agent.ops.port"),
        ("agent: {ledger: {timeout: 0}}\n", "agent.ledger.timeout"),
        ("agent: {ledger: {batch_records: 1001}}\n", "agent.ledger.batch_records"),
        ("agent: {ledger: {batch_bytes: 10}}\n", "agent.ledger.batch_bytes"),
        ("agent: {ledger: {certificate: /c}}\n", "agent.ledger.certificate"),
        ("agent: {receipts: {importers: [k.pem]}}\n", "agent.receipts.importers[0]"),
        ("agent: {cadence: {review: 0}}\n", "agent.cadence.review"),
        ("agent: {models: [{name: a, path: /a, stage: retired}]}\n", "agent.models[0].stage"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(tmp_path: Path, text: str, key: str) -> None:
    assert refused(tmp_path, text).message.startswith(key)


def test_a_section_of_comments_is_no_section(tmp_path: Path) -> None:
    assert loaded(tmp_path, "agent:\n  # models:\npolicy:\n") == load_config(
        {}, written(tmp_path, "")
    )


def test_the_tool_policy_is_what_the_file_says(tmp_path: Path) -> None:
    tools = loaded(
        tmp_path,
        "mcp_policy:\n  tool_allowlist: [search_*]\n  tool_blocklist: [shell_*]\n"
        "  max_velocity: 4/30s\n  max_chain_depth: 5\n  max_tokens_per_session: 9\n"
        "  fail_secure: false\n"
        "  rules: [{match: 'x*', action: log, reason: why, params: {a: 1}}]\n",
    ).tools
    assert (tools.allowlist, tools.blocklist) == (("search_*",), ("shell_*",))
    assert (tools.max_velocity, tools.max_chain_depth) == ("4/30s", 5)
    assert (tools.max_tokens_per_session, tools.fail_secure) == (9, False)
    assert tools.rules == ({"match": "x*", "action": "log", "reason": "why", "params": {"a": 1}},)


def test_a_temperature_of_the_runtime_profile_lowers_the_limit(tmp_path: Path) -> None:
    text = "hardware: {runtime_profile: {max_temperature_celsius: 70}}\n"
    assert loaded(tmp_path, text).environment.max_temperature == 70
