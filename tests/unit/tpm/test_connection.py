import pytest
from tpm2_pytss import TSS2_Exception

from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.tpm.connection import Properties, explain, is_auth_failure, is_lost


@pytest.mark.parametrize(
    ("manufacturer", "vendor", "tcti", "kind"),
    [
        ("IFX", "SLB9672", "device:/dev/tpmrm0", RootOfTrust.TPM),
        ("IBM", "SW TPM", "device:/dev/tpmrm0", RootOfTrust.SOFTWARE_TPM),
        ("IFX", "SLB9672", "swtpm:path=/x", RootOfTrust.SOFTWARE_TPM),
        ("MSFT", "xCG fTPM", "device:/dev/tpmrm0", RootOfTrust.SOFTWARE_TPM),
    ],
)
def test_a_software_tpm_is_known_by_its_way_or_its_words(
    manufacturer: str, vendor: str, tcti: str, kind: RootOfTrust
) -> None:
    assert Properties(manufacturer, vendor, "0").kind(tcti) is kind


@pytest.mark.parametrize(
    ("rc", "lost", "code"),
    [
        (0xA000A, True, "TPM_FAILED"),  # I/O error of the TCTI
        (0x70007, True, "TPM_FAILED"),  # and what the context says ever after
        (0x910, True, "TPM_FAILED"),  # a handle that the TPM does not know
        (0x902, False, "TPM_BUSY"),  # no room for an object
        (0x905, False, "TPM_BUSY"),  # no session handle
        (0x921, False, "TPM_BUSY"),  # dictionary-attack lockout
        (0x922, False, "TPM_BUSY"),  # retry
        (0xC0902, False, "TPM_BUSY"),  # the same from a resource manager
        (0x101, False, "TPM_FAILED"),  # failure mode
        (0x98E, False, "TPM_FAILED"),
    ],
)
def test_error_codes_say_whether_to_connect_anew_or_to_wait(rc: int, lost: bool, code: str) -> None:
    error = TSS2_Exception(rc)
    assert is_lost(error) is lost
    assert explain(error).code == code
    assert f"{rc:#x}" in explain(error).message


@pytest.mark.parametrize(
    ("rc", "auth"), [(0x98E, True), (0x9A2, True), (0x1DF, False), (0x921, False)]
)
def test_a_wrong_authvalue_is_told_from_other_refusals(rc: int, auth: bool) -> None:
    assert is_auth_failure(TSS2_Exception(rc)) is auth
