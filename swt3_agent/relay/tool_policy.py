"""May this tool be called? The rules of ``mcp_policy``, and what they have to remember.

The order is that of the public SDK's ChainEnforcer (docs/protocol.md 15): blocklist, allowlist,
velocity, depth, token budget, rules. That one stops at the first violation, even where it is only
logged; here such a violation hides no later one that blocks. Pure but for the clock it is given.
"""

import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from swt3_agent.config import ToolPolicy
from swt3_agent.errors import ConfigError

MOST_SESSIONS = 16_384
"""Remembered for each tenant; beyond, the one that has been quiet the longest is forgotten."""
MOST_CALLS = 100_000
"""In a velocity: when each call within the window was made is remembered."""

_VELOCITY = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})s?")
_RULE_KEYS = {"match", "action", "reason", "params"}


class Action(Enum):
    """What a violation leads to."""

    BLOCKED = "blocked"
    LOGGED = "logged"


@dataclass(frozen=True, slots=True)
class Violation:
    """``rule`` names the check that was failed: ``custom:REASON`` is one of the operator's own."""

    rule: str
    tool: str
    action: Action
    reason: str
    context: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """What is remembered of one peer process. ``agent_id`` is the one it has first signed as."""

    last_tool: str | None = None
    depth: int = 0
    tokens: int = 0
    agent_id: str | None = None


class Sessions:
    """The sessions of one tenant, those used last."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()

    def of(self, peer: Hashable) -> Session:
        """The session of ``peer``; a new one where none is remembered."""
        session = self._sessions.get(peer)
        if session is None:
            session = self._sessions[peer] = Session()
            if len(self._sessions) > self._most:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(peer)
        return session


class ToolGate:
    """One tenant's tool policy at work.

    Depth and tokens belong to a session. Velocity counts the calls of all sessions together: else
    a process would only have to start another one to be as fast as it likes.
    ``violations`` counts them by rule, the operator's own under ``custom``.
    """

    def __init__(self, policy: ToolPolicy, now_s: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigError for a policy that cannot be meant."""
        self._allowed = [_pattern(glob) for glob in policy.allowlist]
        self._blocked = [_pattern(glob) for glob in policy.blocklist]
        self._velocity = _velocity(policy.max_velocity)
        self._max_depth = policy.max_chain_depth
        self._max_tokens = policy.max_tokens_per_session
        self._rules = [_rule(place, rule) for place, rule in enumerate(policy.rules)]
        self._at_limits = Action.BLOCKED if policy.fail_secure else Action.LOGGED
        self._now_s = now_s
        self._calls: deque[float] = deque()
        self.violations: Counter[str] = Counter()

    @property
    def token_budget(self) -> int | None:
        """Tokens of a session; None where there is no limit."""
        return self._max_tokens

    def check(self, session: Session, tool: str) -> Violation | None:
        """What the policy has against a call of ``tool``; None where nothing.

        The call counts as made unless it is blocked before it is counted.
        """
        logged: Violation | None = None
        for violation in self._violations(session, tool):
            self.violations[violation.rule.partition(":")[0]] += 1
            if violation.action is Action.BLOCKED:
                return violation
            logged = logged or violation
        return logged

    def _violations(self, session: Session, tool: str) -> Iterator[Violation]:
        if any(pattern.fullmatch(tool) for pattern in self._blocked):
            yield Violation("blocklist", tool, Action.BLOCKED, f'Tool "{tool}" is on the blocklist')
        if self._allowed and not any(pattern.fullmatch(tool) for pattern in self._allowed):
            yield Violation(
                "allowlist", tool, Action.BLOCKED, f'Tool "{tool}" is not on the allowlist'
            )
        yield from self._at_velocity(tool)
        yield from self._at_depth(session, tool)
        if self._max_tokens is not None and session.tokens >= self._max_tokens:
            yield Violation(
                "token_budget",
                tool,
                self._at_limits,
                f"Token budget exceeded: {session.tokens} tokens consumed, limit is "
                f"{self._max_tokens}",
                {"current_tokens": session.tokens, "limit": self._max_tokens},
            )
        for pattern, action, reason, params in self._rules:
            if pattern.fullmatch(tool):
                yield Violation(f"custom:{reason}", tool, action, reason, params)

    def _at_velocity(self, tool: str) -> Iterator[Violation]:
        if self._velocity is None:
            return
        most, window_s = self._velocity
        now = self._now_s()
        while self._calls and self._calls[0] <= now - window_s:
            self._calls.popleft()
        if len(self._calls) < most:
            self._calls.append(now)
            return
        yield Violation(
            "velocity",
            tool,
            self._at_limits,
            f"Rate limit exceeded: {most} calls per {window_s}s",
            {"current_count": len(self._calls), "limit": most},
        )

    def _at_depth(self, session: Session, tool: str) -> Iterator[Violation]:
        if self._max_depth is None:
            return
        session.depth = session.depth + 1 if tool == session.last_tool else 1
        session.last_tool = tool
        if session.depth > self._max_depth:
            yield Violation(
                "depth",
                tool,
                self._at_limits,
                f"Chain depth {session.depth} exceeds max {self._max_depth}",
                {"current_depth": session.depth, "max_depth": self._max_depth},
            )


_Rule = tuple["re.Pattern[str]", Action, str, Mapping[str, object]]


def _pattern(glob: str) -> "re.Pattern[str]":
    """``*`` stands for any characters, ``?`` for one, line ends included: to match must not be
    avoided by adding one."""
    escaped = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(re.sub(r"(\.\*)+", ".*", escaped), re.DOTALL)


def _velocity(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = _VELOCITY.fullmatch(text)
    if parts is None or int(parts[1]) > MOST_CALLS:
        raise _unusable(
            "max_velocity",
            f"is {text!r}",
            f"write CALLS/SECONDSs, such as 4/30s, up to {MOST_CALLS}",
        )
    return int(parts[1]), int(parts[2])


def _rule(place: int, rule: Mapping[str, object]) -> _Rule:
    glob, action, reason = rule.get("match"), rule.get("action"), rule.get("reason")
    params = rule.get("params") or {}
    if (
        not isinstance(glob, str)
        or not isinstance(reason, str)
        or not isinstance(params, Mapping)
        or action not in ("block", "log")
        or not rule.keys() <= _RULE_KEYS
    ):
        raise _unusable(
            f"rules[{place}]",
            "is no rule",
            "give match (a pattern), action (block or log), reason, and perhaps params",
        )
    return _pattern(glob), Action.BLOCKED if action == "block" else Action.LOGGED, reason, params


def _unusable(key: str, fault: str, remedy: str) -> ConfigError:
    return ConfigError("CONFIG_VALUE", f"mcp_policy.{key} {fault}", remedy=remedy)
