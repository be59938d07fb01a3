"""The files of a model: which there are, and their SHA-256, without being led astray.

Nothing outside the model is read, no special file is opened, no loop is followed. What changes
while it is read is said and never hashed into a digest: see :func:`differences`.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

MOST_FILES = 20_000
"""Entries of all directories together, whatever they are: none is read without end."""

DEEPEST = 32
_BUFFER = 1 << 20  # bytes; from 64 KiB to 4 MiB hashlib runs at the same rate


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a model has no digest: a stable code, what was found, and what to do about it."""

    code: str
    detail: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        """The problem as a claim."""
        return {"code": self.code, "detail": self.detail, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file does. ctime is set by the kernel: a forged mtime shows in it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


@dataclass(slots=True)
class Tree:
    """Files and links of a model by path relative to ``base``, and what stands in the way."""

    base: Path
    files: dict[str, Stamp] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    entries: int = 0


def scan(path: Path) -> Tree:
    """Find everything below ``path``, or the one file that it is. Problems are in the tree.

    ``path`` itself may be a symbolic link: whoever configured it meant what it leads to.
    """
    try:
        root = Path(os.path.realpath(path, strict=True))
        status = root.stat()
        if stat.S_ISDIR(status.st_mode):
            tree = Tree(root)
            _scan_directory(tree, root, depth=0)
        else:
            tree = Tree(root.parent)
            _add(tree, root.name, root, status)
    except OSError as error:
        looped = error.errno == errno.ELOOP
        problem = _loop(str(path)) if looped else _unreadable(str(path), error, "MODEL_MISSING")
        return Tree(path, problems=[problem])
    if not tree.files and not tree.problems:
        tree.problems.append(
            Problem("MODEL_EMPTY", f"{path} holds no file", "name the directory of the weights")
        )
    return tree


def _scan_directory(tree: Tree, directory: Path, depth: int) -> None:
    if depth > DEEPEST:
        tree.problems.append(_too_much(tree, f"directories more than {DEEPEST} deep"))
        return
    with os.scandir(directory) as entries:
        paths = sorted(entry.path for entry in islice(entries, MOST_FILES + 1 - tree.entries))
    tree.entries += len(paths)
    if tree.entries > MOST_FILES:
        tree.problems.append(_too_much(tree, f"more than {MOST_FILES} files and directories"))
        return
    for path in paths:
        if tree.entries > MOST_FILES:
            return
        _scan_entry(tree, Path(path), depth)


def _scan_entry(tree: Tree, path: Path, depth: int) -> None:
    name = path.relative_to(tree.base).as_posix()
    try:
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            _scan_directory(tree, path, depth + 1)
        elif stat.S_ISLNK(status.st_mode):
            _add_link(tree, name, path)
        else:
            _add(tree, name, path, status)
    except OSError as error:
        tree.problems.append(_unreadable(name, error, "FILE_VANISHED"))


def _add(tree: Tree, name: str, path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        tree.problems.append(
            Problem(
                "FILE_SPECIAL",
                f"{path} is neither a file nor a directory",
                "remove it from the model: it has no content that could be digested",
            )
        )
    elif not _is_text(name):
        tree.problems.append(
            Problem(
                "FILE_NAME",
                f"the name {name.encode('utf-8', 'backslashreplace').decode()} is not UTF-8",
                "rename the file",
            )
        )
    else:
        tree.files[name] = Stamp.of(status)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _add_link(tree: Tree, name: str, path: Path) -> None:
    try:
        target = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        if error.errno == errno.ELOOP:
            tree.problems.append(_loop(name))
            return
        if not isinstance(error, FileNotFoundError):
            raise
        tree.problems.append(
            Problem(
                "LINK_DANGLING",
                f"{name} is a link to a file that does not exist",
                "complete the download of the model, or remove the link",
            )
        )
        return
    if not target.is_relative_to(tree.base):
        tree.problems.append(
            Problem(
                "LINK_OUTSIDE",
                f"{name} is a link that leads out of the model",
                "name the directory that holds both, in a Hugging Face cache the one called "
                "models--…, or copy the file to its place",
            )
        )
    else:
        tree.links[name] = target.relative_to(tree.base).as_posix()


def hash_file(base: Path, name: str, stamp: Stamp, go_on: Callable[[int], bool]) -> str | Problem:
    """SHA-256 of the file in hex, or why there is none.

    ``go_on`` is told the size of each piece that was hashed; when it returns False the hashing
    ends with MODEL_TIMEOUT.
    """
    return examine(base, name, stamp, lambda file: _hash(file, name, stamp, go_on))


def examine(base: Path, name: str, stamp: Stamp, look: Callable[[int], Found]) -> Found | Problem:
    """What ``look`` finds through a descriptor of the file, if that is the one of ``stamp`` before
    and after."""
    try:
        # A FIFO that took the file's place must not block us, nor a link lead us away.
        descriptor = os.open(
            base / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
    except OSError as error:
        return _unreadable(name, error, "FILE_VANISHED")
    try:
        if Stamp.of(os.fstat(descriptor)) != stamp:
            return _changed(name)
        found = look(descriptor)
        if isinstance(found, Problem) or Stamp.of(os.fstat(descriptor)) == stamp:
            return found
        return _changed(name)
    except OSError as error:
        return _unreadable(name, error, "FILE_VANISHED")
    finally:
        os.close(descriptor)


def _hash(descriptor: int, name: str, stamp: Stamp, go_on: Callable[[int], bool]) -> str | Problem:
    digest = hashlib.sha256()
    size = 0
    for piece in _pieces(descriptor):
        digest.update(piece)
        size += len(piece)
        if size > stamp.size:  # somebody appends: do not read after him for ever
            return _changed(name)
        if not go_on(len(piece)):
            return Problem(
                "MODEL_TIMEOUT",
                f"hashing was ended while it read {name}: its time was over",
                "see whether its disk is slow; all models together must be read within that time",
            )
    return digest.hexdigest()


def _pieces(descriptor: int) -> Iterator[memoryview]:
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    while size := os.readv(descriptor, [buffer]):
        yield view[:size]


def differences(before: Tree, after: Tree) -> list[Problem]:
    """What became of a model between two scans; nothing, if its digest shall mean anything."""
    problems = list(after.problems)
    for name in before.files.keys() | before.links.keys():
        if name not in after.files and name not in after.links:
            problems.append(_vanished(name))
        elif before.files.get(name) != after.files.get(name) or (
            before.links.get(name) != after.links.get(name)
        ):
            problems.append(_changed(name))
    appeared = (after.files.keys() | after.links.keys()) - before.files.keys() - before.links.keys()
    problems += [_changed(name) for name in appeared]
    return problems


def _unreadable(name: str, error: OSError, missing: str) -> Problem:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if missing == "FILE_VANISHED":
            return _vanished(name)
        return Problem(missing, f"{name} does not exist", "check the path of the model")
    if isinstance(error, PermissionError):
        return Problem(
            "MODEL_DENIED",
            f"{name} may not be read by this process",
            "give the agent's user read access to every file and directory of the model",
        )
    if error.errno == errno.ELOOP:
        return _changed(name)  # a link took the place of a file; a loop is told before
    return Problem("FILE_UNREADABLE", f"{name} cannot be read: {error}", "check the file system")


def _changed(name: str) -> Problem:
    return Problem(
        "FILE_CHANGED",
        f"{name} changed while the model was read",
        "read the model again when nobody writes to it",
    )


def _vanished(name: str) -> Problem:
    return Problem(
        "FILE_VANISHED",
        f"{name} vanished while the model was read",
        "read the model again when nobody writes to it",
    )


def _loop(name: str) -> Problem:
    return Problem("LINK_LOOP", f"{name} is a link that leads back to itself", "remove the link")


def _too_much(tree: Tree, what: str) -> Problem:
    return Problem(
        "MODEL_TOO_LARGE",
        f"{tree.base} holds {what}",
        "name the directory of one model only",
    )
