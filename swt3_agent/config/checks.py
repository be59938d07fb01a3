"""What the values of the agent's own settings may be, and in whose hands the files they name."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.problems import Findings
from swt3_agent.config.settings import (
    CadenceSettings,
    CustodySettings,
    HttpSettings,
    Intervals,
    LedgerSettings,
    ListenerSettings,
    ModelSettings,
    OpsSettings,
    TpmSettings,
)
from swt3_agent.config.values import NO_COUNTER, NO_TPM, Labels
from swt3_agent.errors import FormatError
from swt3_agent.protocol.checkpoint import LOG_PCRS
from swt3_agent.protocol.fingerprint import check_tenant
from swt3_agent.protocol.operational import refuse_free_text

TCTI_FORMS = "device:PATH, swtpm:path=SOCKET, mssim:host=HOST,port=PORT, tabrmd, or none"
_OPTIONS = "[a-z_]+=[^,]+(,[a-z_]+=[^,]+)*"
_TCTI = re.compile(f"device(:/.+)?|(swtpm|mssim|tabrmd)(:{_OPTIONS})?|{NO_TPM}")

MAX_NAME = 128  # characters
_MAX_TIMEOUT_S = 600
_MAX_INTERVAL_S = 366 * 24 * 3600
_MAX_BATCH_RECORDS = 1000
_MIN_COUNTER_S = 60  # each step writes to NV memory, and parts stand some 500,000 writes
_COUNTER = re.compile(f"01[89ab][0-9a-f]{{5}}|{NO_COUNTER}")
_TEMPERATURES = (1, 200)  # a limit that nothing reaches would be none
_BATCH_BYTES = (64 * 1024, 4 * 1024 * 1024)
_CUSTODY_FORMATS = ("log", "files")
_STAGES = ("design", "development", "testing", "deployment", "monitoring", "decommission")
_LISTENER = re.compile("[a-z][a-z0-9-]{0,31}")
_DIGEST = re.compile("[0-9a-f]{64}")


def check_settings(settings: FileSettings, findings: Findings) -> None:
    """Every value of ``settings`` that its type alone does not bound."""
    agent = settings.agent
    try:
        check_tenant(settings.tenant_id)
    except FormatError as error:
        findings.refuse("CONFIG_VALUE", "tenant_id", f"tenant_id: {error}", error.remedy)
    _check_name("agent_id", settings.agent_id, findings)
    for key in ("signing_key_id", *Labels.__slots__):
        _check_name(key, getattr(settings, key), findings)
    _check_tpm(agent.tpm, findings)
    _check_path("agent.state_dir", agent.state_dir, findings)
    _check_path("agent.socket", agent.socket, findings)
    _check_intervals(agent.intervals, agent.cadence, findings)
    lowest, highest = _TEMPERATURES
    findings.require(
        lowest <= agent.environment.max_temperature <= highest,
        "agent.environment.max_temperature",
        f"is not within {lowest} to {highest}",
        "give degrees Celsius, say 85",
    )
    findings.require(
        agent.gpu.expected is None or agent.gpu.expected >= 0,
        "agent.gpu.expected",
        "is negative",
        "give how many accelerators this node must have",
    )
    _check_models(agent.models, findings)
    _check_ledger(agent.ledger, findings)
    _check_custody(agent.custody, findings)
    _check_listeners(agent.http, agent.ops, findings)
    _check_tenants(agent.listeners, settings.tenant_id, findings)
    _check_absolute("agent.probe.socket", agent.probe.socket or None, findings)
    for index, importer in enumerate(agent.receipts.importers):
        _check_absolute(f"agent.receipts.importers[{index}]", importer, findings)


def names_a_tpm(tcti: str) -> bool:
    """Whether ``tcti`` has a form that leads to a TPM, or says that there is none. One that is
    merely misspelt must not pass for one that is not there."""
    return _TCTI.fullmatch(tcti) is not None


def _is_name(text: str) -> bool:
    """Whether ``text`` is short, and harmless where it is printed."""
    return text.isprintable() and 0 < len(text) <= MAX_NAME


def _check_name(key: str, text: str | None, findings: Findings) -> None:
    """A problem where ``text`` is there and is no name."""
    findings.require(
        text is None or _is_name(text),
        key,
        f"is not 1 to {MAX_NAME} printable characters",
        "give a short name",
    )


def _check_tpm(tpm: TpmSettings, findings: Findings) -> None:
    """``agent.tpm``."""
    findings.require(
        tpm.tcti is None or names_a_tpm(tpm.tcti),
        "agent.tpm.tcti",
        f"is {str(tpm.tcti)[:MAX_NAME]!r}, which names no TPM",
        f"use {TCTI_FORMS}",
    )
    findings.require(
        tpm.log_pcr in LOG_PCRS,
        "agent.tpm.log_pcr",
        f"is {tpm.log_pcr}",
        f"choose one of {sorted(LOG_PCRS)}: software can reset 16 and 23, the boot uses others",
    )
    findings.require(
        _COUNTER.fullmatch(tpm.counter) is not None,
        "agent.tpm.counter",
        f"is {tpm.counter[:MAX_NAME]!r}",
        f"give 8 hex digits from 01800000 to 01bfffff, which are the owner's, or {NO_COUNTER}",
    )
    _check_timeout("agent.tpm.timeout", tpm.timeout, findings)


def _check_intervals(intervals: Intervals, cadence: CadenceSettings, findings: Findings) -> None:
    """``agent.intervals`` and ``agent.cadence``."""
    for section, settings in (("intervals", intervals), ("cadence", cadence)):
        for name, seconds in msgspec.structs.asdict(settings).items():
            findings.require(
                seconds is None or 1 <= seconds <= _MAX_INTERVAL_S,
                f"agent.{section}.{name}",
                f"is not within 1 to {_MAX_INTERVAL_S}",
                "give seconds",
            )
    findings.require(
        not intervals.counter < _MIN_COUNTER_S,
        "agent.intervals.counter",
        f"is less than {_MIN_COUNTER_S}, which would wear out the TPM's memory",
        "give seconds, say 900",
    )


def _check_models(models: Sequence[ModelSettings], findings: Findings) -> None:
    """``agent.models``."""
    for index, model in enumerate(models):
        where = f"agent.models[{index}]"
        _check_name(f"{where}.name", model.name, findings)
        _check_absolute(f"{where}.path", model.path, findings)
        _check_digest(f"{where}.approved", model.approved, findings)
        findings.require(
            model.stage is None or model.stage in _STAGES,
            f"{where}.stage",
            "is no stage of a model's life",
            f"one of: {', '.join(_STAGES)}",
        )
        for number, file in enumerate(model.files):
            _check_digest(f"{where}.files[{number}].sha256", file.sha256, findings)
        for number, adapter in enumerate(model.adapters):
            _check_name(f"{where}.adapters[{number}].name", adapter.name, findings)
            _check_digest(f"{where}.adapters[{number}].approved", adapter.approved, findings)
    names = [model.name for model in models]
    unique = len(set(names)) == len(names)
    findings.require(unique, "agent.models", "has a name twice", "rename one")


def _check_tenants(
    listeners: Sequence[ListenerSettings], own_tenant: str, findings: Findings
) -> None:
    """``agent.listeners``."""
    for index, listener in enumerate(listeners):
        where = f"agent.listeners[{index}]"
        findings.require(
            _LISTENER.fullmatch(listener.name) is not None,
            f"{where}.name",
            "is no name for a listener",
            "1 to 32 of a-z, 0-9 and -, a letter first",
        )
        try:
            check_tenant(listener.tenant)
        except FormatError as error:
            key = f"{where}.tenant"
            findings.refuse("CONFIG_VALUE", key, f"{key}: {error}", error.remedy)
        findings.require(
            listener.tenant != own_tenant,
            f"{where}.tenant",
            "is the node's own",
            "its processes use agent.socket",
        )
        _check_absolute(f"{where}.socket", listener.socket, findings)
    for key in ("name", "tenant", "socket"):
        values = [getattr(listener, key) for listener in listeners]
        findings.require(
            len(set(values)) == len(values),
            "agent.listeners",
            f"has a {key} twice",
            "a listener is one tenant's, at a socket of its own",
        )


def _check_ledger(ledger: LedgerSettings, findings: Findings) -> None:
    """``agent.ledger``."""
    for name in ("ca", "certificate", "key"):
        _check_absolute(f"agent.ledger.{name}", getattr(ledger, name), findings)
    findings.require(
        (ledger.certificate is None) == (ledger.key is None),
        "agent.ledger.certificate",
        "and agent.ledger.key belong together",
        "give both or none",
    )
    _check_timeout("agent.ledger.timeout", ledger.timeout, findings)
    findings.require(
        1 <= ledger.batch_records <= _MAX_BATCH_RECORDS,
        "agent.ledger.batch_records",
        f"is not within 1 to {_MAX_BATCH_RECORDS}",
        "give how many records to send at once",
    )
    lowest, highest = _BATCH_BYTES
    findings.require(
        lowest <= ledger.batch_bytes <= highest,
        "agent.ledger.batch_bytes",
        f"is not within {lowest} to {highest}",
        "give how many bytes to send at once",
    )


def check_no_free_text(settings: FileSettings, findings: Findings) -> None:
    """What every anchor says of this node, at level 3 (docs/protocol.md 6.2)."""
    keys = ("agent_id", "signing_key_id", *Labels.__slots__)
    for key in keys:
        if key == "policy_version":  # only its hash travels
            continue
        try:
            refuse_free_text({key: getattr(settings, key)})
        except FormatError as error:
            findings.refuse("CONFIG_VALUE", key, error.message, error.remedy)


def _check_custody(custody: CustodySettings, findings: Findings) -> None:
    """``agent.custody``."""
    findings.require(
        custody.format in _CUSTODY_FORMATS,
        "agent.custody.format",
        "is no format of custody",
        f"one of: {', '.join(_CUSTODY_FORMATS)}",
    )
    findings.require(
        not (custody.format == "files" and custody.recipients),
        "agent.custody.recipients",
        "cannot be had with format: files, whose files are in clear",
        "use format: log, or leave the recipients out",
    )
    _check_absolute("agent.custody.path", custody.path, findings)
    for index, recipient in enumerate(custody.recipients):
        _check_absolute(f"agent.custody.recipients[{index}]", recipient, findings)


def _check_listeners(http: HttpSettings, ops: OpsSettings, findings: Findings) -> None:
    """``agent.http`` and ``agent.ops``."""
    for section, port in (("http", http.port), ("ops", ops.port)):
        findings.require(
            port is None or 1 <= port <= 65535,
            f"agent.{section}.port",
            "is no port",
            "give 1 to 65535, or leave it out to listen on no TCP port",
        )
    findings.require(
        http.port is None or http.port != ops.port,
        "agent.ops.port",
        "is agent.http.port too",
        "give each its own",
    )
    findings.require(
        http.port is None or http.token_file is not None,
        "agent.http.token_file",
        "is missing, and every user of this machine can reach agent.http.port",
        "name a file with the token that clients must show",
    )
    _check_absolute("agent.http.token_file", http.token_file, findings)


def _check_path(key: str, path: str, findings: Findings) -> None:
    """A problem where there is none."""
    findings.require(bool(path), key, "is empty", "give a path, or leave the key out")


def _check_absolute(key: str, path: str | None, findings: Findings) -> None:
    """A problem where ``path`` is there and depends on the directory of the start."""
    findings.require(
        path is None or Path(path).is_absolute(),
        key,
        "is not an absolute path",
        "write the path from / on: the agent runs in a directory of its own",
    )


def _check_digest(key: str, digest: str | None, findings: Findings) -> None:
    findings.require(
        digest is None or _DIGEST.fullmatch(digest) is not None,
        key,
        "is not a SHA-256 in lower-case hex",
        "copy the digest that `swt3-agent attest` shows for what you approved",
    )


def _check_timeout(key: str, seconds: float, findings: Findings) -> None:
    findings.require(
        0 < seconds <= _MAX_TIMEOUT_S,
        key,
        f"is not within 0 to {_MAX_TIMEOUT_S}",
        "give seconds, say 30",
    )
