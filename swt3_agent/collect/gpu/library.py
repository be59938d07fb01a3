"""Which NVML library is in use: load it by its file, and say what was mapped.

Whoever chooses the library chooses the evidence. The environment of the child is built from
nothing by its parent, so a soname lookup here goes through the system's own cache only; what was
mapped is then read from /proc/self/maps and hashed, whatever the lookup was told.
"""

import contextlib
import ctypes
import hashlib
import os
from pathlib import Path

from swt3_agent.collect.gpu.reading import LibraryReading

SONAME = "libnvidia-ml.so.1"
_CHUNK = 1 << 20


def load_library(path: Path | None) -> LibraryReading:
    """Map the NVML library and describe it. Raises ``OSError`` when it cannot be mapped.

    With ``path``, exactly that file is opened and loaded as /proc/self/fd/N: a later lookup of
    the soname by pynvml then finds it already loaded, also under a hostile LD_LIBRARY_PATH.
    """
    if path is None:
        ctypes.CDLL(SONAME)
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ctypes.CDLL(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        if not _is_loaded(SONAME):
            raise OSError(f"{path} was loaded, but its soname is not {SONAME}")
    return describe_mapped(Path("/proc/self/maps").read_text())


def _is_loaded(soname: str) -> bool:
    with contextlib.suppress(OSError):
        ctypes.CDLL(soname, mode=os.RTLD_NOLOAD)
        return True
    return False


def describe_mapped(maps: str) -> LibraryReading:
    """Describe the library that ``maps`` (the text of /proc/self/maps) shows as mapped."""
    mapped = _mapped_files(maps)
    if not mapped:
        raise OSError(f"{SONAME} was loaded, but no such file is mapped")
    path, inode = next(iter(mapped.items()))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        return LibraryReading(
            path=path,
            inode=str(inode),
            uid=status.st_uid,
            sha256=_digest(descriptor),
            consistent=len(mapped) == 1 and status.st_ino == inode,
        )
    finally:
        os.close(descriptor)


def _mapped_files(maps: str) -> dict[str, int]:
    """Path and inode of every mapped file that bears the name of an NVML library."""
    files = {}
    for line in maps.splitlines():
        columns = line.split(maxsplit=5)
        if len(columns) == 6 and Path(columns[5]).name.startswith("libnvidia-ml.so"):
            files[columns[5]] = int(columns[4])
    return files


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
