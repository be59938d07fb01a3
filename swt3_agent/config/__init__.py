"""What the agent was told to do: environment over agent.yaml over profile over defaults.

Two kinds of keys share the file: those of the SWT3 clients at the top level, and the agent's
own under ``agent:``, since clients refuse keys that they do not know.
Unknown and repeated keys are refused with a suggestion: a key that is silently ignored is a
setting that its author believes in. ``docs/configuration.md`` lists every key.

Where a rule lives: keys, types and bounds in ``file_settings`` (clients' keys) and ``settings``
(``agent:``), what types cannot say in ``checks``; variables in ``environment``, the connection
string in ``dsn``, secrets in ``credentials``; who wins in ``layers``, what cannot be loosened in
``floors``, and the order of it all in ``loading``. ``values`` is what the rest of the agent reads.
"""

from swt3_agent.config.loading import Examination, examine, load_config
from swt3_agent.config.masking import Shown, shown_settings
from swt3_agent.config.profile import Profile, load_profile, profile_names
from swt3_agent.config.values import (
    DEFAULT_FILE,
    DEFAULT_SOCKET,
    DEFAULT_STATE_DIR,
    NO_TPM,
    Cadence,
    Config,
    Labels,
    Ledger,
    Required,
    SigningKey,
    ToolPolicy,
    is_hardware,
)

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_SOCKET",
    "DEFAULT_STATE_DIR",
    "NO_TPM",
    "Cadence",
    "Config",
    "Examination",
    "Labels",
    "Ledger",
    "Profile",
    "Required",
    "Shown",
    "SigningKey",
    "ToolPolicy",
    "examine",
    "is_hardware",
    "load_config",
    "load_profile",
    "profile_names",
    "shown_settings",
]
