"""Boot logs, IMA logs and reference values that cannot be believed, or say another boot."""

import struct
from collections.abc import Iterator, Mapping
from hashlib import sha256

from swt3_agent.protocol.reference import Reference, encode_reference
from tests.refusals.case import UNDECIDED, Case
from tests.support.boot_logs import (
    DRIVER_CONFIG,
    GLOBAL,
    NO_ACTION,
    SEPARATOR,
    event,
    extended,
    header,
    ima_entry,
    ima_ng,
    locality,
    sha1_event,
    variable,
)

SHA1, SHA256 = 0x04, 0x0B
OFF = variable(GLOBAL, "SecureBoot", b"\0")
BOOT = header() + event(7, DRIVER_CONFIG, OFF) + event(7, SEPARATOR, bytes(4))
QUOTED = {7: extended(OFF, bytes(4))}
PCRS = {index: sha256(b"pcr %d" % index).digest() for index in range(10)}
IMA = ima_entry(ima_ng("/usr/bin/true", bytes(32)))


def cases() -> Iterator[Case]:
    """Every refusal of a log, and of what it says."""
    yield from _boot_logs()
    yield from _states()
    yield from _ima_logs()


def _boot_log(
    name: str,
    threat: str,
    code: str,
    log: bytes | None,
    *,
    reference: Reference | None = None,
    pcrs: Mapping[int, bytes] = QUOTED,
    exit_code: int = 3,
) -> Case:
    files = {} if log is None else {"file": log}
    if reference is not None:
        files["reference"] = encode_reference(reference)
    told = {"pcrs": {str(index): value.hex() for index, value in pcrs.items()}}
    return Case(f"boot-log-{name}", threat, code, "boot-log", files, told, exit_code)


def _spec_id(*algorithms: tuple[int, int], count: int | None = None) -> bytes:
    """The first event, with a list that contradicts itself."""
    listed = len(algorithms) if count is None else count
    data = struct.pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, listed)
    data += b"".join(struct.pack("<HH", *each) for each in algorithms)
    return struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(data)) + data


def _boot_logs() -> Iterator[Case]:
    for name, threat, log in (
        ("empty", "nothing", b""),
        ("text", "no log", b"no boot log, but more bytes than the head of an event has\n"),
        ("cut", "cut in its first event", BOOT[:20]),
        ("first", "a first event that no firmware writes", sha1_event(11, SEPARATOR, b"")),
        ("no-algorithms", "a header without algorithms", _spec_id()),
        ("many-algorithms", "more algorithms than it lists", _spec_id((SHA256, 32), count=2)),
        ("endless-algorithms", "algorithms without end", _spec_id(count=2**32 - 1)),
        ("twice", "an algorithm twice", _spec_id((SHA256, 32), (SHA256, 32))),
        ("size", "SHA-256 with 20 bytes", _spec_id((SHA256, 20))),
        ("no-size", "an algorithm without bytes", _spec_id((0x99, 0))),
        ("spec-id-cut", "a header cut short", struct.pack("<II20sI", 0, NO_ACTION, bytes(20), 16)
         + b"Spec ID Event03\0"),
    ):  # fmt: skip
        yield _boot_log(name, threat, "EVENT_LOG_HEADER", log)
    for name, threat, log in (
        ("locality", "a locality that starts no TPM", header() + locality(1)),
        ("localities", "two localities", header() + locality(0) + locality(3)),
        ("no-locality", "a locality of no byte",
         header() + event(0, NO_ACTION, b"StartupLocality\0")),
    ):  # fmt: skip
        yield _boot_log(name, threat, "EVENT_LOG_LOCALITY", log)
    yield _boot_log("huge", "larger than any", "EVENT_LOG_OVERSIZED", BOOT + bytes(16 << 20))
    many = sha1_event(0, SEPARATOR, b"\1") * 100_001
    yield _boot_log("many", "events without end", "EVENT_LOG_OVERSIZED", many)
    old = sha1_event(0, 0x08, b"1.2") + sha1_event(4, SEPARATOR, bytes(4))
    yield _boot_log("sha1", "a log without SHA-256", "EVENT_LOG_BANK", old)
    only = header({SHA1: 20}) + event(0, SEPARATOR, b"", digests=[(SHA1, bytes(20))])
    yield _boot_log("sha1-agile", "a header without SHA-256", "EVENT_LOG_BANK", only)


def _states() -> Iterator[Case]:
    enabled = Reference(values={"secure-boot": ("enabled",)})
    threat = "booted without Secure Boot"
    yield _boot_log("secure-boot", threat, "VALUE_MISMATCH", BOOT, reference=enabled)
    kernel = Reference(values={"kernel": ("sha256:" + "11" * 32,)})
    threat = "a kernel that no quoted register vouches for"
    yield _boot_log("no-kernel", threat, "VALUE_MISSING", BOOT, reference=kernel)
    forged = header() + event(7, DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", b"\1"))
    threat = "a log edited to say Secure Boot"
    yield _boot_log("edited", threat, "VALUE_MISSING", forged, reference=enabled)
    renamed = header() + event(
        7, DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", b"\1"), hashed=OFF
    ) + event(7, SEPARATOR, bytes(4))  # fmt: skip
    threat = "the data of an event changed, its digest kept"
    yield _boot_log("data", threat, "VALUE_MISSING", renamed, reference=enabled)
    cut = BOOT[:-8]
    yield _boot_log("truncated", "the end was cut off", "VALUE_MISSING", cut, reference=enabled)
    register = Reference(pcrs={7: (bytes(32).hex(),)})
    yield _boot_log("register", "another register", "PCR_MISMATCH", BOOT, reference=register)
    beyond = Reference(pcrs={9: (bytes(32).hex(),)})
    threat = "a register of the reference that nobody quoted"
    yield _boot_log(
        "unquoted", threat, "PCR_NOT_QUOTED", BOOT, reference=beyond, exit_code=UNDECIDED
    )
    threat = "the log was held back"
    yield _boot_log(
        "withheld", threat, "BOOT_LOG_MISSING", None, reference=enabled, exit_code=UNDECIDED
    )


def _ima_log(name: str, threat: str, code: str, log: bytes, **options: object) -> Case:
    return Case(f"ima-log-{name}", threat, code, "ima-log", {"file": log}, options)


def _ima_logs() -> Iterator[Case]:
    for name, threat, code, log in (
        ("cut", "cut in an entry", "IMA_LOG_TRUNCATED", IMA[:-1]),
        ("cut-head", "cut in the head of an entry", "IMA_LOG_TRUNCATED", IMA + IMA[:3]),
        ("pcr", "a register that does not exist", "IMA_LOG_ENTRY", ima_entry(b"", pcr=24)),
        ("template", "a template of 65 letters", "IMA_LOG_ENTRY",
         ima_entry(b"", template="a" * 65)),
        ("no-template", "no template", "IMA_LOG_ENTRY", ima_entry(b"", template="")),
        ("size", "an entry that claims 4 GiB", "IMA_LOG_ENTRY", IMA[:34] + b"\xff" * 4),
        ("text", "a line that is no entry", "IMA_LOG_ENTRY", b"10 no entry\n"),
        ("text-cut", "a line without end", "IMA_LOG_TRUNCATED", b"10 " + b"00" * 20),
        ("text-template", "a template that text does not give back", "IMA_LOG_TEMPLATE",
         b"10 %b ima-modsig sha256:%b /a \n" % (b"00" * 20, b"00" * 32)),
    ):  # fmt: skip
        yield _ima_log(name, threat, code, log)
    values = {str(index): value.hex() for index, value in PCRS.items()}
    other = ima_entry(ima_ng("boot_aggregate", bytes(32)))
    threat = "the log of another boot"
    yield _ima_log("other-boot", threat, "IMA_LOG_BOOT_AGGREGATE", other, pcrs=values)
    threat = "registers of the boot left out"
    fewer = {index: value for index, value in values.items() if index != "7"}
    yield _ima_log("unquoted-boot", threat, "IMA_LOG_PCRS", other, pcrs=fewer)
