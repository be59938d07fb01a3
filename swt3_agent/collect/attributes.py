"""Small files of the kernel, below /sys and /proc: one value each, read within bounds."""

import os
from pathlib import Path


def read_attribute(path: Path, most_bytes: int) -> str:
    """The beginning of the file as text without surrounding space. Raises ``OSError``.

    Where something else lies under that name, a FIFO say, nobody is waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)
