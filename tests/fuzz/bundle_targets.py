"""Bundles that root made himself: sealed and signed as they should be, around anything."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.protocol.record import Kind
from swt3_agent.verify import verify_bundle
from tests.fuzz.boot_targets import CERTIFICATE, EVIDENCE, IMA, INTENT, small_log
from tests.fuzz.target import Target
from tests.support.forge import TENANT, provenance, witness
from tests.support.paper_bundle import PaperLog, trust_in

TRUST = trust_in()
RELAYED = provenance(listener="intake", tenant=TENANT, applied_level=0)
GAP = b'{"dropped":0,"evicted":0,"from_ms":1,"listener":"a","refused":{},"to_ms":2}'
BOOT = b'{"boot_id":"b3b5e9f2-1d1c-4f7e-9a54-0a1b2c3d4e5f","counter":null}'
CHECKPOINT = b'{"body":"swt3-agent/x/y\\n1\\n"}'


def _begun() -> PaperLog:
    log = PaperLog()
    log.start()
    log.step(5)
    return log


def _judged(log: PaperLog, boots: Sequence[BootInfo] = ()) -> object:
    report = verify_bundle(BytesIO(log.bundle(boots=boots)), trust=TRUST, allow_software_tpm=True)
    return report.render(), report.to_json()


def _payload(kind: Kind) -> Callable[[bytes], object]:
    def judge(data: bytes) -> object:
        log = _begun()
        log.append(kind, data)
        return _judged(log)

    return judge


def _provenance(data: bytes) -> object:
    log = _begun()
    log.append(Kind.RELAYED, witness(), data)
    return _judged(log)


def _attachment(kind: str) -> Callable[[bytes], object]:
    def judge(data: bytes) -> object:
        log = _begun()
        reading = log.read_platform(**{kind: data})
        ima = [reading] if kind == "ima-log" else []
        return _judged(log, [BootInfo(log.boot, [reading], ima)])

    return judge


TARGETS: Mapping[str, Target] = {
    "bundle-boot": Target(_payload(Kind.BOOT), [BOOT]),
    "bundle-boot-log": Target(_attachment("boot-log"), [small_log()]),
    "bundle-certificate": Target(_payload(Kind.COUNTER_CERT), [CERTIFICATE]),
    "bundle-checkpoint": Target(_payload(Kind.CHECKPOINT), [CHECKPOINT]),
    "bundle-evidence": Target(_payload(Kind.EVIDENCE), [EVIDENCE]),
    "bundle-gap": Target(_payload(Kind.GAP), [GAP]),
    "bundle-ima-log": Target(_attachment("ima-log"), [IMA]),
    "bundle-intent": Target(_payload(Kind.COUNTER_INTENT), [INTENT]),
    "bundle-key": Target(_payload(Kind.KEY), [b'{"event":"retired","name":"000b"}']),
    "bundle-provenance": Target(_provenance, [RELAYED]),
    "bundle-quote": Target(_attachment("quote"), [b"{}"]),
    "bundle-witness": Target(_payload(Kind.RELAYED), [witness()]),
}
