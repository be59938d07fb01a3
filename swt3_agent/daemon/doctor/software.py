"""The interpreter, what it imports, and what may be slipped into it."""

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from swt3_agent.daemon.doctor.finding import Finding, failure, good, warning

SUBJECT = "software"
OLDEST, NEWEST = (3, 10), (3, 13)
MODULES = {
    "tpm2_pytss": "no TPM can be used",
    "pynvml": "no GPU of NVIDIA can be read",
    "httpx": "no ledger can be delivered to",
}
LOADER_VARIABLES = ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT")


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Iterator[Finding]:
    """Whether this is an interpreter that the agent is tested with."""
    name = "Python " + ".".join(map(str, version))
    if OLDEST <= version <= NEWEST:
        yield good(SUBJECT, name)
    else:
        remedy = "use Python 3.10 to 3.13"
        yield warning(SUBJECT, "PYTHON_UNTESTED", f"{name} is not tested", remedy)


def check_modules(modules: Mapping[str, str] = MODULES) -> Iterator[Finding]:
    """Whether what the extra `agent` brings is there."""
    for module, consequence in modules.items():
        if importlib.util.find_spec(module) is None:
            detail = f"the Python module {module} is missing: {consequence}"
            yield failure(SUBJECT, "MISSING_EXTRA", detail, "pip install 'swt3-agent[agent]'")


def check_loader(variables: Mapping[str, str], whose: str) -> Iterator[Finding]:
    """Whether the loader is told to put other code into a process of ours."""
    for name in LOADER_VARIABLES:
        if variables.get(name):
            detail = f"{name} is set for {whose}: libraries of others run inside it"
            yield warning(SUBJECT, "LOADER_VARIABLE", detail, f"start it without {name}")


def environment_of(pid: int, proc: Path = Path("/proc")) -> Mapping[str, str]:
    """The environment that process ``pid`` was started with. Raises OSError."""
    entries: Iterable[str] = (proc / str(pid) / "environ").read_text("utf-8", "replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
