"""The TPM of ``fake_tpm`` with an NV counter, and interruptions before or after any command."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from swt3_agent.errors import TpmError
from swt3_agent.tcg.nv_public import COUNTER_ATTRIBUTES, NvAttribute
from tests.unit.store.fake_tpm import FakeTpm, Quoted
from tests.unit.tcg.vectors import SIGNATURE_DER

INDEX = 0x01800053


class KilledError(Exception):
    """The agent's process is no more."""


@dataclass(frozen=True)
class Reading:
    index: int
    public: bytes
    value: int
    defined: bool


@dataclass(frozen=True)
class Signed:
    attest: bytes
    signature_der: bytes


@dataclass(frozen=True)
class Clock:
    clock_ms: int
    reset_count: int
    restart_count: int = 0
    safe: bool = True


@dataclass
class CountingTpm(FakeTpm):
    """``interruption`` is raised at the command number ``at``, before it or once it is done."""

    value: int | None = None
    highest: int = 0
    at: int | None = None
    afterwards: bool = False
    interruption: type[Exception] = KilledError
    moves: list[str] = field(default_factory=list)

    def interrupt(self, at: int, *, afterwards: bool, by: type[Exception]) -> None:
        """Let the command ``at`` from now on, from 0, be the last one for a while."""
        self.at, self.afterwards, self.interruption = at, afterwards, by

    def extend_and_quote(self, body: bytes) -> Quoted:
        with self._command("extend"):
            return super().extend_and_quote(body)

    def open_counter(self, index: int, *, define: bool) -> Reading:
        with self._command("open"):
            defined = self.value is None
            if defined and not define:
                raise TpmError("TPM_COUNTER_GONE", "it is not there", remedy="define it")
            if self.value is None:
                self.value = self.highest + 1
            return Reading(index, public_area(index), self.value, defined)

    def certify_counter(self, index: int, extra: bytes) -> Signed:
        with self._command("certify"):
            assert self.value is not None
            self.clock_ms += 5
            return Signed(self._nv_attest(index, extra, self.value), SIGNATURE_DER)

    def increment_counter(self, index: int) -> int:
        with self._command("increment"):
            assert self.value is not None
            self.value += 1
            return self.value

    def undefine(self) -> None:
        """What the owner may do; TPM2_Clear does it too."""
        self.highest, self.value = max(self.highest, self.value or 0), None

    @contextmanager
    def _command(self, name: str) -> Iterator[None]:
        last, self.at = self.at == 0, None if self.at in (0, None) else self.at - 1
        if last and not self.afterwards:
            raise self._interrupted()
        self.moves.append(name)
        yield
        if last:
            raise self._interrupted()

    def _interrupted(self) -> Exception:
        if self.interruption is TpmError:
            return TpmError("TPM_BUSY", "the TPM did not answer", remedy="wait")
        return self.interruption()

    def _nv_attest(self, index: int, extra: bytes, value: int) -> bytes:
        name = b"\x00\x0b" + sha256(public_area(index)).digest()
        return (
            b"\xffTCG\x80\x14"
            + struct.pack(">H", 34)
            + self.signer
            + struct.pack(">H", len(extra))
            + extra
            + struct.pack(">QIIBQ", self.clock_ms, self.reset_count, 0, 1, 1)
            + struct.pack(">H", len(name))
            + name
            + struct.pack(">HHQ", 0, 8, value)
        )


def public_area(index: int = INDEX) -> bytes:
    """The TPMS_NV_PUBLIC of a counter that has a value."""
    attributes = COUNTER_ATTRIBUTES | NvAttribute.WRITTEN
    return struct.pack(">IHIHH", index, 0x000B, attributes, 0, 8)
