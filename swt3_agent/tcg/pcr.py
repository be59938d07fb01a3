"""Platform configuration registers: selections, and the composite digest of a quote.

A selection is a flat tuple of (bank algorithm, register index) in the order in which the TPM
hashes the values (TPM 2.0 Part 1, 'Platform Configuration Registers').
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from swt3_agent.errors import FormatError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.reader import Reader

PcrSelection: TypeAlias = tuple[tuple[int, int], ...]

PCR_COUNT = 24  # PC Client Platform TPM Profile, 4.6
DIGEST_SIZE = 32
MAX_SELECTIONS = 16
MAX_PCR_SELECT = 4


def sha256_selection(indices: Iterable[int]) -> PcrSelection:
    """The selection that a quote over these registers of the SHA-256 bank must carry.

    Raises ``FormatError`` PCR_INDEX for an index outside 0–23 and for one named twice.
    """
    ordered = sorted(indices)
    if len(set(ordered)) != len(ordered) or any(not 0 <= i < PCR_COUNT for i in ordered):
        raise FormatError(
            "PCR_INDEX",
            f"{ordered} is not a list of distinct register indices from 0 to {PCR_COUNT - 1}",
            remedy="Name each PCR once, from 0 to 23.",
        )
    return tuple((int(Algorithm.SHA256), index) for index in ordered)


def read_selection(reader: Reader) -> PcrSelection:
    """Take a TPML_PCR_SELECTION off ``reader`` (TPM 2.0 Part 2, 10.9.7)."""
    count = reader.u32("pcrSelect.count")
    if count > MAX_SELECTIONS:
        raise reader.fail("OVERSIZED", f"{count} PCR selections, at most {MAX_SELECTIONS}")
    selection: list[tuple[int, int]] = []
    for _ in range(count):
        algorithm = reader.u16("pcrSelect.hash")
        size = reader.u8("pcrSelect.sizeofSelect")
        if size > MAX_PCR_SELECT:
            raise reader.fail("OVERSIZED", f"a PCR bitmap has {size} bytes, not {MAX_PCR_SELECT}")
        bitmap = int.from_bytes(reader.take(size, "pcrSelect.pcrSelect"), "little")
        selection += [(algorithm, index) for index in range(8 * size) if bitmap >> index & 1]
    return tuple(selection)


def composite_digest(values: Mapping[int, bytes], selection: PcrSelection) -> bytes:
    """The pcrDigest of a SHA-256 key's quote over ``selection``, given the register values.

    ``values`` holds exactly the selected registers, 32 bytes each: a value that was not quoted is
    refused rather than ignored, since whoever sent it claims it. Raises ``FormatError`` PCR_BANK
    for another bank than SHA-256, PCR_MISSING, PCR_NOT_QUOTED or PCR_SIZE.
    """
    indices = [index for _, index in selection]
    if any(algorithm != Algorithm.SHA256 for algorithm, _ in selection):
        raise _wrong("PCR_BANK", "the selection names another bank than SHA-256")
    missing = sorted(set(indices) - values.keys())
    if missing:
        raise _wrong("PCR_MISSING", f"no value is given for the quoted PCRs {missing}")
    unquoted = sorted(values.keys() - set(indices))
    if unquoted:
        raise _wrong("PCR_NOT_QUOTED", f"values are given for PCRs {unquoted}, which nobody quoted")
    if any(len(value) != DIGEST_SIZE for value in values.values()):
        raise _wrong("PCR_SIZE", "a PCR value is not 32 bytes long")
    return hashlib.sha256(b"".join(values[index] for index in indices)).digest()


def _wrong(code: str, message: str) -> FormatError:
    return FormatError(code, message, remedy="Take the quote and its PCR values again, together.")
