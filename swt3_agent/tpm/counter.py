"""The gapless counter: an NV index that only counts up (docs/formats.md, "Counter").

Its authValue is that of the attestation keys, so that no other user of the TPM can increment it.
"""

import contextlib
from collections.abc import Iterator

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2B_NV_PUBLIC,
    TPMS_NV_PUBLIC,
    TPMT_SIG_SCHEME,
    TSS2_Exception,
)

from swt3_agent.errors import TpmError
from swt3_agent.tcg.algorithms import Algorithm
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.nv_public import COUNTER_ATTRIBUTES, COUNTER_SIZE, NvAttribute, NvPublic
from swt3_agent.tcg.signature import tpmt_to_der
from swt3_agent.tpm.connection import is_auth_failure, is_no_space, is_no_such_handle
from swt3_agent.tpm.link import Live
from swt3_agent.tpm.messages import CounterState, SignedAttest
from swt3_agent.tpm.nv import read_nv_public, release


def open_counter(live: Live, index: int, *, define: bool) -> CounterState:
    """The counter. Where there is none: TPM_COUNTER_GONE, or with ``define`` it is defined and
    incremented once, for it has no value before, and a crash between the two leaves one without."""
    public = _find(live, index)
    defined = public is None or not public.is_written
    if defined and not define:
        raise _gone(index)
    if public is None:
        _define(live, index)
    if defined:
        _increment(live, index)
    with _opened(live, index) as (handle, public):
        return CounterState(index, public.encoded, _read(live, handle), defined)


def increment_counter(live: Live, index: int) -> int:
    """One more; the new value."""
    _increment(live, index)
    with _opened(live, index) as (handle, _):
        return _read(live, handle)


def certify_counter(live: Live, index: int, extra: bytes) -> SignedAttest:
    """TPM2_NV_Certify of the whole counter."""
    with (
        _opened(live, index) as (handle, public),
        live.session() as of_key,
        live.session() as of_counter,
        _asking(index),
    ):
        attested, signature = live.esapi.nv_certify(
            live.key.handle,
            handle,
            extra,
            TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
            COUNTER_SIZE,
            0,
            session1=of_key,
            session2=of_counter,
        )
        attest = bytes(attested)
        parsed = parse_attest(attest)
        if parsed.nv is None or parsed.extra_data != extra or parsed.nv.name != public.name():
            raise TpmError(
                "TPM_FAILED",
                "the TPM certified something else than it was asked",
                remedy="trust this TPM with nothing; look for what changes its answers",
            )
        return SignedAttest(attest, tpmt_to_der(signature.marshal()))


def _find(live: Live, index: int) -> NvPublic | None:
    """Its public area; None where there is none."""
    try:
        with _opened(live, index) as (_, public):
            return public
    except TpmError as error:
        if error.code != "TPM_COUNTER_GONE":
            raise
        return None


def _define(live: Live, index: int) -> None:
    public = TPM2B_NV_PUBLIC(
        TPMS_NV_PUBLIC(
            nvIndex=index,
            nameAlg=TPM2_ALG.SHA256,
            attributes=COUNTER_ATTRIBUTES,
            dataSize=COUNTER_SIZE,
        )
    )
    with live.session(hide_command=True) as session:  # it carries the authValue
        try:
            handle = live.esapi.nv_define_space(live.key.auth, public, session1=session)
        except TSS2_Exception as error:
            if is_auth_failure(error):
                raise _owned(index, error) from error
            if is_no_space(error):
                raise _full(error) from error
            raise
    release(live.esapi, handle)


def _increment(live: Live, index: int) -> None:
    with _opened(live, index) as (handle, _), live.session() as session, _asking(index):
        live.esapi.nv_increment(handle, session1=session)


def _read(live: Live, handle: ESYS_TR) -> int:
    with live.session() as session, _asking(None):
        content = bytes(live.esapi.nv_read(handle, COUNTER_SIZE, 0, session1=session))
    return int.from_bytes(content, "big")


@contextlib.contextmanager
def _opened(live: Live, index: int) -> Iterator[tuple[ESYS_TR, NvPublic]]:
    """Handle and public area of the counter; TPM_COUNTER_GONE, TPM_COUNTER_INDEX."""
    try:
        handle = live.esapi.tr_from_tpmpublic(index)
    except TSS2_Exception as error:
        if not is_no_such_handle(error):
            raise
        raise _gone(index) from error
    try:
        public = read_nv_public(live.esapi, handle)
        _refuse_other(public, index)
        live.esapi.tr_set_auth(handle, live.key.auth)
        yield handle, public
    finally:
        release(live.esapi, handle)


def _refuse_other(public: NvPublic, index: int) -> None:
    ours = (
        public.index == index
        and public.attributes & ~NvAttribute.WRITTEN == COUNTER_ATTRIBUTES
        and public.size == COUNTER_SIZE
        and public.name_algorithm is Algorithm.SHA256
        and not public.policy
    )
    if not ours:
        raise TpmError(
            "TPM_COUNTER_INDEX",
            f"NV index {index:#010x} is not a counter of ours: attributes"
            f" {public.attributes:#010x}, {public.size} bytes",
            remedy="set agent.tpm.counter to an index that nothing else uses, or remove this one"
            f" (`tpm2_nvundefine -C o {index:#010x}`)",
        )


@contextlib.contextmanager
def _asking(index: int | None) -> Iterator[None]:
    try:
        yield
    except TSS2_Exception as error:
        if not is_auth_failure(error):
            raise
        where = "" if index is None else f" {index:#010x}"
        raise TpmError(
            "TPM_COUNTER_AUTH",
            f"the counter{where} has another authValue than the attestation key: {error}",
            remedy="where it is another agent's, set agent.tpm.counter to an index of its own; else"
            " restore keys/ak.auth from a backup; if there is none, remove the index"
            " (`tpm2_nvundefine -C o`), which the agent then defines again: it counts on from"
            " the highest value that any counter of this TPM had",
        ) from error


def _gone(index: int) -> TpmError:
    return TpmError(
        "TPM_COUNTER_GONE",
        f"the TPM has no NV index {index:#010x}, or it has no value: its owner removed the counter,"
        " or cleared the TPM",
        remedy="nothing: the agent's next step defines it again; find out who removed it",
    )


def _owned(index: int, error: TSS2_Exception) -> TpmError:
    return TpmError(
        "TPM_DENIED",
        f"only the owner of the TPM may define the counter {index:#010x}: the owner hierarchy has"
        f" an authorization of its own ({error})",
        remedy="take it off (`tpm2_changeauth -c owner -p OLD`) for one start of the agent",
    )


def _full(error: TSS2_Exception) -> TpmError:
    return TpmError(
        "TPM_NV_FULL",
        f"the TPM has no room for the counter: {error}",
        remedy="remove NV indices that nothing uses (`tpm2_getcap handles-nv-index`,"
        " `tpm2_nvundefine -C o INDEX`)",
    )
