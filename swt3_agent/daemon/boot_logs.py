"""Boot and IMA log as they are now, with the registers that the TPM quotes beside them."""

import base64
import secrets
from typing import Any

from swt3_agent.daemon.node import Node
from swt3_agent.errors import RemoteError, TpmError
from swt3_agent.probe.client import Probe
from swt3_agent.protocol.evidence import Reason
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.tcg.ima_log.replay import IMA_PCR

MAX_LOG = 40 * 2**20  # in Base 64 less than an answer on the control socket may be
_NONCE_SIZE = 20  # nobody is to be convinced by it: it must only be fresh


def boot_log(node: Node) -> dict[str, Any]:
    """The boot log, Base64. Raises RemoteError of the probe: ``PROBE_*``, ``LOG_*``."""
    return _with_registers(node, Probe(node.config.probe_socket).boot_log())


def ima_log(node: Node) -> dict[str, Any]:
    """The IMA log, Base64. Raises RemoteError of the probe: ``PROBE_*``, ``LOG_*``."""
    return _with_registers(node, Probe(node.config.probe_socket).ima_log(), also=(IMA_PCR,))


def _with_registers(node: Node, log: bytes, also: tuple[int, ...] = ()) -> dict[str, Any]:
    """``pcrs`` null and ``lack`` where no TPM quotes: then nothing vouches for the log."""
    if len(log) > MAX_LOG:
        raise RemoteError(
            "LOG_TOO_LARGE",
            f"the log has {len(log)} bytes, more than the agent hands on at once",
            remedy="as root: swt3-agent boot-log --ima"
            " /sys/kernel/security/ima/binary_runtime_measurements",
        )
    answer: dict[str, Any] = {"log": base64.b64encode(log).decode(), "pcrs": None, "lack": None}
    try:
        node.reach_tpm()
        if node.tpm is None:
            assert node.tpm_lack is not None  # noqa: S101  opening sets one or the other
            raise node.tpm_lack
        quote = node.tpm.challenge(secrets.token_bytes(_NONCE_SIZE), also=also)
    except TpmError as error:
        answer["lack"] = Reason.of(error).to_json()
    else:
        answer["pcrs"] = pcrs_text(quote.pcrs)
    return answer
