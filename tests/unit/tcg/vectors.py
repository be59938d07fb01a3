"""Known answers of TPMs, read from tests/vectors/tcg/software_tpm.json and keys.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from swt3_agent.errors import FormatError

Result = TypeVar("Result")

_FILE = Path(__file__).parents[2] / "vectors" / "tcg" / "software_tpm.json"
VECTORS: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))

KEYS: dict[str, Any] = json.loads(_FILE.with_name("keys.json").read_text(encoding="utf-8"))

AK_TPMT = bytes.fromhex(VECTORS["ak"]["tpmt"])
QUOTE = bytes.fromhex(VECTORS["quote"]["attest"])
CERTIFICATION = bytes.fromhex(KEYS["succession"]["attest"])
NV_CERTIFICATE = bytes.fromhex(VECTORS["nv"]["attest"])
SIGNATURE_TPMT = bytes.fromhex(VECTORS["quote"]["tpmt"])
SIGNATURE_DER = bytes.fromhex(VECTORS["quote"]["der"])
PCRS = {int(index): bytes.fromhex(value) for index, value in VECTORS["quote"]["pcrs"].items()}
QUOTED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14)


def result_or_code(read: Callable[[bytes], Result], data: bytes) -> Result | str:
    """What ``read`` makes of ``data``, or the code of its FormatError."""
    try:
        return read(data)
    except FormatError as error:
        return error.code
