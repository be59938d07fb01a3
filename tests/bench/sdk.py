"""Modules of the public SDK, one at a time.

Its package cannot be imported before Python 3.12 for the sake of one f-string, in a module that no
benchmark needs.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def sdk_module(name: str) -> ModuleType:
    """``swt3_ai.<name>`` without running the package's own initialisation."""
    if "swt3_ai" not in sys.modules:
        spec = find_spec("swt3_ai")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError("swt3-ai is not installed; run make setup")
        package = ModuleType("swt3_ai")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["swt3_ai"] = package
    return import_module(f"swt3_ai.{name}")
