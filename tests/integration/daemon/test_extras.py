"""What each installation of the package can do: bare, with `verify`, with `agent`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import swt3_agent

VERIFY_NEEDS = ("cryptography", "msgspec", "zstandard", "cffi", "_cffi_backend", "pycparser")


def installation(directory: Path, *modules: str) -> Path:
    """A directory to import from that holds the package and these modules, and nothing else."""
    directory.mkdir()
    package = Path(next(iter(swt3_agent.__path__)))
    (directory / "swt3_agent").symlink_to(package)
    for name in modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)
    return directory


def run(site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    code = (
        f"import sys; sys.path[:0] = [{str(site)!r}]; from swt3_agent.cli import main; "
        f"sys.exit(main({list(arguments)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        cwd=site,
        check=False,
    )


def test_the_bare_package_says_which_extra_a_verb_needs(tmp_path: Path) -> None:
    site = installation(tmp_path / "site")
    assert run(site, "version").returncode == 0
    for verb, extra in (("verify", "verify"), ("run", "agent"), ("fsck", "agent")):
        refused = run(site, verb, "x")
        assert refused.returncode == 1
        assert f"swt3-agent[{extra}]" in refused.stderr


def test_the_bare_package_is_the_client(tmp_path: Path) -> None:
    site = installation(tmp_path / "site")
    code = f"import sys; sys.path[:0] = [{str(site)!r}]; from swt3_agent.client import Client, emit"
    done = subprocess.run([sys.executable, "-S", "-c", code], check=False, cwd=site)
    assert done.returncode == 0


def test_verify_runs_without_the_agent_s_dependencies(tmp_path: Path) -> None:
    site = installation(tmp_path / "site", *VERIFY_NEEDS)
    refused = run(site, "verify", os.devnull)
    assert "MISSING_EXTRA" not in refused.stderr
    assert refused.returncode in (3, 4), refused.stderr


@pytest.mark.parametrize("argument", ["--clearing-level", "--frobnicate"])
def test_an_unknown_option_is_a_usage_error(tmp_path: Path, argument: str) -> None:
    assert run(installation(tmp_path / "site"), "version", argument).returncode == 2
