"""PlatformCollector: the boot state as the TPM quotes it, and what the logs say led there.

The quote is verified before it is claimed, and a log says only what quoted registers vouch for.
"""

from collections.abc import Callable, Mapping, Sequence

from swt3_agent.collect.boot_log import read_boot_log
from swt3_agent.collect.ima import IMA_PCR, ImaLog
from swt3_agent.collect.measurement_logs import MeasurementLogs
from swt3_agent.collect.quotes import Identity, QuoteSource, VerifiedQuote, take_quote
from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.boot_state import comparable
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, Reason, Unavailable

_NO_SOURCE = {
    "lack": Lack.ABSENT.value,
    "code": "PROBE_ABSENT",
    "detail": "no probe is configured",
    "remedy": "set agent.probe.socket",
}
_ONLY_RACES = {
    "lack": Lack.BUSY.value,
    "code": "IMA_PCR_BUSY",
    "detail": "PCR 10 was extended while it was quoted, each time",
    "remedy": "the next reading tries again; measure less by a narrower IMA policy",
}


class PlatformCollector:
    """Claims: ``quote`` (verified, pcrs, pcr_count, reset_count, restart_count, clock_ms, safe,
    firmware, ak_name, digest), ``kind``, ``manufacturer``, ``firmware``, ``log_pcr`` (the agent's
    own register), ``boot_faults`` (why the registers do not tell of this boot), ``boot_log`` and
    ``ima_log``: each has ``lack`` (null, or absent, denied, busy, failed) and why, else what its
    replay came to (docs/protocol.md 8.3).

    Attachments: ``quote``, ``boot-log``, ``measured-boot``, ``ima-log``.
    """

    name = "platform"

    def __init__(
        self,
        source: QuoteSource | None,
        logs: MeasurementLogs | None = None,
        *,
        interval_s: float = 300.0,
        timeout_s: float = 130.0,
        boot_faults: Callable[[int], Sequence[Reason]] = lambda _: (),
        log_pcr: int = 13,
        ima_kept: Callable[[], int] = lambda: 0,
    ) -> None:
        """``source`` None: the node has no TPM; ``logs`` None: nobody reads the kernel's logs.
        ``boot_faults``: what heads found of this boot, and would of one whose quote says that the
        TPM was reset so often. ``log_pcr`` is the agent's own register, of
        which boot logs know nothing. ``ima_kept`` as of ``ImaLog``.

        Source and logs bound their own calls: ``timeout_s`` must leave room for two of the TPM's,
        each with the wait for its turn, and four of the logs'.
        """
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self._source = source
        self._logs = logs
        self._ima = None if logs is None else ImaLog(logs, ima_kept)
        self._boot_faults = boot_faults
        self._log_pcr = log_pcr

    def collect(self) -> Reading:
        """Take one quote over a fresh nonce, verify it here, and replay the logs to it."""
        if self._source is None:
            return Unavailable(
                self.name,
                Lack.ABSENT,
                "TPM_ABSENT",
                "this node has no TPM that the agent was given",
                "enable the TPM in the firmware settings, or name its device in the configuration",
            )
        try:
            identity = self._source.open()
            ima_lack = _NO_SOURCE if self._ima is None else self._ima.begin()
            quote = None
            if ima_lack is None:
                quote = _quote_with_ima(self._source)
                ima_lack = _ONLY_RACES if quote is None else None
            quote = quote or take_quote(self._source)
        except TpmError as error:
            return _unavailable(_LACKS.get(error.code, Lack.FAILED), error)
        except FormatError as error:
            return _unavailable(Lack.FAILED, error)
        return self._evidence(identity, quote, ima_lack)

    def _evidence(
        self, identity: Identity, quote: VerifiedQuote, ima_lack: Mapping[str, object] | None
    ) -> Evidence:
        claims: dict[str, object] = {
            "quote": quote.claims,
            "kind": identity.kind.value,
            "manufacturer": identity.manufacturer,
            "firmware": identity.firmware,
            "log_pcr": self._log_pcr,
            "boot_faults": [fault.to_json() for fault in self._boot_faults(quote.reset_count)],
            "boot_log": _NO_SOURCE,
            "ima_log": ima_lack,
        }
        attachments = {"quote": quote.attachment}
        stated: dict[str, object] = {}
        if self._logs is not None:
            boot = read_boot_log(self._logs, comparable(quote.claims, claims))
            claims["boot_log"] = boot.claims
            kept = {"boot-log": boot.log, "measured-boot": boot.measured}
            attachments |= {name: data for name, data in kept.items() if data is not None}
        if self._ima is not None and ima_lack is None:
            ima = self._ima.end(quote.pcrs)
            claims["ima_log"] = ima.claims
            stated["ima_log"] = ima.place
            if ima.part:
                attachments["ima-log"] = ima.part
        return Evidence(self.name, identity.kind, claims, stated, attachments)


def _quote_with_ima(source: QuoteSource) -> VerifiedQuote | None:
    """A quote that covers PCR 10; None where IMA extended it in between each time.

    On a busy node with a slow TPM that is no fault, and must cost no more than IMA's part.
    """
    try:
        return take_quote(source, (IMA_PCR,))
    except FormatError as error:
        if error.code != "QUOTE_PCR_DIGEST":
            raise
        return None


_LACKS = {"TPM_ABSENT": Lack.ABSENT, "TPM_DENIED": Lack.DENIED, "TPM_BUSY": Lack.BUSY}


def _unavailable(lack: Lack, error: TpmError | FormatError) -> Unavailable:
    return Unavailable(PlatformCollector.name, lack, error.code, error.message, error.remedy)
