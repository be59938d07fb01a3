"""What tpm2-tools can read."""

import struct
from collections.abc import Mapping

from swt3_agent.tcg.algorithms import Algorithm

_SELECTIONS = 16  # entries of the C array in TPML_PCR_SELECTION
_DIGESTS = 8  # entries of the one in TPML_DIGEST
_SELECTION = struct.Struct("<HB4sx")
_DIGEST = struct.Struct("<H64s")


def serialized_pcrs(values: Mapping[int, bytes]) -> bytes:
    """SHA-256 PCR values as ``tpm2_quote --pcrs_format=serialized`` saves them and
    ``tpm2_checkquote --pcr`` reads them.

    It is the memory of three C structures on a little-endian machine, one after the other:
    TPML_PCR_SELECTION, a count of lists, and as many TPML_DIGEST (tss2_tpm2_types.h).
    """
    indices = sorted(values)
    bitmap = sum(1 << index for index in indices).to_bytes(4, "little")
    selection = _SELECTION.pack(Algorithm.SHA256, 3, bitmap)
    lists = [indices[start : start + _DIGESTS] for start in range(0, len(indices), _DIGESTS)]
    return b"".join(
        (
            struct.pack("<I", 1),
            selection.ljust(_SELECTIONS * _SELECTION.size, b"\0"),
            struct.pack("<I", len(lists)),
            *(_digest_list([values[index] for index in some]) for some in lists),
        )
    )


def _digest_list(digests: list[bytes]) -> bytes:
    packed = b"".join(_DIGEST.pack(len(digest), digest) for digest in digests)
    return struct.pack("<I", len(digests)) + packed.ljust(_DIGESTS * _DIGEST.size, b"\0")
