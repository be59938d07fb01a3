"""What the agent was told to do: environment over agent.yaml over defaults.

Two kinds of keys share the file: those of the SWT3 clients at the top level, and the agent's
own under ``agent:``, since clients refuse keys that they do not know.
Unknown and repeated keys are refused with a suggestion: a key that is silently ignored is a
setting that its author believes in.
"""

import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from swt3_agent.config.settings import (
    CustodySettings,
    EnvironmentSettings,
    GpuSettings,
    HttpSettings,
    Intervals,
    LedgerSettings,
    ModelSettings,
    OpsSettings,
    OutputSettings,
    ReceiptSettings,
    TpmSettings,
)
from swt3_agent.errors import ConfigError, FormatError
from swt3_agent.protocol.checkpoint import LOG_PCRS, quoted_pcrs
from swt3_agent.protocol.fingerprint import check_tenant

DEFAULT_FILE = Path("/etc/swt3-agent/agent.yaml")
DEFAULT_STATE_DIR = Path("/var/lib/swt3-agent")
DEFAULT_SOCKET = Path("/run/swt3-agent/intake.sock")
DEFAULT_CLEARING_LEVEL = 3  # no ledger is configured in this version: nothing may leave
NO_TPM = "none"

_TCTI_FORMS = "device:PATH, swtpm:path=SOCKET, mssim:host=HOST,port=PORT, tabrmd, or none"
_OPTIONS = "[a-z_]+=[^,]+(,[a-z_]+=[^,]+)*"
_TCTI = re.compile(f"device(:/.+)?|(swtpm|mssim|tabrmd)(:{_OPTIONS})?|{NO_TPM}")

_MAX_FILE_BYTES = 1 << 20
_MAX_NAME = 128  # characters
_MAX_TPM_TIMEOUT_S = 600
_MAX_INTERVAL_S = 366 * 24 * 3600


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent:`` in agent.yaml."""

    state_dir: str = str(DEFAULT_STATE_DIR)
    socket: str = str(DEFAULT_SOCKET)
    tpm: TpmSettings = TpmSettings()
    intervals: Intervals = Intervals()
    gpu: GpuSettings = GpuSettings()
    models: tuple[ModelSettings, ...] = ()
    environment: EnvironmentSettings = EnvironmentSettings()
    ledger: LedgerSettings = LedgerSettings()
    custody: CustodySettings = CustodySettings()
    http: HttpSettings = HttpSettings()
    ops: OpsSettings = OpsSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    output: OutputSettings = OutputSettings()


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agent.yaml as a whole."""

    tenant_id: str = "LOCAL"
    clearing_level: int = DEFAULT_CLEARING_LEVEL
    agent_id: str | None = None
    agent: AgentSettings = AgentSettings()


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger to deliver to. ``endpoint`` has no trailing slash; ``api_key`` is a secret."""

    endpoint: str
    api_key: str = field(repr=False)
    settings: LedgerSettings


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key of ``payload_signature`` (docs/protocol.md 7.1); ``key`` is a secret."""

    algorithm: str
    key: str = field(repr=False)
    key_id: str | None
    key_version: int | None


@dataclass(frozen=True, slots=True)
class Labels:
    """Operational fields of every anchor that this node mints (docs/protocol.md 4)."""

    cycle_id: str | None = None
    policy_version: str | None = None
    jurisdiction: str | None = None
    legal_basis: str | None = None
    purpose_class: str | None = None


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """``mcp_policy``: what `check` lets a tool do (docs/protocol.md 13, 15)."""

    allowlist: tuple[str, ...] = ()
    blocklist: tuple[str, ...] = ()
    max_velocity: str | None = None
    max_chain_depth: int | None = None
    rules: tuple[Mapping[str, object], ...] = ()
    max_tokens_per_session: int | None = None
    fail_secure: bool = True


@dataclass(frozen=True, slots=True)
class Required:
    """``policy`` and ``hardware``: what must be witnessed, and how fresh the hardware's word is."""

    procedures: tuple[str, ...] = ()
    attestation_freshness: float = 3600.0


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force, each checked."""

    tenant: str
    clearing_level: int
    agent_id: str | None
    profile: str | None
    ledger: Ledger | None
    signing: SigningKey | None
    labels: Labels
    tools: ToolPolicy
    required: Required
    state_dir: Path
    socket: Path
    tpm: TpmSettings
    intervals: Intervals
    gpu: GpuSettings
    models: tuple[ModelSettings, ...]
    environment: EnvironmentSettings
    custody: CustodySettings
    http: HttpSettings
    ops: OpsSettings
    receipts: ReceiptSettings
    output: OutputSettings
    source: str

    @property
    def control_socket(self) -> Path:
        """Beside the intake socket: ``intake.sock`` -> ``control.sock``, ``x`` -> ``x.control``."""
        return self._beside("control")

    @property
    def http_socket(self) -> Path | None:
        """``agent.http.socket``; where nothing is said, beside the intake socket. None: none."""
        return self._chosen(self.http.socket, "http")

    @property
    def ops_socket(self) -> Path | None:
        """``agent.ops.socket``; where nothing is said, beside the intake socket. None: none."""
        return self._chosen(self.ops.socket, "ops")

    def _chosen(self, setting: str | None, name: str) -> Path | None:
        if setting is None:
            return self._beside(name)
        return Path(setting).absolute() if setting else None

    def _beside(self, name: str) -> Path:
        if self.socket.name == DEFAULT_SOCKET.name:
            return self.socket.with_name(f"{name}.sock")
        return self.socket.with_name(f"{self.socket.name}.{name}")

    @property
    def quoted_pcrs(self) -> tuple[int, ...]:
        """The PCRs of every quote, ascending (docs/formats.md, "What a signed head proves")."""
        return quoted_pcrs(self.tpm.log_pcr)


def load_config(environ: Mapping[str, str], file: Path | None = None) -> Config:
    """The settings in force: ``environ`` over ``file`` over the defaults.

    ``file`` None means agent.yaml at its usual place, where it exists.
    Raises ConfigError naming the key or variable.
    """
    settings, source = _read_settings(file)
    settings = _overridden(settings, environ)
    return _checked(settings, source)


def _read_settings(file: Path | None) -> tuple[FileSettings, str]:
    if file is None:
        if not DEFAULT_FILE.exists():
            return FileSettings(), "defaults"
        file = DEFAULT_FILE
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            "CONFIG_UNREADABLE",
            f"{file} cannot be read: {error.strerror}",
            remedy="check the path and its permissions",
        ) from error
    if len(text) > _MAX_FILE_BYTES:
        raise ConfigError(
            "CONFIG_TOO_LARGE",
            f"{file} is larger than {_MAX_FILE_BYTES} bytes",
            remedy="is it the right file? A configuration is a few hundred lines",
        )
    return parse_settings(text, str(file)), str(file)


def parse_settings(text: bytes, source: str) -> FileSettings:
    """agent.yaml's content as settings; raises ConfigError naming ``source`` and the key."""
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a SafeLoader of our own
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            "CONFIG_SYNTAX", f"{source} is not YAML: {error}", remedy="mend the line it names"
        ) from error
    document = {} if document is None else document
    _refuse_unknown_keys(document, FileSettings, "", source)
    try:
        return msgspec.convert(document, FileSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(
            "CONFIG_VALUE", f"{source}: {error}", remedy="give the key a value of that type"
        ) from error


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without two of YAML's traps: a key given twice (the library would keep the last
    in silence) and aliases (a few of them expand to gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs lack it
            raise yaml.composer.ComposerError(
                None, None, f"alias *{event.anchor} is not allowed here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_unknown_keys(value: object, kind: Any, path: str, source: str) -> None:
    """Walk ``value`` beside its Struct, so that the error can suggest what was meant."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown_keys(item, kind, f"{path}[{index}]", source)
        return
    if not isinstance(value, dict):
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(fields)}"
            raise ConfigError("CONFIG_UNKNOWN_KEY", f"{source}: unknown key {where!r}", remedy=hint)
        struct = _struct_within(fields[key])
        if struct is not None:
            _refuse_unknown_keys(inner, struct, where, source)


def _struct_within(annotation: Any) -> Any:
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _overridden(settings: FileSettings, environ: Mapping[str, str]) -> FileSettings:
    agent = settings.agent
    if value := environ.get("SWT3_STATE_DIR"):
        agent = msgspec.structs.replace(agent, state_dir=value)
    if value := environ.get("SWT3_AGENT_SOCKET"):
        agent = msgspec.structs.replace(agent, socket=value)
    if value := environ.get("SWT3_TPM_TCTI"):
        _check_tcti(value, "SWT3_TPM_TCTI")
        agent = msgspec.structs.replace(agent, tpm=msgspec.structs.replace(agent.tpm, tcti=value))
    settings = msgspec.structs.replace(settings, agent=agent)
    if value := environ.get("SWT3_TENANT_ID"):
        settings = msgspec.structs.replace(settings, tenant_id=value)
    if value := environ.get("SWT3_AGENT_ID"):
        settings = msgspec.structs.replace(settings, agent_id=value)
    if value := environ.get("SWT3_CLEARING_LEVEL"):
        if not re.fullmatch("[0-3]", value):
            raise ConfigError(
                "CONFIG_VALUE",
                f"SWT3_CLEARING_LEVEL is {value!r}",
                remedy="set it to 0, 1, 2 or 3; a wrong level must not fall back to an open one",
            )
        settings = msgspec.structs.replace(settings, clearing_level=int(value))
    return settings


def _check_tcti(value: str, key: str) -> None:
    """A TPM that is merely misspelt must not pass for one that is not there."""
    if _TCTI.fullmatch(value) is None:
        raise ConfigError(
            "CONFIG_VALUE", f"{key} is {value!r}, which names no TPM", remedy=f"use {_TCTI_FORMS}"
        )


def _checked(settings: FileSettings, source: str) -> Config:
    agent = settings.agent

    def require(condition: bool, key: str, problem: str, remedy: str) -> None:
        if not condition:
            raise ConfigError("CONFIG_VALUE", f"{key} {problem}", remedy=remedy)

    try:
        check_tenant(settings.tenant_id)
    except FormatError as error:
        raise ConfigError("CONFIG_VALUE", f"tenant_id: {error}", remedy=error.remedy) from error
    require(
        settings.clearing_level in range(4),
        "clearing_level",
        f"is {settings.clearing_level}",
        "set it to 0, 1, 2 or 3",
    )
    if agent.tpm.tcti is not None:
        _check_tcti(agent.tpm.tcti, "agent.tpm.tcti")
    for key, path in (("agent.state_dir", agent.state_dir), ("agent.socket", agent.socket)):
        require(bool(path), key, "is empty", "give a path, or leave the key out")
    require(
        agent.tpm.log_pcr in LOG_PCRS,
        "agent.tpm.log_pcr",
        f"is {agent.tpm.log_pcr}",
        f"choose one of {sorted(LOG_PCRS)}: software can reset 16 and 23, the boot uses others",
    )
    require(
        settings.agent_id is None
        or (settings.agent_id.isprintable() and 0 < len(settings.agent_id) <= _MAX_NAME),
        "agent_id",
        f"is not 1 to {_MAX_NAME} printable characters",
        "give a short name",
    )
    require(
        0 < agent.tpm.timeout <= _MAX_TPM_TIMEOUT_S,
        "agent.tpm.timeout",
        f"is not within 0 to {_MAX_TPM_TIMEOUT_S}",
        "give seconds, say 30",
    )
    for name in Intervals.__struct_fields__:
        require(
            1 <= getattr(agent.intervals, name) <= _MAX_INTERVAL_S,
            f"agent.intervals.{name}",
            f"is not within 1 to {_MAX_INTERVAL_S}",
            "give seconds",
        )
    require(
        agent.gpu.expected is None or agent.gpu.expected >= 0,
        "agent.gpu.expected",
        "is negative",
        "give how many accelerators this node must have",
    )
    for index, model in enumerate(agent.models):
        require(
            model.name.isprintable() and 0 < len(model.name) <= _MAX_NAME,
            f"agent.models[{index}].name",
            f"is not 1 to {_MAX_NAME} printable characters",
            "give a short name",
        )
        require(
            Path(model.path).is_absolute(),
            f"agent.models[{index}].path",
            "is not an absolute path",
            "write the path from / on: the agent runs in a directory of its own",
        )
        require(
            model.approved is None or re.fullmatch("[0-9a-f]{64}", model.approved) is not None,
            f"agent.models[{index}].approved",
            "is not a SHA-256 in lower-case hex",
            "copy the digest that `swt3-agent attest` shows for the model you approved",
        )
    names = [model.name for model in agent.models]
    require(len(set(names)) == len(names), "agent.models", "has a name twice", "rename one")
    return Config(
        tenant=settings.tenant_id,
        clearing_level=settings.clearing_level,
        agent_id=settings.agent_id,
        profile=None,
        ledger=None,
        signing=None,
        labels=Labels(),
        tools=ToolPolicy(),
        required=Required(),
        state_dir=Path(agent.state_dir).absolute(),  # verbs find the daemon from any directory
        socket=Path(agent.socket).absolute(),
        tpm=agent.tpm,
        intervals=agent.intervals,
        gpu=agent.gpu,
        models=agent.models,
        environment=agent.environment,
        custody=agent.custody,
        http=agent.http,
        ops=agent.ops,
        receipts=agent.receipts,
        output=agent.output,
        source=source,
    )
