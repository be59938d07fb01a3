"""Whether the kernel's clock is synchronised, as adjtimex(2) says."""

import ctypes
import os
from dataclasses import dataclass

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex of the C library, 64-bit (linux/timex.h)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("rest", ctypes.c_byte * 256),  # more than the C library writes
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """``max_error_us``: the kernel's bound of its error; it grows while nothing disciplines it."""

    synchronised: bool
    max_error_us: int
    estimated_error_us: int


def read_clock() -> ClockState:
    """Ask the kernel, changing nothing. Raises ``OSError`` where the call is not allowed.

    Not to know is not to be synchronised: the caller must not turn the error into a True.
    """
    library = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    state = library.adjtimex(ctypes.byref(timex))
    if state < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"adjtimex: {os.strerror(code)}")
    return ClockState(
        synchronised=state != _TIME_ERROR and not timex.status & _STA_UNSYNC,
        max_error_us=timex.maxerror,
        estimated_error_us=timex.esterror,
    )
