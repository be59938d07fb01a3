"""Packages that open with a map of their modules leave none out."""

import re
from pathlib import Path

import pytest

import swt3_agent

PACKAGE = Path(swt3_agent.__file__).parent
MAPPED = (
    "daemon",
    "protocol",
    "relay",
    "relay/delivery",
    "store",
    "store/bundle",
    "store/custody",
    "store/fsck",
    "tcg",
    "tcg/event_log",
    "tcg/ima_log",
    "tpm",
    "verify",
    "verify/bundle",
    "verify/enrolment",
)


@pytest.mark.parametrize("package", MAPPED)
def test_every_module_is_on_the_map(package: str) -> None:
    directory = PACKAGE / package
    text = (directory / "__init__.py").read_text().split('"""')[1]
    modules = {path.stem for path in directory.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in directory.glob("*/__init__.py")}
    assert modules | packages <= set(re.findall("[a-z0-9_]+", text))
