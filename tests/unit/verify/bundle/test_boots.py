"""Which readings a manifest may name for which boot."""

import io

import pytest

from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.verify import verify_bundle
from tests.support.paper_bundle import PaperLog, trust_in

FIRST, LAST, SECOND = 6, 7, 14
"""Readings of boot-1, the first and the last, and the one of boot-2."""


def code_of(*boots: BootInfo) -> str:
    log = PaperLog()
    log.start()
    log.step(5)
    assert [log.read_platform(), log.read_platform()] == [FIRST, LAST]
    log.reboot(resets=0)  # so that nothing but the log tells the boots apart
    log.start()
    log.step(6)
    assert log.read_platform() == SECOND
    bundle = io.BytesIO(log.bundle(boots=boots))
    return verify_bundle(bundle, trust=trust_in(), allow_software_tpm=True).code


@pytest.mark.parametrize(
    ("boots", "code"),
    [
        ([("boot-1", [FIRST, LAST]), ("boot-2", [SECOND])], "BOOT_WITHOUT_TPM_RESET"),  # a kexec
        ([("boot-1", [FIRST, LAST])], "BOOT_READINGS"),
        ([("boot-1", [FIRST]), ("boot-2", [SECOND])], "BOOT_READINGS"),
        ([("boot-1", [FIRST, LAST]), ("boot-2", [FIRST, SECOND])], "BOOT_READINGS"),
        ([("boot-1", [SECOND, LAST]), ("boot-2", [SECOND])], "BOOT_READINGS"),
        ([("boot-1", [FIRST, LAST]), ("boot-2", [SECOND]), ("boot-3", [FIRST])], "BOOT_READINGS"),
        ([("boot-2", [SECOND]), ("boot-1", [FIRST, LAST]), ("boot-2", [SECOND])], "BOOT_READINGS"),
    ],
)
def test_each_boot_is_named_once_with_readings_of_its_own(
    boots: list[tuple[str, list[int]]], code: str
) -> None:
    assert code_of(*(BootInfo(boot_id, readings) for boot_id, readings in boots)) == code
