"""A reader of the counter in a log that shares no rule with the agent's."""

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from swt3_agent.protocol.checkpoint import parse_quote_signature, parse_signed_note
from swt3_agent.protocol.record import Kind
from swt3_agent.store.journal import Journal


@dataclass
class Checker:
    """Reads a log from its start as docs/formats.md, "Counter" has it, with no help of ours.

    ``gaps`` are the values that nothing in the log explains.
    """

    gaps: list[int] = field(default_factory=list)
    steps: int = 0
    known: int | None = None
    certified: int = 0
    promised: bool = False
    defined: bool = False
    intent: tuple[int, int] = (-1, -1)
    notes: dict[int, bytes] = field(default_factory=dict)
    resets: dict[int, int] = field(default_factory=dict)

    def read(self, journal: Journal) -> "Checker":
        for record in journal.scan(0):
            payload = json.loads(record.payload) if record.kind is not Kind.RELAYED else {}
            if record.kind is Kind.BOOT and payload["counter"] is not None:
                self.defined = self.defined or payload["counter"]["defined"]
            elif record.kind is Kind.CHECKPOINT and "body" in payload:
                self.notes[record.seq] = payload["body"].encode()
                found = re.search(r" ctr=([0-9]+)\n$", payload["body"])
                assert found is not None
                assert int(found[1]) == self.certified, record
            elif record.kind is Kind.CHECKPOINT:
                line = parse_signed_note(payload["note"].encode()).signatures[0]
                attest = parse_quote_signature(line.signature).attest
                self.resets[payload["of"]] = struct.unpack_from(">I", attest, 84)[0]
            elif record.kind is Kind.COUNTER_INTENT:
                assert payload["index"] == "01800053"
                self.intent = record.seq, payload["value"]
            elif record.kind is Kind.COUNTER_CERT:
                self._certificate(payload)
        return self

    def _certificate(self, payload: dict[str, Any]) -> None:
        raw = {name: base64.b64decode(payload[name]) for name in ("public", "attest", "signature")}
        attest = raw["attest"]
        text = self.notes[payload["head"]]
        assert attest[:6] == b"\xffTCG\x80\x14"
        assert attest[44:76] == sha256(text).digest()
        assert struct.unpack_from(">I", attest, 84)[0] == self.resets[payload["head"]]
        assert attest[103:137] == b"\x00\x0b" + sha256(raw["public"]).digest()
        offset, size, value = struct.unpack_from(">HHQ", attest, 137)
        assert (offset, size, value) == (0, 8, payload["value"])
        assert raw["signature"]
        assert payload["intent"] == self.intent[0]
        assert int(text.split(b"\n")[1]) > self.intent[0]  # the head covers it
        if payload["phase"] == "before":
            assert value == self.intent[1] - 1
            explained = {self.known, self.known + 1 if self.promised and self.known else None}
            if value not in explained and self.known is not None and not self.defined:
                self.gaps.append(value)
            self.promised, self.defined = True, False
        else:
            assert payload["phase"] == "after"
            assert (value, self.promised, self.known) == (self.intent[1], True, value - 1)
            self.promised = False
            self.steps += 1
        self.known = self.certified = value
