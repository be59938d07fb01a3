"""The data of an event as what its type says it is, and as far as it really is."""

from collections.abc import Callable

from swt3_agent.tcg.event_log.content import (
    Action,
    Command,
    CommandLine,
    Content,
    FirmwareBlob,
    FirmwareVersion,
    Gpt,
    Image,
    Info,
    Label,
    Partition,
    Separator,
    Unknown,
    Variable,
)
from swt3_agent.tcg.event_log.cursor import Cursor, ShortData, ascii_text, utf16
from swt3_agent.tcg.event_log.device_path import device_path_text
from swt3_agent.tcg.event_log.events import Event, EventType

MAX_PARTITIONS = 1024
COMMAND_PREFIXES = (b"grub_cmd: ", b"grub_cmd ")
COMMAND_LINE_PREFIXES = (b"kernel_cmdline: ", b"grub_kernel_cmdline ", b"module_cmdline: ")

_SP800_155 = (b"SP800-155 Event\0", b"SP800-155 Event2", b"SP800-155 Event3")
_GPT_SIGNATURE = b"EFI PART"
_GPT_HEADER = 92
_EMPTY_PARTITION = "00000000-0000-0000-0000-000000000000"


def decode(event: Event) -> Content:
    """What ``event`` says. Never raises: data of another form is ``Unknown``.

    Whether the digest covers it, ``coverage`` says.
    """
    reader = _READERS.get(event.type)
    if reader is None:
        return Unknown(len(event.data))
    try:
        return reader(event.data)
    except ShortData:
        return Unknown(len(event.data))


def _info(data: bytes) -> Content:
    if data.startswith(b"Spec ID Event"):
        return Info("specification of the log")
    if data.startswith(b"StartupLocality\0"):
        return Info(f"TPM started at locality {data[16:17].hex() or 'unknown'}")
    if data.startswith(_SP800_155):
        return Info("SP 800-155 reference manifest")
    return Info(f"no action, {len(data)} bytes")


def _separator(data: bytes) -> Content:
    return Separator(data not in (bytes(4), b"\xff" * 4))


def _action(data: bytes) -> Content:
    return Action(ascii_text(data))


def _firmware_version(data: bytes) -> Content:
    """UTF-16 text, ASCII text, or a GUID: firmware does any of them."""
    text = utf16(data)
    if text and text.isascii() and text.isprintable():
        return FirmwareVersion(text)
    text = ascii_text(data)
    if text and text.isascii() and text.isprintable():
        return FirmwareVersion(text)
    return FirmwareVersion(Cursor(data).guid() if len(data) == 16 else data.hex())


def _variable(data: bytes) -> Content:
    """UEFI_VARIABLE_DATA (TCG PFP 1.06, 10.4.4)."""
    cursor = Cursor(data)
    guid, characters, size = cursor.guid(), cursor.u64(), cursor.u64()
    name = utf16(cursor.take(2 * characters))
    return Variable(guid, name, cursor.take(size))


def _image(data: bytes) -> Content:
    """UEFI_IMAGE_LOAD_EVENT (TCG PFP 1.06, 10.2.3)."""
    cursor = Cursor(data)
    _, size, _, length = cursor.u64(), cursor.u64(), cursor.u64(), cursor.u64()
    return Image(device_path_text(cursor.take(length)), size)


def _gpt(data: bytes) -> Content:
    """UEFI_GPT_DATA (TCG PFP 1.06, 10.4.6): header, count, and the entries that are in use."""
    cursor = Cursor(data)
    header = Cursor(cursor.take(_GPT_HEADER))
    if header.take(8) != _GPT_SIGNATURE:
        raise ShortData
    header.take(48)
    disk = header.guid()
    header.take(12)
    entry_size = header.u32()
    count = cursor.u64()
    if count > MAX_PARTITIONS or not 128 <= entry_size <= 4096:
        raise ShortData
    partitions = []
    for _ in range(count):
        entry = Cursor(cursor.take(entry_size))
        kind, unique = entry.guid(), entry.guid()
        entry.take(24)
        if kind != _EMPTY_PARTITION:
            partitions.append(Partition(kind, unique, utf16(entry.take(72)).split("\0")[0]))
    return Gpt(disk, tuple(partitions))


def _ipl(data: bytes) -> Content:
    """What boot loaders write: GRUB in ASCII, systemd-boot and systemd-stub in UTF-16."""
    for prefix in COMMAND_PREFIXES:
        if data.startswith(prefix):
            return Command(ascii_text(data[len(prefix) :]))
    for prefix in COMMAND_LINE_PREFIXES:
        if data.startswith(prefix):
            return CommandLine(ascii_text(data[len(prefix) :]))
    if _is_utf16(data):
        text = utf16(data)
        return Label(text) if text.startswith(".") and " " not in text else CommandLine(text)
    text = ascii_text(data)
    return Label(text) if text.isprintable() and text else Unknown(len(data))


def _is_utf16(data: bytes) -> bool:
    return len(data) >= 4 and not any(data[1:8:2]) and all(data[0:4:2])


def _tagged(data: bytes) -> Content:
    """TCG_PCClientTaggedEvent: the Linux EFI stub names initrd and load options so."""
    cursor = Cursor(data)
    tag, size = cursor.u32(), cursor.u32()
    return Label(_TAGS.get(tag) or f"tag {tag:#010x}: {ascii_text(cursor.take(size))[:256]}")


_TAGS = {0x8F3B22EC: "Linux initrd", 0x8F3B22ED: "LOADED_IMAGE::LoadOptions"}


def _firmware_blob(data: bytes) -> Content:
    cursor = Cursor(data)
    cursor.u64()
    return FirmwareBlob("", cursor.u64())


def _firmware_blob2(data: bytes) -> Content:
    cursor = Cursor(data)
    name = ascii_text(cursor.take(cursor.u8()))
    cursor.u64()
    return FirmwareBlob(name, cursor.u64())


def _label(data: bytes) -> Content:
    text = ascii_text(data)
    return Label(text) if text and text.isprintable() else Unknown(len(data))


_READERS: dict[int, Callable[[bytes], Content]] = {
    EventType.EV_NO_ACTION: _info,
    EventType.EV_SEPARATOR: _separator,
    EventType.EV_ACTION: _action,
    EventType.EV_EFI_ACTION: _action,
    EventType.EV_S_CRTM_VERSION: _firmware_version,
    EventType.EV_S_CRTM_CONTENTS: _label,
    EventType.EV_POST_CODE: _label,
    EventType.EV_POST_CODE2: _firmware_blob2,
    EventType.EV_CPU_MICROCODE: _label,
    EventType.EV_PLATFORM_CONFIG_FLAGS: _label,
    EventType.EV_TABLE_OF_DEVICES: _label,
    EventType.EV_COMPACT_HASH: _label,
    EventType.EV_NONHOST_INFO: _label,
    EventType.EV_OMIT_BOOT_DEVICE_EVENTS: _label,
    EventType.EV_EVENT_TAG: _tagged,
    EventType.EV_IPL: _ipl,
    EventType.EV_EFI_VARIABLE_DRIVER_CONFIG: _variable,
    EventType.EV_EFI_VARIABLE_BOOT: _variable,
    EventType.EV_EFI_VARIABLE_BOOT2: _variable,
    EventType.EV_EFI_VARIABLE_AUTHORITY: _variable,
    EventType.EV_EFI_BOOT_SERVICES_APPLICATION: _image,
    EventType.EV_EFI_BOOT_SERVICES_DRIVER: _image,
    EventType.EV_EFI_RUNTIME_SERVICES_DRIVER: _image,
    EventType.EV_EFI_GPT_EVENT: _gpt,
    EventType.EV_EFI_GPT_EVENT2: _gpt,
    EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB: _firmware_blob,
    EventType.EV_EFI_PLATFORM_FIRMWARE_BLOB2: _firmware_blob2,
    EventType.EV_EFI_HANDOFF_TABLES2: _label,
    EventType.EV_EFI_HCRTM_EVENT: _label,
}
