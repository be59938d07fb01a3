"""`check`: docs/protocol.md 15, and the published SDK as the peer."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.config import ToolPolicy
from swt3_agent.errors import ConfigError
from swt3_agent.relay.tool_policy import Action, Session, Sessions, ToolGate, Violation

NO_LIMITS = ToolPolicy()


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rule_of(violation: Violation | None) -> tuple[str, str] | None:
    return None if violation is None else (violation.rule, violation.action.value)


@pytest.mark.parametrize(
    ("policy", "tool", "expected"),
    [
        (NO_LIMITS, "anything", None),
        (ToolPolicy(blocklist=("rm*",)), "rm_rf", ("blocklist", "blocked")),
        (ToolPolicy(blocklist=("rm*",)), "rm\n", ("blocklist", "blocked")),
        (ToolPolicy(blocklist=("rm",)), "rmdir", None),
        (ToolPolicy(allowlist=("read_?",)), "read_a", None),
        (ToolPolicy(allowlist=("read_?",)), "read_ab", ("allowlist", "blocked")),
        (ToolPolicy(allowlist=("read",)), "read\n", ("allowlist", "blocked")),
        (ToolPolicy(allowlist=("a.b",)), "aXb", ("allowlist", "blocked")),
        (ToolPolicy(allowlist=("*",), blocklist=("x",)), "x", ("blocklist", "blocked")),
        (ToolPolicy(fail_secure=False, blocklist=("x",)), "x", ("blocklist", "blocked")),
    ],
)
def test_lists(policy: ToolPolicy, tool: str, expected: tuple[str, str] | None) -> None:
    assert rule_of(ToolGate(policy).check(Session(), tool)) == expected


def test_velocity_is_over_a_sliding_window_and_all_sessions() -> None:
    clock = Clock()
    gate = ToolGate(ToolPolicy(max_velocity="2/30s"), clock)
    assert gate.check(Session(), "a") is None
    clock.now += 29
    assert gate.check(Session(), "b") is None
    refused = gate.check(Session(), "c")
    assert rule_of(refused) == ("velocity", "blocked")
    assert refused is not None
    assert refused.context == {"current_count": 2, "limit": 2}
    clock.now += 1  # the first call leaves the window, and the refused one never entered it
    assert gate.check(Session(), "c") is None
    assert gate.check(Session(), "d") is not None


def test_what_a_list_blocks_does_not_use_up_the_velocity() -> None:
    gate = ToolGate(ToolPolicy(max_velocity="1/30s", blocklist=("bad",)), Clock())
    for _ in range(3):
        assert rule_of(gate.check(Session(), "bad")) == ("blocklist", "blocked")
    assert gate.check(Session(), "good") is None


def test_depth_counts_calls_of_one_tool_in_a_row_in_one_session() -> None:
    gate = ToolGate(ToolPolicy(max_chain_depth=2))
    ours, others = Session(), Session()
    verdicts = [gate.check(ours, tool) for tool in ("a", "a", "b", "b")]
    assert verdicts == [None] * 4
    assert gate.check(others, "b") is None
    assert rule_of(gate.check(ours, "b")) == ("depth", "blocked")
    assert gate.check(ours, "a") is None


def test_the_token_budget_is_the_sessions() -> None:
    gate = ToolGate(ToolPolicy(max_tokens_per_session=100))
    assert gate.check(Session(tokens=99), "a") is None
    assert rule_of(gate.check(Session(tokens=100), "a")) == ("token_budget", "blocked")
    lenient = ToolGate(ToolPolicy(max_tokens_per_session=100, fail_secure=False))
    assert rule_of(lenient.check(Session(tokens=100), "a")) == ("token_budget", "logged")


def test_a_logged_violation_hides_none_that_blocks() -> None:
    rules = (
        {"match": "*", "action": "log", "reason": "seen"},
        {"match": "rm*", "action": "block", "reason": "no removing", "params": {"page": 4}},
    )
    gate = ToolGate(ToolPolicy(rules=rules))
    assert rule_of(gate.check(Session(), "ls")) == ("custom:seen", "logged")
    blocked = gate.check(Session(), "rm")
    assert rule_of(blocked) == ("custom:no removing", "blocked")
    assert blocked is not None
    assert blocked.context == {"page": 4}
    assert gate.violations == {"custom": 3}


@pytest.mark.parametrize(
    "policy",
    [
        ToolPolicy(max_velocity="fast"),
        ToolPolicy(max_velocity="0/10s"),
        ToolPolicy(max_velocity="4/0s"),
        ToolPolicy(max_velocity="999999999/1s"),
        ToolPolicy(rules=({"match": "x", "action": "deny", "reason": "r"},)),
        ToolPolicy(rules=({"action": "block", "reason": "r"},)),
        ToolPolicy(rules=({"match": "x", "action": "block", "reason": "r", "extra": 1},)),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(policy: ToolPolicy) -> None:
    with pytest.raises(ConfigError):
        ToolGate(policy)


def test_many_stars_cost_no_more_than_one() -> None:
    gate = ToolGate(ToolPolicy(blocklist=("*" * 64 + "b",)))
    assert gate.check(Session(), "a" * 512) is None


def test_sessions_are_bounded_and_the_quiet_ones_go_first() -> None:
    sessions = Sessions(most=2)
    sessions.of("a").tokens = 1
    sessions.of("b").tokens = 2
    assert sessions.of("a").tokens == 1
    sessions.of("c")
    assert (sessions.of("a").tokens, sessions.of("b").tokens) == (1, 0)


@pytest.fixture(scope="module")
def enforcer() -> Any:
    """The SDK's own engine: cut out of a module that needs a newer Python than ours."""
    package = importlib.util.find_spec("swt3_ai")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).with_name("witness.py").read_text()
    start = source.index("import re as _re")
    end = source.index('F = TypeVar("F"')
    head = (
        "import time\nfrom typing import Any, Optional\n"
        "class ChainPolicyViolation:\n"
        "    def __init__(self, **given): self.__dict__.update(given)\n"
        "class McpPolicyConfig: pass\n"
    )
    space: dict[str, Any] = {}
    exec(head + source[start:end], space)  # noqa: S102  the peer's code, as installed
    return space


names = st.text("ab.", min_size=1, max_size=3)
globs = st.lists(st.text("ab.*?", min_size=1, max_size=3), max_size=2).map(tuple)


@given(
    globs,
    globs,
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 4),
    st.booleans(),
    st.lists(names, max_size=8),
)
def test_the_sdk_blocks_nothing_that_is_allowed_here(
    enforcer: Any,
    allowlist: tuple[str, ...],
    blocklist: tuple[str, ...],
    depth: int | None,
    velocity: int | None,
    fail_secure: bool,
    tools: list[str],
) -> None:
    ours = ToolPolicy(
        allowlist, blocklist, f"{velocity}/600s" if velocity else None, depth, (), None, fail_secure
    )
    theirs = enforcer["McpPolicyConfig"]()
    theirs.tool_allowlist, theirs.tool_blocklist = list(allowlist), list(blocklist)
    theirs.max_velocity, theirs.max_chain_depth = ours.max_velocity, depth
    theirs.rules, theirs.fail_secure = [], fail_secure
    theirs.max_tokens_per_session = None
    gate, peer, session = ToolGate(ours), enforcer["ChainEnforcer"](theirs), Session()
    for tool in tools:
        expected = peer.check(tool)
        violation = gate.check(session, tool)
        if fail_secure:
            assert (violation and violation.rule) == (expected and expected.rule)
        elif expected is not None and expected.action == "blocked":
            assert violation is not None
            assert violation.action is Action.BLOCKED


def test_the_pattern_language_is_the_sdks_but_for_line_ends(enforcer: Any) -> None:
    assert enforcer["_glob_to_regex"]("a*").match("a\n\n") is None  # which is how to get around it
    gate = ToolGate(ToolPolicy(blocklist=("a*",)))
    assert gate.check(Session(), "a\n\n") is not None
    assert re.fullmatch("a.*", "a\n\n") is None
