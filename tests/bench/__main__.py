"""``python -m tests.bench [NAME ...]``: run the benchmarks, all or those named, print tables.

Every module here with a function ``run() -> list[Row]`` is a benchmark.
"""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

from tests.bench.table import render


def main(names: list[str]) -> int:
    """Run the named benchmarks; a missed goal is marked and counted. Exit code 2: unknown name."""
    here = Path(__file__).parent
    modules = {
        info.name: import_module(f"tests.bench.{info.name}")
        for info in pkgutil.iter_modules([str(here)])
        if info.name != "__main__"
    }
    benches = {name: module for name, module in modules.items() if hasattr(module, "run")}
    unknown = [name for name in names if name not in benches]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(benches)}")
        return 2
    missed = 0
    for name in names or benches:
        print(f"\n{name}: {(benches[name].__doc__ or name).splitlines()[0]}\n", flush=True)
        rows = benches[name].run()
        print(render(rows), flush=True)
        missed += sum(row.reached is False for row in rows)
    print(f"\n{missed} goals missed, marked !" if missed else "\nevery goal reached")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
