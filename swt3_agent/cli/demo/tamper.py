"""What an attacker would do to a proof, in its smallest form: one bit of the record."""

import base64
import json
from pathlib import Path

_BEFORE_THE_DIGIT = b'"factor_b":'


def flip_one_bit(proof: Path, forged: Path) -> str:
    """Write a copy of ``proof`` whose record has one bit flipped; return what it now claims.

    The bit turns ``factor_b`` 1 into 0 (or back): the copy still reads as a proof of a
    well-formed anchor, and only its mathematics can tell.
    """
    document = json.loads(proof.read_text())
    payload = bytearray(base64.b64decode(document["record"]["payload"]))
    position = payload.index(_BEFORE_THE_DIGIT) + len(_BEFORE_THE_DIGIT)
    before = chr(payload[position])
    payload[position] ^= 1
    document["record"]["payload"] = base64.b64encode(payload).decode()
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    forged.write_text(text + "\n")
    return f"factor_b says {chr(payload[position])} where the record says {before}"
