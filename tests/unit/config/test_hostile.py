"""Whatever file and environment hold, it comes to settings or to problems, never to a crash."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swt3_agent.config import examine, shown_settings
from swt3_agent.config.environment import VARIABLES
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.reading import struct_within
from tests.unit.config.support import refused, written

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        3,
        2**63,
        10**400,
        0.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "a",
        "/",
        "..",
        "\0",
        "x" * 5000,
        "none",
        "/dev/zero",
        "/proc/self/mem",
        "10/60s",
        "defense-govcon",
        "https://h",
        "axm_k",
        [],
        ["AI-INF.1"],
        ["/nonexistent"],
        [[]],
        [{}],
        {},
        {"a": 1},
    ]
)


def documents(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with keys that ``kind`` has, and right and wrong values."""
    fields = {}
    for field in msgspec.structs.fields(kind):
        inner = struct_within(field.type)
        nested = ODD if inner is None else documents(inner)
        fields[field.name] = st.one_of(ODD, nested, st.lists(nested, max_size=2))
    return st.fixed_dictionaries({}, optional=fields)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=documents(FileSettings),
    environ=st.dictionaries(
        st.sampled_from(sorted(VARIABLES)),
        st.sampled_from(["", "a", "0", "none", "nan", "1e999", "9" * 5000, "\ud800", "local"]),
    ),
)
def test_nothing_that_can_be_written_is_a_crash(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], environ: dict[str, str]
) -> None:
    file = written(tmp_path_factory.getbasetemp(), yaml.safe_dump(document))
    found = examine(environ, file)
    assert shown_settings(found)
    assert found.config is not None or found.problems


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/"])
def test_what_is_no_file_of_text_is_refused(path: str) -> None:
    assert examine({}, Path(path)).problems


@pytest.mark.parametrize(
    "text",
    [
        "profile: !!bool maybe\n",
        'clearing_level: !!int ""\n',
        'clearing_level: !!float ""\n',
        "policy_version: !!timestamp x\n",
        "policy_version: !!binary aGk=\n",
        "procedures: !!set {AI-INF.1}\n",
        "agent: !!python/object/apply:os.system [id]\n",
    ],
)
def test_a_tag_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code == "CONFIG_SYNTAX"


@pytest.mark.parametrize(
    "text",
    [
        'extends: "\\ud800"\n',
        'agent_id: "a\\ud800"\n',
        'signing_key: "0123456789abcdef\\ud800"\n',
        'agent: {state_dir: "/x\\ud800"}\n',
        'agent: {http: {port: 8480, token_file: "/x\\ud800"}}\n',
        'mcp_policy: {rules: [{match: a, action: log, reason: x, params: {a: "\\ud800"}}]}\n',
        'mcp_policy: {rules: [{match: a, action: log, reason: x, params: {"\\ud800": 1}}]}\n',
        'mcp_policy: {rules: [{match: a, action: log, reason: x, params: {a: ["\\0"]}}]}\n',
        '"\\ud800": 1\n',
        '"\\e[2J": 1\n',
    ],
)
def test_text_that_no_file_and_no_terminal_takes_is_refused(tmp_path: Path, text: str) -> None:
    found = examine({}, written(tmp_path, text))
    assert found.problems
    json.dumps([problem.as_view() for problem in found.problems], ensure_ascii=False).encode()


def test_bytes_of_the_environment_that_are_no_text_are_refused() -> None:
    """Python has them as lone surrogates, which no signature and no anchor can be made of."""
    for variable in ("SWT3_SIGNING_KEY", "SWT3_AGENT_ID", "SWT3_STATE_DIR"):
        assert examine({variable: "/0123456789abcdef\udcff"}).problems, variable


@pytest.mark.parametrize(
    "text",
    [
        "trust_mesh: {freshness_window: .inf}\n",
        "flush_interval: .inf\n",
        "agent: {intervals: {gpu: .nan}}\n",
        "mcp_policy: {rules: [{match: a, action: log, reason: x, params: {a: [.inf]}}]}\n",
    ],
)
def test_numbers_without_an_end_are_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    found = examine({}, written(tmp_path, text))
    assert found.problems
    json.dumps([setting.value for setting in shown_settings(found)], allow_nan=False)


@pytest.mark.parametrize(
    "text",
    [
        f'"{"a" * 100_000}": 1\n',
        f'? "{"a" * 100_000}"\n: 1\n? "{"a" * 100_000}"\n: 1\n',
        f"tenant_id: {'A' * 100_000}\n",
        f"profile: {'a' * 100_000}\n",
        f"extends: {'a/' * 50_000}\n",
        f"agent: {{tpm: {{tcti: {'a' * 100_000}}}}}\n",
    ],
)
def test_what_is_said_of_long_text_is_short(tmp_path: Path, text: str) -> None:
    for problem in examine({}, written(tmp_path, text)).problems:
        assert len(problem.message) + len(problem.key) + len(problem.remedy) < 2000


def test_links_in_a_circle_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    assert examine({}, tmp_path / "a").problems
    assert examine({}, written(tmp_path, "extends: a/b.yaml\n")).problems


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hardware: {attestation_freshness: 0.001}\n", "hardware.attestation_freshness"),
        ("agent: {environment: {max_temperature: -5}}\n", "agent.environment.max_temperature"),
        ("agent: {environment: {max_temperature: 5000}}\n", "agent.environment.max_temperature"),
        (f"signing_key_version: {10**20}\n", "signing_key_version"),
        ('policy: {required_procedures: ["AI-INF.1\\n"]}\n', "policy.required_procedures"),
    ],
)
def test_a_value_that_would_mean_nothing_later_is_refused(
    tmp_path: Path, text: str, key: str
) -> None:
    assert refused(tmp_path, text).message.startswith(key)
