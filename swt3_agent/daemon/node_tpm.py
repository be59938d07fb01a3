"""The TPM of a node: there from the start, or from whenever it comes."""

import logging
from pathlib import Path

from swt3_agent.config import NO_TPM, Config
from swt3_agent.daemon.back_off import BackOff
from swt3_agent.errors import TpmError
from swt3_agent.telemetry import Event, fields
from swt3_agent.tpm.client import Tpm, TpmIdentity

logger = logging.getLogger(__name__)


class NodeTpm:
    """``handle`` is None where the settings say that there is no TPM; ``lack`` says why the last
    attempt did not reach one.

    ``expected_ak`` is the attestation key that the log names (TPMT_PUBLIC); empty where it names
    none, and only then may one be created: a new key is a new identity.
    """

    def __init__(self, config: Config, keys: Path, expected_ak: bytes) -> None:
        self.handle: Tpm | None = None
        self.lack: TpmError | None = None
        self._back_off = BackOff()
        if config.tpm.tcti == NO_TPM:
            self.lack = TpmError(
                "TPM_ABSENT",
                "this node was told to run without a TPM",
                remedy="set agent.tpm.tcti or SWT3_TPM_TCTI to a TPM",
            )
            return
        self.handle = Tpm(
            config.tpm.tcti,
            keys,
            log_pcr=config.tpm.log_pcr,
            quoted_pcrs=config.quoted_pcrs,
            timeout_s=config.tpm.timeout,
            expected_ak=expected_ak,
        )

    def reach(self, *, at_once: bool) -> TpmIdentity | None:
        """The TPM's identity; None where it is not to be had, or not to be asked again yet.

        ``at_once``: somebody waits for it, so ask now, however short ago it failed.
        """
        if self.handle is None or not (at_once or self._back_off.due):
            return None
        try:
            return self.handle.open()
        except TpmError as error:
            self._back_off.failed()
            if self.lack is None or self.lack.code != error.code:  # said once, not at each attempt
                logger.warning(
                    "no TPM signs here %s",
                    fields(Event.TPM_LACKING, code=error.code, why=error, remedy=error.remedy),
                )
            self.lack = error
            return None

    def close(self) -> None:
        """Let go of the TPM."""
        if self.handle is not None:
            self.handle.close()
