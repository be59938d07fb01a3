from pathlib import Path

import pytest

from swt3_agent.errors import UsageError
from swt3_agent.tpm.client import Tpm


@pytest.mark.parametrize("log_pcr", [0, 14, 16, 23, 24])
def test_a_register_that_cannot_hold_the_log_is_refused(tmp_path: Path, log_pcr: int) -> None:
    with pytest.raises(UsageError) as caught:
        Tpm(None, tmp_path, log_pcr=log_pcr, quoted_pcrs=(log_pcr,))
    assert caught.value.code == "LOG_PCR"


def test_a_log_register_that_is_not_quoted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Tpm(None, tmp_path, log_pcr=13, quoted_pcrs=(0, 14))


@pytest.mark.parametrize("body", [b"", bytes(16 * 1024 + 1)])
def test_a_body_that_is_no_note_is_refused(tmp_path: Path, body: bytes) -> None:
    tpm = Tpm(None, tmp_path, quoted_pcrs=(13,))
    with pytest.raises(UsageError, match="note body"):
        tpm.extend_and_quote(body)
    with pytest.raises(UsageError, match="note body"):
        tpm.quote_head(body, bytes(32))


def test_nothing_starts_before_the_first_call(tmp_path: Path) -> None:
    tpm = Tpm(None, tmp_path, quoted_pcrs=(13,))
    assert tpm.process_id is None
    tpm.close()
