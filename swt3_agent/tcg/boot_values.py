"""Values by name from the extends of each register (docs/formats.md, "Measured boot").

Of an event only what was hashed counts. Types and labels can be changed by whoever hands the log
over, so that each list of digests holds everything that its register was extended with, less a few
texts that are known to be harmless.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from swt3_agent.tcg.event_log.content import (
    GLOBAL_VARIABLE,
    IMAGE_SECURITY_DATABASE,
    SHIM_LOCK,
    Action,
    Command,
    CommandLine,
    Content,
    FirmwareVersion,
    Gpt,
    Label,
    Variable,
)
from swt3_agent.tcg.event_log.coverage import Coverage
from swt3_agent.tcg.event_log.cursor import ascii_text
from swt3_agent.tcg.event_log.events import EventType

MAX_NAME = 256  # characters of an event's name
MAX_TEXT = 4096  # characters of a value; a longer text is named by its digest
MAX_INITRDS = 64  # of one command; its text has all of them

_RESERVED = frozenset({"empty", "(none)", "*"})  # docs/formats.md: nothing, and anything

Found = Iterator[tuple[str, str]]
"""Names and values, in the order in which they were measured."""


@dataclass(frozen=True, slots=True)
class Extend:
    """One extend of a register: what the log says of it, and how much of that was hashed."""

    type: int
    content: Content
    coverage: Coverage
    digest: str

    @property
    def known(self) -> Content | None:
        """The content, where all of the event's data was hashed."""
        return self.content if self.coverage is Coverage.DATA else None

    @property
    def said(self) -> Content | None:
        """The content, where it was hashed, whatever name it goes by."""
        return None if self.coverage is Coverage.NOTHING else self.content


def read_values(
    extends: Mapping[int, list[Extend]], loaded: "Loaded"
) -> dict[str, tuple[str, ...]]:
    """All values by name, in the order of the extends and as often; a register that did not match
    gives none."""
    values: dict[str, list[str]] = {}
    for index, read in _READERS:
        for name, value in read(extends.get(index, [])):
            values.setdefault(name, []).append(value)
    for name, value in _kernel(loaded, extends.get(9, [])):
        values.setdefault(name, []).append(value)
    return {name: tuple(found) for name, found in values.items()}


def _firmware(extends: Iterable[Extend]) -> Found:
    for extend in extends:
        if isinstance(extend.known, FirmwareVersion):
            yield "firmware-version", _text(extend.known.text)


def _partitions(extends: Iterable[Extend]) -> Found:
    for extend in extends:
        if isinstance(extend.known, Gpt):
            yield "gpt", f"sha256:{extend.digest}"


def _secure_boot(extends: Iterable[Extend]) -> Found:
    """PCR 7: configuration is what stands before the separator; what follows, anyone may extend."""
    configuration = True
    for extend in extends:
        content = extend.known
        if _is_separator(extend):
            configuration = False
        elif extend.digest == _ERROR_SEPARATOR:
            configuration = False
            yield "secure-boot-authorities", f"unverified sha256:{extend.digest}"
        elif not isinstance(content, Variable):
            yield "secure-boot-authorities", f"unverified sha256:{extend.digest}"
        elif configuration and extend.type == EventType.EV_EFI_VARIABLE_DRIVER_CONFIG:
            yield from _configuration(content)
        else:
            yield _authority(content)


def _configuration(variable: Variable) -> Found:
    known = (variable.guid, variable.name)
    if known == (GLOBAL_VARIABLE, "SecureBoot"):
        yield "secure-boot", "enabled" if variable.value == b"\x01" else "disabled"
    elif known in _MODES:
        yield _MODES[known], "on" if variable.value == b"\x01" else "off"
    elif known in _DATABASES:
        yield _DATABASES[known], _digest(variable.value)
    else:
        yield "secure-boot-variables", f"{variable.name[:MAX_NAME]} {_digest(variable.value)}"


_MODES = {
    (GLOBAL_VARIABLE, "SetupMode"): "setup-mode",
    (GLOBAL_VARIABLE, "AuditMode"): "audit-mode",
    (GLOBAL_VARIABLE, "DeployedMode"): "deployed-mode",
}
_DATABASES = {
    (GLOBAL_VARIABLE, "PK"): "platform-key",
    (GLOBAL_VARIABLE, "KEK"): "key-exchange-keys",
    (IMAGE_SECURITY_DATABASE, "db"): "db",
    (IMAGE_SECURITY_DATABASE, "dbx"): "dbx",
}
_OWNER = 16  # EFI_SIGNATURE_DATA begins with the GUID of who enrolled the certificate


def _authority(variable: Variable) -> tuple[str, str]:
    """Whose signature let an image run; a certificate by the SHA-256 of its DER."""
    name = variable.name[:MAX_NAME]
    if variable.guid == SHIM_LOCK and name == "SbatLevel":
        return "sbat-level", _text(ascii_text(variable.value).strip())
    if variable.guid == SHIM_LOCK and name not in ("Shim", "MokList", "MokListRT"):
        return "shim-variables", f"{name} {_digest(variable.value)}"
    owner = _OWNER if variable.guid == IMAGE_SECURITY_DATABASE else 0
    return "secure-boot-authorities", f"{name} {_digest(variable.value[owner:])}"


def _digests(name: str) -> Callable[[Iterable[Extend]], Found]:
    """Everything that a register was extended with, by digest."""

    def read(extends: Iterable[Extend]) -> Found:
        for extend in extends:
            if not (_is_separator(extend) or _is_harmless(extend)):
                yield name, f"sha256:{extend.digest}"

    return read


def _commands(extends: Iterable[Extend]) -> Found:
    """PCR 8: each command and command line that the boot loader hashed, as text."""
    for extend in extends:
        if _is_separator(extend):
            continue
        if isinstance(extend.said, CommandLine):
            yield "command-line", _text(extend.said.text)
        elif isinstance(extend.said, Command):
            yield "boot-commands", _text(extend.said.text)
        else:
            yield "boot-commands", f"sha256:{extend.digest}"


def _parameters(extends: Iterable[Extend]) -> Found:
    """PCR 12: the command line that systemd-stub was given, and what else it passes on."""
    for extend in extends:
        if isinstance(extend.said, CommandLine):
            yield "command-line", _text(extend.said.text)
        elif not _is_separator(extend):
            yield "boot-parameters", f"sha256:{extend.digest}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which files GRUB loaded as what, by the commands that it hashed before it ran them: paths,
    each once, in the order of the commands."""

    kernels: Mapping[str, None]
    initrds: Mapping[str, None]

    @classmethod
    def by(cls, commands: Iterable[Extend]) -> "Loaded":
        kernels: list[str] = []
        initrds: list[str] = []
        for extend in commands:
            if isinstance(extend.said, Command):
                verb, *words = extend.said.text.split(maxsplit=MAX_INITRDS + 1) or [""]
                if verb in ("linux", "linuxefi", "linux16"):
                    kernels += words[:1]
                elif verb in ("initrd", "initrdefi", "initrd16"):
                    initrds += words[:MAX_INITRDS]
        return cls(dict.fromkeys(kernels), dict.fromkeys(initrds))

    def role(self, content: Content) -> str | None:
        """What the file of this label was loaded as."""
        if isinstance(content, Label):
            if content.text in self.kernels or content.text == "grub_linuxefi Kernel":
                return "kernel"
            if content.text in self.initrds or content.text in _INITRD_LABELS:
                return "initrd"
        return None

    def name(self, content: Content) -> str:
        """What to call an event."""
        role = self.role(content)
        return (f"{role} {content}" if role else str(content))[:MAX_NAME]


_INITRD_LABELS = ("grub_linuxefi Initrd", "Linux initrd")


def _kernel(loaded: Loaded, files: Iterable[Extend]) -> Found:
    """Kernel and initrd of GRUB: paths from the commands that loaded them, digests by label."""
    yield from (("kernel-path", _text(path)) for path in loaded.kernels)
    yield from (("initrd-path", _text(path)) for path in loaded.initrds)
    for extend in files:
        role = loaded.role(extend.content)
        if role is not None:
            yield role, f"sha256:{extend.digest}"


_READERS: tuple[tuple[int, Callable[[Iterable[Extend]], Found]], ...] = (
    (0, _firmware),
    (2, _digests("drivers")),
    (4, _digests("loaders")),
    (5, _partitions),
    (7, _secure_boot),
    (8, _commands),
    (9, _digests("boot-files")),
    (11, _digests("kernel-image")),
    (12, _parameters),
    (14, _digests("machine-owner-keys")),
)

_HARMLESS = frozenset(
    {
        "Calling EFI Application from Boot Option",
        "Returning from EFI Application from Boot Option",
        "Exit Boot Services Invocation",
        "Exit Boot Services Returned with Success",
    }
)
_ERROR_SEPARATOR = sha256(b"\x01\0\0\0").hexdigest()
_SEPARATORS = frozenset(sha256(data).hexdigest() for data in (bytes(4), b"\xff" * 4))


def _is_separator(extend: Extend) -> bool:
    """By digest: the type is a label, and what stands before or after must not depend on it."""
    return extend.digest in _SEPARATORS


def _is_harmless(extend: Extend) -> bool:
    """Texts that firmware extends and that load nothing."""
    return isinstance(extend.known, Action) and extend.known.text in _HARMLESS


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}" if data else "empty"


def _text(text: str) -> str:
    """By its digest where it is long, or reads like what stands for something else."""
    plain = 0 < len(text) <= MAX_TEXT and not text.startswith("sha256:") and text not in _RESERVED
    return text if plain else _digest(text.encode())
