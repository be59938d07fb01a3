"""Machines that boot: a software TPM is extended as a boot log says that firmware did."""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace

from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA

from swt3_agent.tcg.algorithms import HASH_NAMES, Algorithm
from swt3_agent.tcg.event_log import Event, EventLog, parse_event_log


def boot(tcti: str, log: bytes) -> None:
    """Extend the SHA-256 bank with every event of ``log``: the TPM is then that of its machine.

    The TPM must have been started just now, and serves nobody else meanwhile.
    """
    parsed = parse_event_log(log)
    assert parsed.startup_locality == 0, "swtpm was started from locality 0"
    extend(tcti, *((event.pcr, _sha256_of(event)) for event in parsed.events if event.extended))


def extend(tcti: str, *measured: tuple[int, bytes]) -> None:
    """Extend registers of the SHA-256 bank, each with its digest, in this order."""
    with ESAPI(tcti) as tpm:
        for pcr, digest in measured:
            value = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=digest))
            tpm.pcr_extend(ESYS_TR(pcr), TPML_DIGEST_VALUES([value]))


def changed(log: bytes, change: Callable[[Event], Event]) -> bytes:
    """The log of a boot in which ``change`` was made to what was measured."""
    parsed = parse_event_log(log)
    return encode(replace(parsed, events=tuple(change(event) for event in parsed.events)))


def measured(event: Event, data: bytes, hashed: bytes | None = None) -> Event:
    """``event`` with other data, and the digests of ``hashed`` (None: of the data)."""
    content = data if hashed is None else hashed
    digests = tuple((known, _hashed(known, content)) for known, _ in event.digests)
    return replace(event, data=data, digests=digests)


def encode(log: EventLog) -> bytes:
    """A crypto-agile boot log, byte by byte as firmware writes it."""
    first, *rest = log.events
    head = struct.pack("<II20sI", first.pcr, first.type, first.digests[0][1], len(first.data))
    parts = [head, first.data]
    for event in rest:
        parts.append(struct.pack("<III", event.pcr, event.type, len(event.digests)))
        parts += [struct.pack("<H", known) + digest for known, digest in event.digests]
        parts += [struct.pack("<I", len(event.data)), event.data]
    return b"".join(parts)


def _sha256_of(event: Event) -> bytes:
    digest = event.digest(Algorithm.SHA256)
    assert digest is not None
    return digest


def _hashed(algorithm: int, content: bytes) -> bytes:
    return hashlib.new(HASH_NAMES[Algorithm(algorithm)], content).digest()
