"""Measuring a model: the digest of its manifest, from the content of every file."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.collect.manifest import FileEntry, LinkEntry, ModelManifest
from swt3_agent.collect.measured_files import MeasuredFiles
from swt3_agent.collect.model_files import Problem, Tree, differences, hash_file, scan
from swt3_agent.errors import AgentError

Progress = Callable[[int, int], None]
"""Called with the bytes hashed so far and the bytes of the model, from any thread, one at a time.
"""

_MOST_PROBLEMS = 20  # listed; one unreadable directory may make thousands


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a model is. ``measured`` is None exactly where there are problems.

    ``base`` is the directory that the model's paths start from.
    """

    base: Path
    measured: MeasuredFiles | None
    files: int
    size: int
    problems: tuple[Problem, ...]

    @property
    def manifest(self) -> ModelManifest | None:
        """Every file with its digest; None where there are problems."""
        return None if self.measured is None else self.measured.manifest


def model_digest(path: Path, *, progress: Progress | None = None) -> str:
    """The manifest digest of the model at ``path``. Raises ``AgentError`` with its first problem,
    of the codes of collect/model_files.py."""
    found = measure_model(path, progress=progress)
    if found.manifest is None:
        problem = found.problems[0]
        raise AgentError(problem.code, problem.detail, remedy=problem.remedy)
    return found.manifest.digest()


def measure_model(
    path: Path,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    deadline: float = float("inf"),
) -> Measurement:
    """Hash every file of a model, and see whether it stood still meanwhile.

    ``deadline`` is a time of ``time.monotonic``; a model that is not done by then has a problem.
    """
    tree = scan(path)
    size = sum(stamp.size for stamp in tree.files.values())
    if tree.problems:
        return _measured(None, tree, size, tree.problems)
    digests, problems = _hash_all(tree, workers, _Advance(size, progress, deadline))
    problems += differences(tree, scan(path))
    if problems:
        return _measured(None, tree, size, problems)
    entries: list[FileEntry | LinkEntry] = [
        FileEntry(name, stamp.size, digests[name]) for name, stamp in tree.files.items()
    ]
    entries += [LinkEntry(name, target) for name, target in tree.links.items()]
    return _measured(ModelManifest.of(entries), tree, size, [])


def _measured(
    manifest: ModelManifest | None, tree: Tree, size: int, problems: Sequence[Problem]
) -> Measurement:
    distinct = sorted(set(problems), key=lambda problem: (problem.code, problem.detail))
    measured = None if manifest is None else MeasuredFiles(tree.base, tree.files, manifest)
    return Measurement(tree.base, measured, len(tree.files), size, tuple(distinct[:_MOST_PROBLEMS]))


class _Advance:
    """Counts what was hashed, reports it, and says when time is over."""

    def __init__(self, total: int, progress: Progress | None, deadline: float) -> None:
        self._total = total
        self._progress = progress
        self._deadline = deadline
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, size: int) -> bool:
        with self._lock:
            self._done += size
            if self._progress is not None:
                self._progress(self._done, self._total)
        return time.monotonic() < self._deadline


def _hash_all(
    tree: Tree, workers: int, advance: Callable[[int], bool]
) -> tuple[dict[str, str], list[Problem]]:
    """Digests by path, and problems. hashlib lets go of the interpreter lock, so threads help."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in sorted(tree.files, key=lambda name: -tree.files[name].size):
        waiting.put(name)  # the largest first, so that none is left to run alone at the end
    results: dict[str, str | Problem] = {}
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                name = waiting.get_nowait()
                results[name] = hash_file(tree.base, name, tree.files[name], advance)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failures.append(error)

    # Daemon threads: an agent that stops does not wait for terabytes.
    threads = [
        threading.Thread(target=work, name="hash-weights", daemon=True)
        for _ in range(min(workers, len(tree.files)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    digests = {name: found for name, found in results.items() if isinstance(found, str)}
    return digests, [found for found in results.values() if isinstance(found, Problem)]
