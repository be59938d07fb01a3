"""The one tree of errors.

Each error says what happened, to what, and what to do about it; ``code`` is stable and
machine-readable, ``exit_code`` is what the command line returns (docs/formats.md, "Exit codes").
"""

from typing import ClassVar


class AgentError(Exception):
    """Root of the tree. ``str(error)`` says what happened and to what."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class UsageError(AgentError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class ConfigError(AgentError):
    """A configuration value is missing, unknown or out of range."""

    exit_code = 78


class FormatError(AgentError):
    """Bytes that are not what a pinned format says they must be."""


class StateError(AgentError):
    """The state directory cannot be used: absent, another's, locked, read-only, too new."""


class JournalError(AgentError):
    """The journal cannot take or give a record. ``retryable`` tells a producer to keep it."""

    def __init__(self, code: str, message: str, *, remedy: str, retryable: bool = False) -> None:
        super().__init__(code, message, remedy=remedy)
        self.retryable = retryable


class TpmError(AgentError):
    """The TPM is absent, denied, busy or failed: ``code`` starts with ``TPM_`` and says which."""


class RemoteError(AgentError):
    """The daemon at the other end of a socket is absent, denied, or answered with an error."""


class MissingExtraError(AgentError):
    """A verb needs a dependency of an extra that is not installed."""
