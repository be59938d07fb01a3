"""A TPM at the signer's seam: PCRs that extend, quotes with real structure, faults on demand."""

import struct
from dataclasses import dataclass, field
from hashlib import sha256

from swt3_agent.errors import TpmError
from swt3_agent.protocol.checkpoint import QUOTED_PCRS, qualifying_data
from tests.unit.tcg.vectors import AK_TPMT, SIGNATURE_DER

LOG_PCR = 13


@dataclass(frozen=True)
class Identity:
    ak_public: bytes = AK_TPMT


@dataclass(frozen=True)
class Clock:
    reset_count: int


@dataclass(frozen=True)
class Quoted:
    attest: bytes
    signature_der: bytes
    before: bytes
    pcrs: dict[int, bytes]


@dataclass
class FakeTpm:
    """``fail_before`` and ``fail_after`` make the next extend fail before or after it happens."""

    reset_count: int = 7
    pcrs: dict[int, bytes] = field(default_factory=lambda: dict.fromkeys(QUOTED_PCRS, bytes(32)))
    clock_ms: int = 1000
    unreachable: bool = False
    fail_before: bool = False
    fail_after: bool = False
    extends: list[bytes] = field(default_factory=list)
    signer: bytes = b"\x00\x0b" + bytes(32)  # the key's Qualified Name

    def open(self) -> Identity:
        return Identity()

    def clock(self) -> Clock:
        self._reach()
        return Clock(self.reset_count)

    def read_pcrs(self, indices: tuple[int, ...]) -> dict[int, bytes]:
        self._reach()
        return {index: self.pcrs[index] for index in indices}

    def extend_and_quote(self, body: bytes) -> Quoted:
        self._reach()
        if self.fail_before:
            self.fail_before = False
            raise _busy()
        before = self.pcrs[LOG_PCR]
        self.extend(sha256(body).digest())
        if self.fail_after:
            self.fail_after = False
            raise _busy()
        return self.quote_head(body, before)

    def quote_head(self, body: bytes, before: bytes) -> Quoted:
        self._reach()
        return Quoted(self._attest(qualifying_data(body)), SIGNATURE_DER, before, dict(self.pcrs))

    def extend(self, digest: bytes) -> None:
        """What anybody may do to a PCR."""
        self.extends.append(digest)
        self.pcrs[LOG_PCR] = sha256(self.pcrs[LOG_PCR] + digest).digest()

    def reset(self) -> None:
        """What a reboot does, or somebody with access to the board."""
        self.reset_count += 1
        self.pcrs = dict.fromkeys(self.pcrs, bytes(32))

    @property
    def log_pcr(self) -> bytes:
        return self.pcrs[LOG_PCR]

    def _reach(self) -> None:
        if self.unreachable:
            raise _busy()

    def _attest(self, extra: bytes) -> bytes:
        self.clock_ms += 5
        selected = sum(1 << index for index in self.pcrs).to_bytes(3, "little")
        digest = sha256(b"".join(self.pcrs[index] for index in sorted(self.pcrs))).digest()
        return (
            b"\xffTCG\x80\x18"
            + struct.pack(">H", 34)
            + self.signer
            + struct.pack(">H", len(extra))
            + extra
            + struct.pack(">QIIBQ", self.clock_ms, self.reset_count, 0, 1, 1)
            + struct.pack(">IHB", 1, 0x000B, 3)
            + selected
            + struct.pack(">H", 32)
            + digest
        )


def _busy() -> TpmError:
    return TpmError("TPM_BUSY", "the TPM did not answer", remedy="wait")
