"""A connection that breaks around an extend, which must never be done twice.

The break is put between the bindings and the TPM, where the kernel or the bus would put it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPML_DIGEST_VALUES,
    TPMT_HA,
    TPMU_HA,
    TSS2_Exception,
)

from swt3_agent.errors import TpmError
from swt3_agent.protocol.checkpoint import QUOTED_PCRS, extended
from swt3_agent.tpm.messages import ExtendAndQuote, Open, ReadPcrs, SignedHead
from swt3_agent.tpm.owner import Owner
from swt3_agent.tpm.software import SoftwareTpm

IO_ERROR = 0xA000A
EXTEND, QUOTE = ESAPI.pcr_extend, ESAPI.quote
BODY = b"head\n"


@pytest.fixture
def owner(swtpm: SoftwareTpm, room: Path) -> Iterator[Owner]:
    request = Open(swtpm.tcti, str(room / "keys"), 13, QUOTED_PCRS)
    owner = Owner(request)
    owner.answer(request)
    yield owner
    owner.close()


def _sha256_digest(value: bytes) -> TPML_DIGEST_VALUES:
    digest = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=value))
    return TPML_DIGEST_VALUES([digest])


def log_pcr(owner: Owner) -> object:
    return owner.answer(ReadPcrs((13,)))


def test_an_extend_whose_answer_is_lost_is_found_done_and_quoted(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extend_then_break(*args: Any, **kwargs: Any) -> None:
        EXTEND(*args, **kwargs)
        raise TSS2_Exception(IO_ERROR)

    monkeypatch.setattr(ESAPI, "pcr_extend", extend_then_break)
    head = owner.answer(ExtendAndQuote(BODY))
    assert isinstance(head, SignedHead)
    assert head.before == bytes(32)
    assert log_pcr(owner) == {13: extended(bytes(32), BODY)}


def test_an_extend_that_did_not_happen_is_not_made_up_for(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_first(*args: Any, **kwargs: Any) -> None:
        raise TSS2_Exception(IO_ERROR)

    monkeypatch.setattr(ESAPI, "pcr_extend", break_first)
    with pytest.raises(TpmError, match="was not extended"):
        owner.answer(ExtendAndQuote(BODY))
    assert log_pcr(owner) == {13: bytes(32)}


def test_a_quote_that_breaks_behind_the_extend_is_repeated_alone(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks = [TSS2_Exception(IO_ERROR)]

    def break_once(*args: Any, **kwargs: Any) -> Any:
        if breaks:
            raise breaks.pop()
        return QUOTE(*args, **kwargs)

    monkeypatch.setattr(ESAPI, "quote", break_once)
    assert isinstance(owner.answer(ExtendAndQuote(BODY)), SignedHead)
    assert breaks == []
    assert log_pcr(owner) == {13: extended(bytes(32), BODY)}


def test_a_register_that_changes_between_quote_and_read_is_quoted_again(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [b"\x01" * 32, b"\x02" * 32]

    def quote_then_change(esapi: ESAPI, *args: Any, **kwargs: Any) -> Any:
        result = QUOTE(esapi, *args, **kwargs)
        if changes:
            EXTEND(esapi, ESYS_TR(14), _sha256_digest(changes.pop()))
        return result

    monkeypatch.setattr(ESAPI, "quote", quote_then_change)
    head = owner.answer(ExtendAndQuote(BODY))
    assert isinstance(head, SignedHead)
    assert changes == []
    assert log_pcr(owner) == {13: extended(bytes(32), BODY)}


def test_a_foreign_extend_behind_ours_is_a_finding(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extend_twice(esapi: ESAPI, *args: Any, **kwargs: Any) -> None:
        EXTEND(esapi, *args, **kwargs)
        EXTEND(esapi, ESYS_TR(13), _sha256_digest(b"\x03" * 32))

    monkeypatch.setattr(ESAPI, "pcr_extend", extend_twice)
    with pytest.raises(TpmError) as caught:
        owner.answer(ExtendAndQuote(BODY))
    assert caught.value.code == "TPM_LOG_PCR"
