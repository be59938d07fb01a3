"""A connection to the TPM through the TPM software stack, and what its errors mean.

Structures that the bindings return are marshalled at once and read by ``struct``: their fields
point into memory that goes away with their parent.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_SE,
    TPM2_SU,
    TPMA_SESSION,
    TPMT_SYM_DEF,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
    TSS2_Exception,
)

from swt3_agent.errors import TpmError
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.tcg.reader import Reader
from swt3_agent.tpm.reach import check_reachable, has_resource_manager, is_simulator

_TRANSIENT, _LOADED_SESSIONS = 0x80000000, 0x02000000  # TPM 2.0 Part 2, 7.2 (TPM_HT)
_MANUFACTURER, _VENDOR, _FIRMWARE = 0x105, range(0x106, 0x10A), (0x10B, 0x10C)  # TPM_PT
_MAX_HANDLES = 64
_TCTI_LAYER, _BAD_SEQUENCE = 0x0A, 0x70007
_UNKNOWN_HANDLE = range(0x910, 0x91F)  # TPM_RC_REFERENCE_H0 to TPM_RC_REFERENCE_S6
_TPM_LAYERS = (0x00, 0x0B, 0x0C)  # the TPM itself, and a resource manager that speaks for it
_BUSY = range(0x902, 0x907), (0x908, 0x909, 0x90A), range(0x920, 0x924)
_SOFTWARE_VENDORS = (("IBM", "SW"), ("MSFT", "xCG"))  # libtpms, and the reference simulator


@dataclass(frozen=True, slots=True)
class Properties:
    """Fixed properties of a TPM (TPM 2.0 Part 2, 6.13)."""

    manufacturer: str
    vendor: str
    firmware: str

    def kind(self, tcti: str) -> RootOfTrust:
        """Software where the way to it or its own words say so; a word alone proves nothing."""
        named = any(
            self.manufacturer == manufacturer and self.vendor.startswith(vendor)
            for manufacturer, vendor in _SOFTWARE_VENDORS
        )
        software = named or is_simulator(tcti)
        return RootOfTrust.SOFTWARE_TPM if software else RootOfTrust.TPM


def connect(tcti: str) -> ESAPI:
    """A started TPM with nothing of ours left in it.

    Raises TpmError TPM_ABSENT, TPM_DENIED, TPM_BUSY or TPM_FAILED, and TSS2_Exception.
    """
    check_reachable(tcti)
    try:
        esapi = ESAPI(tcti)
    except (TSS2_Exception, RuntimeError) as error:
        raise TpmError(
            "TPM_FAILED",
            f"the TPM at {tcti} cannot be reached: {error}",
            remedy="see that the TCTI is spelled right and its service runs",
        ) from error
    try:
        if is_simulator(tcti):
            esapi.startup(TPM2_SU.CLEAR)
        if not has_resource_manager(tcti):
            _flush_leftovers(esapi)
    except BaseException:
        esapi.close()
        raise
    return esapi


def _flush_leftovers(esapi: ESAPI) -> None:
    """Without a resource manager what a killed process had loaded stays, and fills the TPM."""
    for handle in (*_handles(esapi, _TRANSIENT), *_handles(esapi, _LOADED_SESSIONS)):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))


def _handles(esapi: ESAPI, first: int) -> list[int]:
    reader = _capability(esapi, TPM2_CAP.HANDLES, first, _MAX_HANDLES)
    return [reader.u32("handle") for _ in range(reader.u32("count"))]


def read_properties(esapi: ESAPI) -> Properties:
    """Manufacturer, vendor string and firmware version of the TPM."""
    reader = _capability(esapi, TPM2_CAP.TPM_PROPERTIES, _MANUFACTURER, 8)
    count = reader.u32("count")
    values = {reader.u32("property"): reader.take(4, "value") for _ in range(count)}
    return Properties(
        manufacturer=_text(values.get(_MANUFACTURER, b"")),
        vendor=_text(b"".join(values.get(property_, b"") for property_ in _VENDOR)),
        firmware=".".join(values.get(property_, b"").hex() for property_ in _FIRMWARE),
    )


def _capability(esapi: ESAPI, capability: int, first: int, count: int) -> Reader:
    _, data = esapi.get_capability(capability, first, count)
    reader = Reader(data.marshal(), "CAPABILITY")
    reader.u32("capability")
    return reader


def _text(value: bytes) -> str:
    characters = value.replace(b"\0", b"").decode("ascii", "replace")
    return " ".join("".join(c if c.isprintable() else "?" for c in characters).split())


@contextlib.contextmanager
def salted_session(
    esapi: ESAPI, parent: ESYS_TR, *, hide_command: bool = False, hide_answer: bool = False
) -> Iterator[ESYS_TR]:
    """An HMAC session whose salt only the storage primary ``parent`` can open, so that whoever
    listens on the bus learns no authValue and cannot change a command. Flushed at the end.

    ``hide_command`` encrypts the first parameter of each command too, ``hide_answer`` that of each
    answer."""
    session = esapi.start_auth_session(
        parent,
        ESYS_TR.NONE,
        TPM2_SE.HMAC,
        TPMT_SYM_DEF(
            algorithm=TPM2_ALG.AES,
            keyBits=TPMU_SYM_KEY_BITS(aes=128),
            mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB),
        ),
        TPM2_ALG.SHA256,
    )
    try:
        attributes = TPMA_SESSION.CONTINUESESSION
        if hide_command:
            attributes |= TPMA_SESSION.DECRYPT
        if hide_answer:
            attributes |= TPMA_SESSION.ENCRYPT
        esapi.trsess_set_attributes(session, attributes)
        yield session
    finally:
        flush(esapi, session)


def flush(esapi: ESAPI, handle: ESYS_TR) -> None:
    """Flush a handle of ours; a TPM that is lost has forgotten it already."""
    with contextlib.suppress(TSS2_Exception):
        esapi.flush_context(handle)


def is_lost(error: TSS2_Exception) -> bool:
    """Whether this connection is of no more use: one I/O error ruins it for good, and a TPM that
    was reset behind it no longer knows our handles."""
    rc = int(error.rc)
    return rc >> 16 == _TCTI_LAYER or rc == _BAD_SEQUENCE or rc in _UNKNOWN_HANDLE


def is_format_one(error: TSS2_Exception) -> bool:
    """Whether the TPM refused a handle, parameter or session of the command (Part 2, 6.6)."""
    rc = int(error.rc)
    return rc >> 16 in _TPM_LAYERS and bool(rc & 0x80)


def is_auth_failure(error: TSS2_Exception) -> bool:
    """Whether the authValue was wrong: TPM_RC_AUTH_FAIL or TPM_RC_BAD_AUTH."""
    return is_format_one(error) and int(error.rc) & 0xBF in (0x8E, 0xA2)


def is_no_such_handle(error: TSS2_Exception) -> bool:
    """Whether the TPM knows nothing under a handle that the command names: TPM_RC_HANDLE."""
    return is_format_one(error) and int(error.rc) & 0xBF == 0x8B


def is_no_space(error: TSS2_Exception) -> bool:
    """Whether NV memory is full: TPM_RC_NV_SPACE."""
    rc = int(error.rc)
    return rc >> 16 in _TPM_LAYERS and rc & 0xFFFF == 0x14B


def is_unwritten(error: TSS2_Exception) -> bool:
    """Whether an NV index has no content yet: TPM_RC_NV_UNINITIALIZED."""
    rc = int(error.rc)
    return rc >> 16 in _TPM_LAYERS and rc & 0xFFFF == 0x14A


def explain(error: TSS2_Exception) -> TpmError:
    """TPM_BUSY where the TPM asks for patience, else TPM_FAILED."""
    rc = int(error.rc)
    if rc >> 16 in _TPM_LAYERS and any(rc & 0xFFFF in codes for codes in _BUSY):
        return TpmError(
            "TPM_BUSY",
            f"the TPM cannot take the command now: {error} ({rc:#x})",
            remedy="end what else uses the TPM, or use the resource manager /dev/tpmrm0",
        )
    return TpmError(
        "TPM_FAILED",
        f"the TPM refused or lost the command: {error} ({rc:#x})",
        remedy="look at the kernel log (`journalctl -k -g tpm`); try again",
    )


def endorsement_owned(error: TSS2_Exception) -> TpmError:
    """The endorsement hierarchy asks for an authorization that we do not have."""
    return TpmError(
        "TPM_DENIED",
        f"the endorsement hierarchy of the TPM has an authorization of its own: {error}",
        remedy="take it off (`tpm2_changeauth -c endorsement -p OLD`), or clear the TPM",
    )
