"""Files that contradict what their reader saw before."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from swt3_agent.protocol.log_tree import tree_root
from swt3_agent.protocol.proof import Proof, encode_proof
from swt3_agent.verify import enroller_public_key
from swt3_agent.verify.memory import MEMORY_FORMAT, Memory, SeenHead, TpmTime, encode_memory
from tests.refusals import challenges
from tests.refusals.case import UNDECIDED, Case
from tests.support.forge import (
    ENROLLER,
    LOG_ID,
    NODE_ID,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    ak_public,
    trust_file,
)

NODE = PaperNode()
TRUST = trust_file()
AK_NAME = "000b" + sha256(ak_public()).hexdigest()
LAG = 2**22
TIME = {"resets": 7, "restarts": 0, "clock_ms": 4_000_000}


def cases() -> Iterator[Case]:
    """Every refusal that takes a memory."""
    yield from _histories()
    yield from _clocks()
    yield from _keys()
    yield from _damage()


def head(
    size: int, *, fork: bool = False, counter: int = 0, tpm: TpmTime | None = None
) -> SeenHead:
    """A head as it was seen: that of the honest log, an hour before this one."""
    root = bytes(32) if fork else tree_root(NODE.leaves()[:size])
    return SeenHead(size, root.hex(), UTC_MS - 3_600_000, counter, tpm or TpmTime(**TIME))


def memory(*heads: SeenHead, **changes: Any) -> Memory:
    known = Memory(
        format=MEMORY_FORMAT,
        node_id=NODE_ID,
        log_id=LOG_ID,
        keys=[AK_NAME],
        trust=sha256(TRUST).hexdigest(),
        enroller=sha256(enroller_public_key(ENROLLER)).hexdigest(),
        heads=list(heads),
        tpm=heads[-1].tpm if heads else None,
    )
    return msgspec.structs.replace(known, **changes)


def _case(
    name: str,
    threat: str,
    code: str,
    known: Memory | bytes,
    proof: Proof | None = None,
    exit_code: int = 3,
) -> Case:
    files = {
        "file": encode_proof(proof or NODE.proof(WITNESS_SEQ)),
        "trust": TRUST,
        "memory": known if isinstance(known, bytes) else encode_memory(known),
    }
    told = {"allow_software_tpm": True, "now_ms": UTC_MS}
    return Case(f"memory-{name}", threat, code, "proof", files, told, exit_code)


def _histories() -> Iterator[Case]:
    fork = memory(head(7, fork=True))
    yield _case("fork", "another log of the same size was shown before", "STATE_FORK", fork)
    longer = replace(NODE.proof(WITNESS_SEQ), previous=NODE.head_before(3))
    threat = "the log grew out of another one than was shown before"
    yield _case("fork-before", threat, "STATE_FORK", memory(head(3, fork=True)), longer)
    grown = memory(SeenHead(10, "11" * 32, UTC_MS - 1, 0, TpmTime(7, 0, 4_000_000)))
    yield _case("rollback", "a disk restored from yesterday", "STATE_ROLLBACK", grown)
    later = memory(head(5, counter=4))
    threat = "a snapshot of a virtual TPM rolled its counter back"
    yield _case("counter", threat, "STATE_COUNTER", later)
    lost = memory(SeenHead(10, "11" * 32, UTC_MS, 0, TpmTime(7, 0, 6_000_000)))
    threat = "an older head says a larger counter"
    counted = replace(NODE, counter=2).proof(WITNESS_SEQ)
    yield _case("counter-older", threat, "STATE_COUNTER", lost, counted)
    revoked = memory(head(5), revoked_ms=UTC_MS)
    threat = "an older trust file, from before the revocation"
    yield _case("revoked", threat, "STATE_REVOKED", revoked)


def _clocks() -> Iterator[Case]:
    for name, threat, code, time in (
        ("resets", "a cleared or another TPM", "STATE_RESETS", {"resets": 8}),
        ("restarts", "another TPM's restarts", "STATE_RESETS", {"restarts": 1}),
        ("clock", "the clock fell without a reset", "STATE_CLOCK", {"clock_ms": 5_000_001}),
        ("lag", "it fell further than a power cut explains", "STATE_CLOCK",
         {"resets": 6, "clock_ms": 5_000_001 + LAG}),
    ):  # fmt: skip
        known = memory(head(5, tpm=TpmTime(**(TIME | time))))
        yield _case(name, threat, code, known)
        said = encode_memory(msgspec.structs.replace(known, heads=[]))
        files = {**challenges.answer(), "memory": said}
        yield challenges.case(f"memory-{name}", threat, code, files)


def _keys() -> Iterator[Case]:
    other = memory(head(5), keys=["000b" + "33" * 32])
    threat = "another key, and nothing leads from the one to the other"
    yield _case("key", threat, "STATE_KEY", other, exit_code=UNDECIDED)
    enroller = memory(head(5), enroller="99" * 32)
    threat = "another enroller vouches than before"
    yield _case("enroller", threat, "STATE_ENROLLER", enroller, exit_code=UNDECIDED)


def _damage() -> Iterator[Case]:
    good = encode_memory(memory(head(3), head(5)))
    later = good.replace(b"verify-state/1", b"verify-state/999")
    threat = "a memory of another version"
    yield _case("version", threat, "STATE_FORMAT_UNKNOWN", later, exit_code=UNDECIDED)
    for name, threat, data in (
        ("empty", "a memory that was emptied", b""),
        ("cut", "a memory that was cut", good[:-9]),
        ("other-log", "the memory of another log", good.replace(b"cdcd", b"cdce")),
        ("unsorted", "heads in another order", encode_memory(memory(head(5), head(3)))),
        ("spelling", "a memory in another spelling", b" " + good),
        ("huge", "a memory without end", b" " * (2**20 + 1)),
        ("deep", "nested until a parser breaks", b"[" * 100_000),
    ):
        yield _case(name, threat, "STATE_DAMAGED", data, exit_code=UNDECIDED)
