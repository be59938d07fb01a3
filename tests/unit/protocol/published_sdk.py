"""Single modules of the published SDK, the peer that our rules must agree with.

The package as a whole needs a newer Python than ours; the modules used here do not.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load(name: str) -> ModuleType:
    package = importlib.util.find_spec("swt3_ai")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"published_sdk_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
