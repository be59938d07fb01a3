"""The shipped IMA policy keeps to the kernel's grammar (Documentation/ABI/testing/ima_policy)."""

import re
from pathlib import Path

POLICY = (Path(__file__).parents[2] / "packaging" / "ima" / "ima-policy").read_text()
RULES = [line for line in POLICY.splitlines() if line and not line.startswith("#")]
FUNCTIONS = {
    "BPRM_CHECK",
    "MMAP_CHECK",
    "MODULE_CHECK",
    "FIRMWARE_CHECK",
    "KEXEC_KERNEL_CHECK",
    "KEXEC_INITRAMFS_CHECK",
    "KEXEC_CMDLINE",
    "POLICY_CHECK",
    "CRITICAL_DATA",
}
RULE = re.compile(
    "dont_measure fsmagic=0x[0-9a-f]{4,8}|measure func=(?P<function>[A-Z_]+)(?: mask=MAY_EXEC)?"
)


def test_every_rule_is_one_that_the_kernel_knows() -> None:
    assert [rule for rule in RULES if RULE.fullmatch(rule) is None] == []  # no trailing remarks


def test_it_measures_what_runs_and_what_the_kernel_loads() -> None:
    matches = [match for rule in RULES if (match := RULE.fullmatch(rule)) is not None]
    assert {match["function"] for match in matches} - {None} == FUNCTIONS


def test_it_reads_no_data_and_refuses_nothing() -> None:
    assert not any("FILE_CHECK" in rule or "appraise" in rule for rule in RULES)
    assert not any(rule == "dont_measure fsmagic=0x1021994" for rule in RULES)  # tmpfs
