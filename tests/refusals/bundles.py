"""Bundles whose heads or boots do not hold: what root can make of a log of his own."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.protocol.checkpoint import extended
from tests.refusals.case import FALSE, UNDECIDED, Case
from tests.support.boot_logs import SEPARATOR, event, header, ima_entry, ima_ng
from tests.support.forge import OTHER_AK, Quote, selection, sized
from tests.support.paper_bundle import PaperLog, trust_in
from tests.support.paper_heads import RESET

FIRST = 5
Change = Callable[[PaperLog], object]


def cases() -> Iterator[Case]:
    """Every refusal of a bundle that takes a log of one's own."""
    yield from _heads()
    yield from _counts()
    yield from _boots()


def begun() -> PaperLog:
    """A log with a start and one step of the counter."""
    log = PaperLog()
    log.start()
    log.step(FIRST)
    return log


def own_log(
    name: str,
    threat: str,
    code: str,
    change: Change,
    *,
    exit_code: int = FALSE,
    trust: bytes | None = None,
    **manifest: Any,
) -> Case:
    log = begun()
    change(log)
    files = {"file": log.bundle(**manifest), "trust": trust_in() if trust is None else trust}
    return Case(
        f"bundle-{name}", threat, code, "bundle", files, {"allow_software_tpm": True}, exit_code
    )


def rebooted(log: PaperLog, resets: int = 1, *, known: bool = True) -> None:
    log.reboot(resets=resets)
    if known:
        log.start()


def _heads() -> Iterator[Case]:
    def hidden(log: PaperLog) -> None:
        log.head(recorded=False)
        log.head()

    def foreign(log: PaperLog) -> None:
        log.value = extended(log.value, b"something else")
        log.head()

    def fork(log: PaperLog) -> None:
        log.head(note={"root": sha256(b"another history").digest()})

    def unextended(log: PaperLog) -> None:
        log.head(extends=False)

    def challenge(log: PaperLog) -> None:
        log.head(quote=Quote(extra=bytes(31)))

    def other_key(log: PaperLog) -> None:
        own, log.key = log.key, OTHER_AK
        log.head()
        log.key = own

    def certification(log: PaperLog) -> None:
        log.head(quote=Quote(type=0x8014, info=sized(b"") + bytes(2) + sized(b"")))

    def one_register_less(log: PaperLog) -> None:
        log.head(quote=Quote(selection=selection([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13])))

    def dropped(log: PaperLog) -> None:
        log.previous = sha256(b"the note of a head that was dropped").digest()
        log.head()

    def smaller(log: PaperLog) -> None:
        log.head(note={"size": 1})

    yield own_log("head-hidden", "a head was extended and is kept back", "HEAD_CHAIN", hidden)
    yield own_log("head-foreign-extend", "a stranger extended the log PCR", "HEAD_CHAIN", foreign)
    yield own_log("head-fork", "a head states another history of this size", "HEAD_ROOT", fork)
    yield own_log(
        "head-unextended", "a head was quoted and never extended", "LOG_PCR_REPLAY", unextended
    )
    yield own_log(
        "head-challenge",
        "the answer to a challenge stands for a head",
        "QUOTE_CHALLENGE",
        challenge,
    )
    yield own_log("head-other-key", "another key signs a head", "NOTE_KEY_ID", other_key)
    yield own_log(
        "head-nv-certificate", "an NV certificate stands for a quote", "ATTEST_TYPE", certification
    )
    yield own_log(
        "head-fewer-pcrs", "a head quotes fewer registers", "QUOTE_PCR_SELECTION", one_register_less
    )
    yield own_log("head-dropped", "a head was taken out of the log", "HEAD_PREVIOUS", dropped)
    yield own_log("head-smaller", "a head states fewer records than before", "HEAD_SIZE", smaller)


def _counts() -> Iterator[Case]:
    def tpm_reset(log: PaperLog) -> None:
        log.resets, log.value = log.resets + 1, RESET
        log.head()

    def fewer_resets(log: PaperLog) -> None:
        log.resets, log.boot, log.value = log.resets - 1, "boot-2", RESET
        log.head()

    def cleared(log: PaperLog) -> None:
        rebooted(log)
        log.resets = log.clock_ms = 0
        log.head()

    def clock_back(log: PaperLog) -> None:
        log.clock_ms -= 60_000
        log.head()

    def lag(log: PaperLog) -> None:
        log.clock_ms += 2**23
        log.head()
        rebooted(log)
        log.clock_ms -= 2**22 + 20_000
        log.head()

    def restarts(log: PaperLog) -> None:
        log.restarts = 3
        log.head()
        log.restarts = 2
        log.head()

    def obfuscated(log: PaperLog) -> None:
        log.resets = 0x9D2C_5680
        log.head()

    def unknown_boot(log: PaperLog) -> None:
        rebooted(log, 2)
        log.step(FIRST + 1)

    def kexec(log: PaperLog) -> None:
        rebooted(log, 0)
        log.step(FIRST + 1)

    def wrong_start(log: PaperLog) -> None:
        rebooted(log)
        log.value = sha256(b"a history of its own").digest()
        log.step(FIRST + 1)

    def backdated(log: PaperLog) -> None:
        log.utc_ms -= 86_400_000
        log.head()

    def no_step(log: PaperLog) -> None:
        rebooted(log)
        log.head()

    yield own_log("reset-running", "the TPM was reset under the system", "HEAD_RESET", tpm_reset)
    yield own_log("resets-fall", "the TPM was set back to a snapshot", "HEAD_RESETS", fewer_resets)
    yield own_log("tpm-cleared", "the TPM was cleared", "HEAD_CLEARED", cleared)
    yield own_log("clock-back", "the TPM's clock stepped back", "HEAD_CLOCK", clock_back)
    yield own_log("clock-lag", "the clock fell further than a power cut says", "HEAD_CLOCK", lag)
    yield own_log("restarts-fall", "the restart count fell", "HEAD_RESTARTS", restarts)
    yield own_log("obfuscated", "the key is in the owner hierarchy", "HEAD_OBFUSCATED", obfuscated)
    for name, threat, code, change in (
        ("resets-unaccounted", "a boot is not in the log", "RESETS_UNACCOUNTED", unknown_boot),
        ("kexec", "another kernel started this one", "BOOT_WITHOUT_TPM_RESET", kexec),
        ("wrong-start", "another log was in this boot before", "LOG_PCR_START", wrong_start),
        ("backdated", "the node's clock was put back a day", "CLOCK_BACKDATED", backdated),
        ("no-step", "a boot took no step of the counter", "COUNTER_NOT_STEPPED", no_step),
    ):
        trust = trust_in(valid_from_ms=0)
        yield own_log(name, threat, code, change, exit_code=UNDECIDED, trust=trust)


def _boots() -> Iterator[Case]:
    log = header() + event(0, SEPARATOR, bytes(4))
    listed = ima_entry(ima_ng("/usr/bin/other", bytes(32)))
    pcrs = PaperLog().pcrs
    flipped = {str(i): (RESET if i == 7 else value).hex() for i, value in pcrs.items()}
    readings: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("form", "a quote of no form", "BOOT_QUOTE_FORM", {"quote": b"{}"}),
        ("key", "a quote by a key nobody names", "BOOT_QUOTE_KEY", {"ak_name": "00"}),
        ("signature", "nobody signed the quote", "BOOT_QUOTE_SIGNATURE", {"attest": "AAAA"}),
        ("nonce", "a quote for another challenge", "BOOT_QUOTE_NONCE", {"nonce": "00" * 20}),
        ("pcrs", "other values than were quoted", "BOOT_QUOTE_PCRS", {"pcrs": flipped}),
        ("log", "a boot log of another boot", "BOOT_LOG_REPLAY", {"boot-log": log}),
        ("log-cut", "a boot log that was cut", "BOOT_LOG_TRUNCATED", {"boot-log": log[:-3]}),
        ("ima-cut", "an IMA log that was cut", "IMA_LOG_TRUNCATED", {"ima-log": listed[:-1]}),
        ("ima", "an IMA log that was edited", "IMA_LOG_REPLAY", {"ima-log": listed}),
    )
    for name, threat, code, change in readings:
        yield _reading(name, threat, code, **change)
    yield _reading("reset", "a quote of another run", "BOOT_QUOTE_RESET", resets=6)
    yield _reading("values", "a quote of another state", "BOOT_QUOTE_VALUES", pcr=7)
    yield _reading(
        "own-key",
        "a quote by a key of root's own, which the manifest names",
        "BOOT_QUOTE_KEY",
        own_key=True,
    )
    yield _reading("unnamed", "a reading is kept back", "BOOT_READINGS", named=False)


def _reading(
    name: str,
    threat: str,
    code: str,
    *,
    resets: int = 7,
    pcr: int | None = None,
    named: bool = True,
    own_key: bool = False,
    **content: Any,
) -> Case:
    log = begun()
    true = dict(log.pcrs)
    log.pcrs = {**true, 10: sha256(b"ima").digest()}
    if pcr is not None:
        log.pcrs[pcr] = RESET
    log.resets = resets
    enrolled, log.key = log.key, OTHER_AK if own_key else log.key
    seq = log.read_platform(**content)
    log.pcrs, log.resets, log.key = true, 7, enrolled
    log.keys = [log.key, OTHER_AK] if own_key else []
    log.head()
    boots = [BootInfo(log.boot, [seq], [seq] if "ima-log" in content else [])] if named else []
    files = {"file": log.bundle(boots=boots), "trust": trust_in()}
    options = {"allow_software_tpm": True}
    return Case(f"bundle-boot-{name}", threat, code, "bundle", files, options)
