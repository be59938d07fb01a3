"""Boot logs and IMA logs: those of real machines, and made ones."""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from swt3_agent.tcg.event_log import parse_event_log

BOOT_LOGS = Path(__file__).parents[1] / "data" / "bootlogs"
REAL_LOGS = (
    "arch-linux-workstation",
    "debian-10",
    "eventlogwithsp800155",
    "rhel8-uefi",
    "ubuntu-2104-no-dbx",
)
NO_ACTION = 0x03
SEPARATOR = 0x04
IPL = 0x0D
DRIVER_CONFIG = 0x80000001
AUTHORITY = 0x800000E0
APPLICATION = 0x80000003
EFI_ACTION = 0x80000007
SHA256 = 0x000B
GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
IMAGE_SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")


def real_log(name: str) -> bytes:
    """A boot log of a real machine."""
    return (BOOT_LOGS / f"{name}.bin").read_bytes()


def real_pcrs(name: str) -> dict[str, dict[int, bytes]]:
    """The registers that this machine had, by bank."""
    banks = json.loads((BOOT_LOGS / f"{name}.pcrs.json").read_text(encoding="utf-8"))
    return {
        bank: {int(index): bytes.fromhex(value) for index, value in values.items()}
        for bank, values in banks.items()
    }


def header(algorithms: Mapping[int, int] | None = None) -> bytes:
    """The first event of a crypto-agile log with these algorithms and sizes (SHA-256 alone)."""
    sizes = {SHA256: 32} if algorithms is None else algorithms
    data = struct.pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, len(sizes))
    data += b"".join(struct.pack("<HH", *item) for item in sizes.items()) + b"\0"
    return struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(data)) + data


def event(
    pcr: int,
    kind: int,
    data: bytes,
    *,
    hashed: bytes | None = None,
    digests: Iterable[tuple[int, bytes]] | None = None,
) -> bytes:
    """A crypto-agile event with the SHA-256 of ``hashed`` (``data``), or with ``digests``."""
    if digests is None:
        digest = hashlib.sha256(data if hashed is None else hashed).digest()
        digests = [(SHA256, bytes(32) if kind == NO_ACTION else digest)]
    listed = list(digests)
    return (
        struct.pack("<III", pcr, kind, len(listed))
        + b"".join(struct.pack("<H", algorithm) + digest for algorithm, digest in listed)
        + struct.pack("<I", len(data))
        + data
    )


def sha1_event(pcr: int, kind: int, data: bytes) -> bytes:
    """An event of the format before crypto-agile logs."""
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return struct.pack("<II20sI", pcr, kind, digest, len(data)) + data


def variable(guid: bytes, name: str, value: bytes) -> bytes:
    """UEFI_VARIABLE_DATA."""
    return guid + struct.pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value


def locality(value: int) -> bytes:
    """The event that says at which locality the TPM was started."""
    return event(0, NO_ACTION, b"StartupLocality\0" + bytes([value]))


def extended(*hashed: bytes, start: bytes = bytes(32)) -> bytes:
    """A register of the SHA-256 bank after extends with the SHA-256 of each of ``hashed``."""
    for data in hashed:
        start = hashlib.sha256(start + hashlib.sha256(data).digest()).digest()
    return start


def ima_fields(*fields: bytes) -> bytes:
    """Template data: each field after its length."""
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


def ima_ng(path: str, digest: bytes, algorithm: str = "sha256") -> bytes:
    """Template data of an ``ima-ng`` entry."""
    return ima_fields(f"{algorithm}:".encode() + b"\0" + digest, path.encode() + b"\0")


def ima_entry(
    data: bytes, *, template: str = "ima-ng", pcr: int = 10, violation: bool = False
) -> bytes:
    """A binary entry with ``data`` as template data."""
    digest = bytes(20) if violation else hashlib.sha1(data, usedforsecurity=False).digest()
    name = template.encode()
    return (
        struct.pack("<I20sI", pcr, digest, len(name)) + name + struct.pack("<I", len(data)) + data
    )


def extends_of(log: bytes) -> list[str]:
    """What a software TPM must be extended with (``tpm2_pcrextend``) to have booted like this."""
    return [
        f"{event.pcr}:sha256={digest.hex()}"
        for event in parse_event_log(log).events
        if event.extended and (digest := event.digest(SHA256)) is not None
    ]
