"""A challenge from the command line, judged by tpm2-tools."""

import json
import shlex
import subprocess
from pathlib import Path

from swt3_agent.tpm.software import SoftwareTpm
from tests.support.agent import AgentProcess

NONCE = "00112233445566778899aabbccddeeff"
FIRST_OF_PCR_0, FIRST_OF_PCR_13 = 142, 806  # offsets in pcrs.bin


def test_the_printed_command_binds_key_nonce_and_pcr_values(
    swtpm: SoftwareTpm, room: Path, tmp_path: Path
) -> None:
    with AgentProcess(room, swtpm.tcti) as agent:
        directory = tmp_path / "my quote"
        printed = agent.cli("quote", "--nonce", NONCE, "-o", str(directory)).stdout
        answer = agent.json("quote", "--nonce", NONCE, "-o", str(directory))
        (tmp_path / "file").touch()
        for output in (str(tmp_path / "file"), "/proc/q"):
            refused = agent.cli("quote", "--nonce", NONCE, "-o", output)
            assert refused.returncode == 1
            assert "OUTPUT_UNWRITABLE" in refused.stderr
    command = printed[printed.index("    tpm2_checkquote") :]
    assert shlex.split(command.replace("\\\n", "")) == shlex.split(answer["check"])

    checked = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    values = json.loads((directory / "pcrs.json").read_text())["sha256"]
    assert values == answer["pcrs"]
    for index, value in values.items():
        assert f"{index:<2}: 0x{value.upper()}" in checked.stdout

    good = (directory / "pcrs.bin").read_bytes()
    for offset in (FIRST_OF_PCR_0, FIRST_OF_PCR_13):
        changed = bytearray(good)
        changed[offset] ^= 1
        (directory / "pcrs.bin").write_bytes(changed)
        refused_values = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert refused_values.returncode != 0
