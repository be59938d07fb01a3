"""Logs of what was booted and run, and what the records of a bundle say of a boot."""

from collections.abc import Mapping

import msgspec

from swt3_agent.protocol.record import Kind, Record
from swt3_agent.tcg.event_log import decode, parse_event_log
from swt3_agent.tcg.event_log.coverage import coverage
from swt3_agent.tcg.ima_log import parse_ima_log, prefix_reaching
from swt3_agent.tcg.measured_boot import measured_values
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.verify.bundle.counter_records import read_certificate, read_intent
from swt3_agent.verify.bundle.evidence import read_evidence, verify_quote
from tests.fuzz.target import Target
from tests.support import forge
from tests.support.boot_logs import (
    APPLICATION,
    AUTHORITY,
    BOOT_LOGS,
    DRIVER_CONFIG,
    EFI_ACTION,
    GLOBAL,
    IMAGE_SECURITY,
    IPL,
    SEPARATOR,
    event,
    header,
    ima_entry,
    ima_fields,
    ima_ng,
    locality,
    real_log,
    sha1_event,
    variable,
)
from tests.support.enrolment import COUNTER_PUBLIC
from tests.support.forge import AK, Quote, ak_public

KEY = parse_tpmt(ak_public())
NONCE = bytes(range(16))


def _boot_log(data: bytes) -> None:
    """All that anything here ever asks of one."""
    log = parse_event_log(data)
    for found in log.events:
        content = decode(found)
        str(content)
        coverage(found, "sha256", content)
    for bank in log.banks:
        log.replay(bank)
    if "sha256" in log.banks:
        measured_values(log, log.replay())


def _ima_log(data: bytes, hash_size: int = 20) -> None:
    entries = list(parse_ima_log(data, hash_size=hash_size))
    for entry in entries:
        _ = entry.path, entry.file_digest, entry.violation, entry.digest("sha256")
    prefix_reaching(entries, bytes(32))


def _record(kind: Kind, payload: bytes) -> Record:
    return Record(seq=7, kind=kind, flags=0, received_ns=1, provenance=b"{}", payload=payload)


def small_log() -> bytes:
    """Every kind of event that is decoded, in few bytes."""
    return b"".join(
        (
            header(),
            locality(3),
            event(0, 0x08, "1.2\0".encode("utf-16-le")),
            event(0, 0x80000008, bytes(16)),
            event(7, DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", b"\x01")),
            event(7, DRIVER_CONFIG, variable(IMAGE_SECURITY, "db", bytes(80))),
            event(7, AUTHORITY, variable(IMAGE_SECURITY, "db", bytes(40))),
            *(event(index, SEPARATOR, bytes(4)) for index in range(8)),
            event(4, EFI_ACTION, b"Calling EFI Application from Boot Option"),
            event(4, APPLICATION, bytes(32) + b"\x02\x01\x0c\x00" + bytes(8) + b"\x7f\xff\x04\x00"),
            event(5, 0x80000006, bytes(200)),
            event(8, IPL, b"kernel_cmdline: quiet\0"),
            event(9, IPL, "initrd\0".encode("utf-16-le")),
            event(12, 0x06, bytes(8) + b"tag"),
        )
    )


def _platform_quote() -> bytes:
    pcrs = {index: bytes([index]) * 32 for index in (*forge.BOOT_PCRS, 10, 13)}
    attest = Quote(extra=NONCE).attest(b"", pcrs)
    return msgspec.json.encode(
        {
            "nonce": NONCE.hex(),
            "attest": attest,
            "signature": forge.sign(AK, attest),
            "pcrs": {str(index): value.hex() for index, value in pcrs.items()},
            "ak_name": KEY.name().hex(),
        }
    )


INTENT = b'{"index":"01800053","reason":"cycle","value":8}'
CERTIFICATE = msgspec.json.encode(
    {
        "phase": "before",
        "intent": 5,
        "head": 4,
        "value": 7,
        "public": COUNTER_PUBLIC,
        "attest": b"attest",
        "signature": b"signature",
    }
)
EVIDENCE = msgspec.json.encode(
    {
        "attachments": {"boot-log": {"digest": "11" * 32, "size": 7}},
        "stated": {"ima_log": {"offset": 9}},
    }
)
IMA = b"".join(
    (
        ima_entry(ima_ng("boot_aggregate", bytes(32))),
        ima_entry(ima_ng("/usr/bin/true", bytes(32)), violation=True),
        ima_entry(ima_fields(b"sha256:\0" + bytes(32), b"/a\0", b""), template="ima-sig"),
    )
)

TARGETS: Mapping[str, Target] = {
    "boot-log": Target(
        _boot_log,
        [
            small_log(),
            header({0x04: 20, 0x0B: 32}) + event(0, SEPARATOR, b"", digests=[(0x04, bytes(20))]),
            sha1_event(0, 0x08, b"1.2") + sha1_event(4, SEPARATOR, bytes(4)),
            real_log("arch-linux-workstation"),
        ],
    ),
    "counter-certificate": Target(
        lambda data: read_certificate(_record(Kind.COUNTER_CERT, data)), [CERTIFICATE]
    ),
    "counter-intent": Target(
        lambda data: read_intent(_record(Kind.COUNTER_INTENT, data)), [INTENT]
    ),
    "evidence": Target(lambda data: read_evidence(_record(Kind.EVIDENCE, data)), [EVIDENCE]),
    "ima-log": Target(
        _ima_log,
        [IMA, *((BOOT_LOGS / f"ima-log-{name}").read_bytes() for name in ("sha1", "sha256"))],
    ),
    "ima-log-wide": Target(lambda data: _ima_log(data, 32), [b""]),
    "platform-quote": Target(lambda data: verify_quote(data, [KEY]), [_platform_quote()]),
}
