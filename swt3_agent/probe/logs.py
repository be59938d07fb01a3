"""Reading a log of the kernel from securityfs: fixed files, bounded memory."""

import errno
import os
import stat
from pathlib import Path

from swt3_agent.probe.wire import Lack, Lacking, Log, Question

SECURITY = Path("sys/kernel/security")
PLACES: dict[Log, tuple[str, ...]] = {
    Log.BOOT: ("tpm0/binary_bios_measurements",),
    # Kernels with a list for each bank keep the first name too, for SHA-1: a log has one form.
    Log.IMA: ("ima/binary_runtime_measurements", "ima/binary_runtime_measurements_sha256"),
}
_PIECE = 256 * 1024

_LACKS = {
    errno.ENOENT: Lacking.LOG_ABSENT,
    errno.ENOTDIR: Lacking.LOG_ABSENT,
    errno.ENODEV: Lacking.LOG_ABSENT,
    errno.ENXIO: Lacking.LOG_ABSENT,
    errno.EACCES: Lacking.LOG_DENIED,
    errno.EPERM: Lacking.LOG_DENIED,
    errno.EBUSY: Lacking.LOG_BUSY,
    errno.EAGAIN: Lacking.LOG_BUSY,
}


def read_log(question: Question, root: Path = Path("/")) -> tuple[bytes, int | None] | Lack:
    """The bytes that are asked for, and the log's size where its end was seen.

    ``root`` is where ``sys/kernel/security`` lies.
    """
    try:
        descriptor = _open(root / SECURITY, PLACES[question.log])
        try:
            return _read(descriptor, question)
        finally:
            os.close(descriptor)
    except OSError as error:
        number = error.errno or 0
        code = _LACKS.get(number, Lacking.LOG_FAILED)
        return Lack(code, errno.errorcode.get(number, "-"))


def _open(directory: Path, names: tuple[str, ...]) -> int:
    """The first of these that is there. Raises OSError."""
    for name in names[:-1]:
        try:
            return _open_file(directory / name)
        except FileNotFoundError:
            continue
    return _open_file(directory / names[-1])


def _open_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no file")
    return descriptor


def _read(descriptor: int, question: Question) -> tuple[bytes, int | None] | Lack:
    """At most ``log.value`` bytes from the offset.

    These files have no size and take any offset. So reading begins a byte before it: one that lies
    beyond the end, because the log is another boot's, gives nothing at all.
    """
    before = 1 if question.offset else 0
    os.lseek(descriptor, question.offset - before, os.SEEK_SET)
    most = question.log.value + before
    data = bytearray()
    while len(data) <= most:  # a byte more than is sent says that there is more
        piece = os.read(descriptor, min(_PIECE, most + 1 - len(data)))
        if not piece:
            break
        data += piece
    if len(data) < before:
        return Lack(Lacking.LOG_SHORTER)
    del data[:before]
    if len(data) <= question.log.value:
        return bytes(data), question.offset + len(data)
    if question.log is Log.BOOT:
        return Lack(Lacking.LOG_TOO_LARGE)
    del data[question.log.value :]
    return bytes(data), None
