"""``python -m tests.fuzz [--seconds N] [TARGET …]``: look for inputs that break a parser.

Led by coverage where atheris is installed (``pip install atheris``); without it nothing is fuzzed
and that is said. What breaks a parser is left in a ``crash-*`` file: it belongs among the seeds.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

CANNOT = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401  only to see whether it is there
    except ImportError:
        print("tests.fuzz: atheris is not installed, so nothing was fuzzed", file=sys.stderr)
        return CANNOT
    names = arguments.targets or list(TARGETS)
    if arguments.child:
        _fuzz(names[0], arguments.seconds)
    broken = [name for name in names if not _run(name, arguments.seconds)]
    print("broken: " + ", ".join(broken) if broken else f"{len(names)} targets held")
    return 1 if broken else 0


def _run(name: str, seconds: int) -> bool:
    """Each target in a process of its own: libFuzzer ends the one it runs in."""
    command = [sys.executable, "-m", "tests.fuzz", "--child", "--seconds", str(seconds), name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = [line for line in result.stderr.splitlines() if line.startswith(("Done", "#"))]
    print(f"{name:<16} {'held' if result.returncode == 0 else 'BROKEN'}  {runs[-1:]}", flush=True)
    if result.returncode:
        print(result.stderr[-3000:], file=sys.stderr)
    return result.returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    import atheris

    from swt3_agent.errors import FormatError

    target = TARGETS[name]

    def once(data: bytes) -> None:
        try:
            target.parse(data)
        except FormatError:
            return

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-verbosity=1",
        ]
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *options, corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
