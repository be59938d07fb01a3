"""What the agent and the process that owns the TPM say to each other.

A frame is a 32-bit big-endian length and that many bytes of MessagePack; both ends refuse longer
frames and unknown fields. One request, one answer, in order.
"""

import socket
import struct
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from swt3_agent.errors import TpmError
from swt3_agent.protocol.evidence import RootOfTrust

MAX_FRAME = 64 * 1024
MAX_BODY = 16 * 1024
MAX_MESSAGE = 1024 * 1024
MESSAGE_PART = 32 * 1024

TEMPLATES = ("rsa2048", "ecc256", "ecc384")
"""Endorsement keys: L-1, L-2 and H-3 of the TCG EK Credential Profile."""

_HEADER = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class TpmIdentity:
    """Which TPM this is and the key that signs for it.

    ``kind`` is ``TPM`` or ``SOFTWARE_TPM``; ``firmware`` is TPM_PT_FIRMWARE_VERSION in hex;
    ``ak_public`` a TPMT_PUBLIC, ``ak_parent`` the Name of the storage primary that it hangs under;
    ``ak_created`` says that the key was made by this very ``open``.
    """

    kind: RootOfTrust
    manufacturer: str
    vendor: str
    firmware: str
    ak_public: bytes
    ak_parent: bytes
    ak_created: bool


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint's quote: TPMS_ATTEST, DER ECDSA signature, the log PCR before the extend, and
    the values of all quoted PCRs, which the quote's digest was checked against."""

    attest: bytes
    signature_der: bytes
    before: bytes
    pcrs: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class ChallengeQuote:
    """A quote over a challenger's nonce; ``signature_tpmt`` is what tpm2_checkquote reads."""

    attest: bytes
    signature_tpmt: bytes
    signature_der: bytes
    pcrs: dict[int, bytes]
    ak_public: bytes


@dataclass(frozen=True, slots=True)
class ClockInfo:
    """TPMS_TIME_INFO: milliseconds since power-up (``time_ms``) and over the TPM's life
    (``clock_ms``), the reset counts, and whether the clock is known not to have run back."""

    time_ms: int
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class EndorsementKey:
    """An EK as the TPM derives it from its seed (TCG EK Credential Profile for TPM 2.0).

    ``template`` is one of ``TEMPLATES``; ``public`` a TPMT_PUBLIC; ``certificate`` the DER that
    lies in the NV index ``certificate_index``, without padding; both None where there is none.
    """

    template: str
    public: bytes
    certificate: bytes | None
    certificate_index: int | None


@dataclass(frozen=True, slots=True)
class CounterState:
    """The log's counter: ``public`` is a TPMS_NV_PUBLIC. ``defined`` says that this call
    gave it its first value, which need not follow one that an earlier index had."""

    index: int
    public: bytes
    value: int
    defined: bool


@dataclass(frozen=True, slots=True)
class SignedAttest:
    """TPMS_ATTEST and the AK's signature over it, DER ECDSA."""

    attest: bytes
    signature_der: bytes


@dataclass(frozen=True, slots=True)
class Successor:
    """A new AK (TPMT_PUBLIC), and the old one's TPM2_Certify of it."""

    ak_public: bytes
    attest: bytes
    signature_der: bytes


class Open(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """First of all requests. ``expected_ak`` is the TPMT_PUBLIC that must be found (empty: any,
    and one is created where there is none); ``replace_ak`` has a new one made beside it."""

    tcti: str | None
    keys_dir: str
    log_pcr: int
    quoted_pcrs: tuple[int, ...]
    expected_ak: bytes = b""
    replace_ak: bool = False


class ReadPcrs(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    indices: tuple[int, ...]


class ExtendAndQuote(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    body: bytes


class QuoteHead(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    body: bytes
    before: bytes


class Challenge(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    nonce: bytes
    also: tuple[int, ...] = ()


class ReadClock(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    pass


class ReadEndorsementKey(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    template: str


class Activate(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    template: str
    credential: bytes
    secret: bytes


class OpenCounter(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    index: int
    define: bool


class CertifyCounter(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    index: int
    extra: bytes


class IncrementCounter(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    index: int


class PrepareSuccessor(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    log_id: str


class Sign(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """One part of a message; ``last`` asks for the signature over all parts since the last one."""

    part: bytes
    last: bool


Request: TypeAlias = (
    Open
    | ReadPcrs
    | ExtendAndQuote
    | QuoteHead
    | Challenge
    | ReadClock
    | ReadEndorsementKey
    | Activate
    | OpenCounter
    | CertifyCounter
    | IncrementCounter
    | PrepareSuccessor
    | Sign
)


class Done(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The request succeeded; ``result`` is of the type that belongs to it."""

    result: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The request failed with a ``TpmError``."""

    code: str
    message: str
    remedy: str

    def error(self) -> TpmError:
        return TpmError(self.code, self.message, remedy=self.remedy)


Answer: TypeAlias = Done | Failed


def send_frame(connection: socket.socket, content: bytes) -> None:
    """Send one frame; OSError when the other end is gone or the socket's timeout is over."""
    connection.sendall(_HEADER.pack(len(content)) + content)


def receive_frame(connection: socket.socket) -> bytes:
    """One frame. Raises EOFError when the other end closed, ValueError over ``MAX_FRAME``."""
    (size,) = _HEADER.unpack(_receive(connection, _HEADER.size))
    if size > MAX_FRAME:
        raise ValueError(f"a frame of {size} bytes, at most {MAX_FRAME} are allowed")
    return _receive(connection, size)


def _receive(connection: socket.socket, size: int) -> bytes:
    buffer = bytearray()
    while len(buffer) < size:
        chunk = connection.recv(size - len(buffer))
        if not chunk:
            raise EOFError
        buffer += chunk
    return bytes(buffer)
