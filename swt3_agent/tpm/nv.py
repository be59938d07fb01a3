"""NV indices of the TPM: reading, and the handles that stand for them."""

import contextlib

from tpm2_pytss import ESAPI, ESYS_TR, TSS2_Exception

from swt3_agent.tcg.nv_public import NvPublic, parse_nv_public

MAX_NV = 16 * 1024
_CHUNK = 512  # every TPM reads that much at a time (PC Client Platform TPM Profile, 4.4)


def read_nv(esapi: ESAPI, handle: ESYS_TR) -> bytes:
    """The whole content of an index whose own authValue is empty; ``MAX_NV`` bytes at most."""
    size = min(read_nv_public(esapi, handle).size, MAX_NV)
    content = b""
    while len(content) < size:
        part = bytes(esapi.nv_read(handle, min(_CHUNK, size - len(content)), len(content)))
        if not part:
            break
        content += part
    return content


def read_nv_public(esapi: ESAPI, handle: ESYS_TR) -> NvPublic:
    """The public area of an index. Raises FormatError."""
    public, _ = esapi.nv_read_public(handle)
    return parse_nv_public(public.marshal()[2:])  # without the size of the TPM2B


def release(esapi: ESAPI, handle: ESYS_TR) -> None:
    """Let go of a handle that stands for something that stays in the TPM."""
    with contextlib.suppress(TSS2_Exception):
        esapi.tr_close(handle)
