"""Secrets: where they come from, and whether the files that hold them are kept as such."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from swt3_agent.config.documents import is_there
from swt3_agent.config.dsn import API_KEY
from swt3_agent.config.layers import Merged
from swt3_agent.config.problems import Findings
from swt3_agent.errors import FormatError
from swt3_agent.protocol.custodian import MAX_PEM_BYTES, read_recipient

LEDGER_CREDENTIAL = "ledger-key"
SIGNING_CREDENTIAL = "signing-key"

_VARIABLE = re.compile("[A-Z_][A-Z0-9_]{0,127}")
"""Names that may be shown; where another stands, somebody may have written the secret itself."""

_MAX_SECRET_BYTES = 64 * 1024
_LOOK_AWAY = stat.S_IROTH | stat.S_IWOTH


def resolve_secrets(merged: Merged, environ: Mapping[str, str], findings: Findings) -> None:
    """Put the values of ``api_key`` and ``signing_key`` into the document.

    A variable that ``*_env`` names, else a credential of the service manager. One that is named
    and not there is a lack: verbs that only look need no secrets.
    """
    for key, credential in (("api_key", LEDGER_CREDENTIAL), ("signing_key", SIGNING_CREDENTIAL)):
        variable = merged.document.pop(f"{key}_env", None)
        if key in merged.document:
            if variable is not None:
                findings.bad_value(f"{key}_env", f"is there beside {key}", "give one of the two")
        elif variable is not None:
            _from_variable(merged, key, variable, environ, findings)
        else:
            _from_credential(merged, key, credential, environ, findings)


def _from_variable(
    merged: Merged, key: str, variable: str, environ: Mapping[str, str], findings: Findings
) -> None:
    looks_like_one = _VARIABLE.fullmatch(variable) is not None
    if value := environ.get(variable):
        _put(merged, key, value, f"${variable}" if looks_like_one else f"{key}_env")
        return
    shown = variable if looks_like_one else "that is named there (it is not shown)"
    findings.lack(
        "CONFIG_SECRET",
        f"{key}_env",
        f"{key}_env names the variable {shown}, which is not set",
        "give the name of a variable, never the secret itself, and set that variable for the"
        " agent, for instance in its unit's environment file",
    )


def _from_credential(
    merged: Merged, key: str, name: str, environ: Mapping[str, str], findings: Findings
) -> None:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    if path is None or not is_there(path):
        return
    if value := read_secret(path, f"credential {name}", findings):
        _put(merged, key, value, f"credential {name}")


def _put(merged: Merged, key: str, value: str, origin: str) -> None:
    merged.document[key] = value
    merged.origins[key] = origin


def read_secret(path: Path, key: str, findings: Findings) -> str | None:
    """The text of a file that holds a secret; None, and a lack, where it cannot be used."""
    if not check_secret_file(path, key, findings):
        return None
    with path.open("rb") as stream:
        data = stream.read(_MAX_SECRET_BYTES + 1)
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > _MAX_SECRET_BYTES or not text.isprintable():
        _lack(key, f"{path} holds no secret in one line of ASCII", "write it there", findings)
        return None
    return text


def check_secret_file(path: Path, key: str, findings: Findings) -> bool:
    """Whether the file can be read by the agent and not by everybody; a lack where not."""
    if not check_readable(path, key, findings):
        return False
    mode = path.stat().st_mode
    if mode & _LOOK_AWAY:
        _lack(key, f"{path} is open to everybody", f"chmod 0640 {path}", findings)
        return False
    return True


def check_readable(path: Path, key: str, findings: Findings) -> bool:
    """Whether the agent can read this file; a lack where not."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)  # opening a pipe would wait for its writer
        if is_file:
            path.open("rb").close()
    except OSError as error:
        _lack(key, f"{path} cannot be read: {error.strerror}", "check path and owner", findings)
        return False
    if not is_file:
        _lack(key, f"{path} is no file", "name a file", findings)
    return is_file


def check_recipient(path: Path, key: str, findings: Findings) -> None:
    """A lack where the file holds no custodian's public key, so that custody would not open."""
    if not check_readable(path, key, findings):
        return
    with path.open("rb") as stream:
        pem = stream.read(MAX_PEM_BYTES + 1)
    try:
        read_recipient(pem)
    except FormatError as error:
        _lack(key, f"{path}: {error.message}", error.remedy, findings)


def check_token_file(path: Path, key: str, findings: Findings) -> None:
    """A lack where the file holds no bearer token of the form that clients send."""
    token = read_secret(path, key, findings)
    if token is not None and API_KEY.fullmatch(token) is None:
        _lack(
            key,
            f"{path} holds no token: clients send only keys that begin with axm_",
            'write one: printf axm_%s "$(openssl rand -hex 32)"',
            findings,
        )


def _lack(key: str, message: str, remedy: str, findings: Findings) -> None:
    findings.lack("CONFIG_FILE", key, f"{key}: {message}", remedy)
