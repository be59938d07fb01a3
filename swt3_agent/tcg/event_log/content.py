"""What the data of an event may say (TCG PFP 1.06, 10.4; GRUB; shim; systemd-stub)."""

from dataclasses import dataclass
from typing import TypeAlias

GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
IMAGE_SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
SHIM_LOCK = "605dab50-e046-4300-abb6-3dd810dd8b23"

_SHOWN = 8  # bytes of a variable's value that are shown in hex


@dataclass(frozen=True, slots=True)
class Variable:
    """UEFI_VARIABLE_DATA: ``value`` of the variable ``name`` of the vendor ``guid``."""

    guid: str
    name: str
    value: bytes

    def __str__(self) -> str:
        if len(self.value) <= _SHOWN:
            return f"variable {self.name} = {self.value.hex() or 'nothing'}"
        return f"variable {self.name} ({len(self.value)} bytes)"


@dataclass(frozen=True, slots=True)
class Image:
    """UEFI_IMAGE_LOAD_EVENT: a PE image; its digest is the Authenticode one. ``path`` is text."""

    path: str
    size: int

    def __str__(self) -> str:
        return f"image {self.path or 'from memory'} ({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of a GPT."""

    type: str
    unique: str
    name: str


@dataclass(frozen=True, slots=True)
class Gpt:
    """UEFI_GPT_DATA: the partitions of the disk that was booted from."""

    disk: str
    partitions: tuple[Partition, ...]

    def __str__(self) -> str:
        return f"GPT of disk {self.disk}, {len(self.partitions)} partitions"


@dataclass(frozen=True, slots=True)
class Separator:
    """Firmware hands over to what it loads; ``error`` where it says that measuring failed."""

    error: bool

    def __str__(self) -> str:
        return "separator after an error" if self.error else "separator"


@dataclass(frozen=True, slots=True)
class Action:
    """EV_ACTION and EV_EFI_ACTION: what firmware did."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class FirmwareVersion:
    """EV_S_CRTM_VERSION."""

    text: str

    def __str__(self) -> str:
        return f"firmware version {self.text}"


@dataclass(frozen=True, slots=True)
class Command:
    """A GRUB command as it ran. ``text`` is what was hashed."""

    text: str

    def __str__(self) -> str:
        return f"command {self.text}"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A kernel's command line, from GRUB, systemd-boot or systemd-stub. ``text`` was hashed."""

    text: str

    def __str__(self) -> str:
        return f"command line {self.text}"


@dataclass(frozen=True, slots=True)
class Label:
    """A name for something that was hashed elsewhere: a file, a section, a variable of shim."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class FirmwareBlob:
    """EV_EFI_PLATFORM_FIRMWARE_BLOB(2): a part of the firmware, by its place in memory."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"firmware {self.name or 'volume'} ({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class Info:
    """EV_NO_ACTION: nothing was extended; ``text`` says what it informs of."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Unknown:
    """Data of no known form."""

    size: int

    def __str__(self) -> str:
        return f"{self.size} bytes"


Content: TypeAlias = (
    Variable
    | Image
    | Gpt
    | Separator
    | Action
    | FirmwareVersion
    | Command
    | CommandLine
    | Label
    | FirmwareBlob
    | Info
    | Unknown
)
