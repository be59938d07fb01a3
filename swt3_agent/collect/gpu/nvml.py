"""What the child processes that ask NVML have in common: the library, its calls, the report.

A process of its own for each reading: an open NVML handle blocks a driver upgrade and a GPU reset,
a wedged driver must not wedge the agent, and pynvml cannot load another library later.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.library import load_library
from swt3_agent.collect.gpu.reading import Failure, Number, Report, Text, Unreadable

Read = Callable[["Nvml"], Report]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Nvml:
    """pynvml, unmodified, with errors turned into :class:`Unreadable`."""

    def __init__(self, pynvml: Any) -> None:
        self.api = pynvml

    def ask(self, function: str, *arguments: object) -> Any:
        """Call ``function``; the result, or an :class:`Unreadable`."""
        try:
            return getattr(self.api, function)(*arguments)
        except self.api.NVMLError as error:
            return Unreadable(error.value)
        except UnicodeDecodeError:  # pynvml decodes what the firmware wrote
            return Unreadable(reading.UNKNOWN)

    def devices(self) -> list[Any]:
        """A handle for each GPU, or why there is none. Raises NVMLError where none is counted."""
        count = self.api.nvmlDeviceGetCount()
        return [self.ask("nvmlDeviceGetHandleByIndex", index) for index in range(count)]

    def number(self, function: str, *arguments: object) -> Number:
        answer = self.ask(function, *arguments)
        return answer if isinstance(answer, Unreadable) else exact(answer)

    def text(self, function: str, *arguments: object) -> Text:
        answer = self.ask(function, *arguments)
        if isinstance(answer, bytes):
            return answer.decode("utf-8", "backslashreplace")
        return answer if isinstance(answer, Unreadable) else str(answer)

    def several(self, count: int, function: str, *arguments: object) -> list[Number]:
        """A call that fills several values: all of them, or its error in the place of each."""
        answer = self.ask(function, *arguments)
        if isinstance(answer, Unreadable):
            return [answer] * count
        return [exact(value) for value in answer]

    def field(self, device: object, identifier: int, scope: int = 0) -> Number:
        """One value of nvmlDeviceGetFieldValues; it has an error code of its own."""
        answer = self.ask("nvmlDeviceGetFieldValues", device, [(identifier, scope)])
        if isinstance(answer, Unreadable):
            return answer
        value = answer[0]
        if value.nvmlReturn:
            return Unreadable(value.nvmlReturn)
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
        if value.valueType >= len(member):
            return Unreadable(reading.UNKNOWN)
        return exact(getattr(value.value, member[value.valueType]))


def exact(value: float) -> Number:
    """An integer that JSON carries exactly; what is beyond that is no reading but a sentinel."""
    number = int(value)
    return number if abs(number) < 2**53 else Unreadable(reading.UNKNOWN)


def take_reading(library: Path | None, read: Read) -> Report:
    """Load the library, ask it, shut it down. Every failure is in the report."""
    try:
        mapped = load_library(library)
    except OSError as error:
        return Report(failure=_library_failure(error))
    try:
        import pynvml  # only now: it shall find the library that is mapped already
    except ImportError as error:
        return Report(library=mapped, failure=Failure("binding", 0, str(error)))
    try:
        pynvml.nvmlInit()
        report = read(Nvml(pynvml))
    except pynvml.NVMLError as error:
        return Report(library=mapped, failure=Failure("init", error.value, str(error)))
    with contextlib.suppress(pynvml.NVMLError):  # all that was to be read has been read
        pynvml.nvmlShutdown()
    return msgspec.structs.replace(report, library=mapped)


def _library_failure(error: OSError) -> Failure:
    # dlopen gives no errno, only its sentence; the parent has set the C locale.
    denied = isinstance(error, PermissionError) or any(
        words in str(error) for words in ("Permission denied", "Operation not permitted")
    )
    code = reading.NO_PERMISSION if denied else reading.LIBRARY_NOT_FOUND
    return Failure("library", code, str(error))


def _end_with_parent() -> None:
    """Be killed when the thread that started us ends: it waits for us, unless its agent ended.

    One that ended before we asked for that has left the other end of our output closed.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = select.poll()
    output.register(1, 0)
    if any(event & select.POLLERR for _, event in output.poll(0)):
        sys.exit("nobody reads the report")


def serve(arguments: Sequence[str], read: Read) -> int:
    """Print one report on standard output, which nothing else can write to.

    ``arguments`` are those of the command line: ``--library FILE`` or none.
    """
    _end_with_parent()
    output = os.dup(1)  # not inherited, so that no helper that the driver starts holds it open
    os.dup2(2, 1)
    library = Path(arguments[1]) if arguments[:1] == ["--library"] else None
    report = msgspec.json.encode(take_reading(library, read))
    with os.fdopen(output, "wb") as stream:
        stream.write(report)
    return 0
