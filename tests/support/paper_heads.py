"""A node made of paper that makes heads and counter certificates one after another.

Change what it is before each; every part of a certificate can be replaced.
"""

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.bundle import Head, HeadQuoteText
from swt3_agent.protocol.checkpoint import CheckpointNote, extended, signed_note
from swt3_agent.protocol.record import Kind, Record
from tests.support.forge import AK, BOOT_PCRS, LOG_ID, NODE_ID, UTC_MS, Quote, sign, sized, spki

RESET = bytes(32)
INDEX = 0x01800053
AUTH_READ, AUTH_WRITE, NO_DA, WRITTEN, COUNTER = 1 << 18, 1 << 2, 1 << 25, 1 << 29, 1 << 4
COUNTER_ATTRIBUTES = COUNTER | AUTH_READ | AUTH_WRITE | NO_DA | WRITTEN
NV, SHA256 = 0x8014, 0x0B


def nv_public(index: int = INDEX, attributes: int = COUNTER_ATTRIBUTES, size: int = 8) -> bytes:
    """TPMS_NV_PUBLIC (TPM 2.0 Part 2, 13.5)."""
    return struct.pack(">IHI", index, SHA256, attributes) + sized(b"") + struct.pack(">H", size)


def nv_name(public: bytes) -> bytes:
    return struct.pack(">H", SHA256) + sha256(public).digest()


@dataclass
class Paper:
    """A node that makes heads one after another; change what it is before each."""

    boot: str = "boot-1"
    resets: int = 7
    restarts: int = 0
    clock_ms: int = 1_000_000
    utc_ms: int = UTC_MS
    value: bytes = RESET
    size: int = 0
    previous: bytes = RESET
    seq: int = 0
    counter: int = 0
    key: ec.EllipticCurvePrivateKey = AK
    note: CheckpointNote | None = None
    pcrs: dict[int, bytes] = field(
        default_factory=lambda: {index: sha256(b"pcr %d" % index).digest() for index in BOOT_PCRS}
    )

    def head(self, *, signed: bool = True, extends: bool = True) -> Head:
        """The next head, over one record more."""
        self.size += 1
        self.seq = self.size
        note = CheckpointNote(
            NODE_ID,
            LOG_ID,
            self.size,
            bytes(32),
            self.utc_ms,
            self.boot,
            self.previous,
            self.counter,
        )
        body = note.body()
        self.note, self.previous = note, note.digest()
        before = self.value
        if extends:
            self.value = extended(before, body)
        if not signed:
            return Head(self.seq, body.decode())
        pcrs = {**self.pcrs, 13: self.value}
        self.clock_ms += 10_000
        self.utc_ms += 10_000
        said = Quote(clock_ms=self.clock_ms, resets=self.resets, restarts=self.restarts)
        attest = said.attest(body, pcrs)
        text = signed_note(body, attest, sign(self.key, attest), spki(self.key))
        values = {str(index): value.hex() for index, value in pcrs.items()}
        return Head(self.seq, text.decode(), HeadQuoteText(before.hex(), values))

    def reboot(self, *, resets: int = 1) -> None:
        """Another boot, in which the TPM was reset, or not (kexec)."""
        self.boot = f"boot-{int(self.boot[5:]) + 1}"
        self.resets += resets
        if resets:
            self.value = RESET
            self.restarts = 0

    def intent(self, value: int, index: int = INDEX) -> Record:
        """The record that announces the step to ``value``."""
        content = {"value": value, "reason": "cycle", "index": f"{index:08x}"}
        return self._record(Kind.COUNTER_INTENT, content)

    def certificate(
        self,
        phase: str,
        intent: int,
        head: Head,
        value: int,
        *,
        content: Mapping[str, object] | None = None,
        **attest: Any,
    ) -> Record:
        """A certificate over ``head``. ``content`` replaces members of the record, ``attest`` what
        the TPM says: ``extra``, ``certified``, ``offset``, ``name``, and fields of ``Quote``."""
        public = attest.pop("public", nv_public())
        certified = attest.pop("certified", value.to_bytes(8, "big"))
        named = attest.pop("name", nv_name(public))
        info = sized(named) + struct.pack(">H", attest.pop("offset", 0)) + sized(certified)
        key = attest.pop("key", self.key)
        body = head.checkpoint.split("\n\n")[0].encode() + b"\n"
        said = {
            "type": NV,
            "extra": sha256(body).digest(),
            "clock_ms": self.clock_ms,
            "resets": self.resets,
            "info": info,
        }
        data = Quote(**{**said, **attest}).attest(body, {})
        texts = {"public": public, "attest": data, "signature": sign(key, data)}
        record: dict[str, object] = {
            "phase": phase,
            "intent": intent,
            "head": head.seq,
            "value": value,
            **{name: base64.b64encode(text).decode() for name, text in texts.items()},
        }
        return self._record(Kind.COUNTER_CERT, {**record, **(content or {})})

    def _record(self, kind: Kind, content: Mapping[str, object]) -> Record:
        self.size += 1
        return Record(self.size - 1, kind, 0, 0, b"{}", json.dumps(content).encode())
