"""The bearer token of the agent's TCP listener."""

import re
from pathlib import Path

from swt3_agent.config.settings import HttpSettings
from swt3_agent.errors import ConfigError

_TOKEN = re.compile("[!-~]{16,512}")
_MAX_FILE_BYTES = 4096


def read_token(settings: HttpSettings) -> str:
    """The token in ``agent.http.token_file``, without the white space around it.

    Raises ConfigError where there is no such setting, file or token.
    """
    if settings.token_file is None:
        raise ConfigError(
            "CONFIG_VALUE",
            "HTTP is served on TCP, and agent.http.token_file is not set",
            remedy="name a file that holds the bearer token which clients must show",
        )
    path = Path(settings.token_file)
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(
            "CONFIG_VALUE",
            f"agent.http.token_file {path} cannot be read: {error.strerror}",
            remedy="check the path and its permissions",
        ) from error
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError(
            "CONFIG_VALUE",
            f"agent.http.token_file {path} holds no token of 16 to 512 printable characters",
            remedy="write one into it; the public SDKs want it to begin with axm_",
        )
    return token
