"""UEFI device paths as text (UEFI 2.10, 10.3 and 10.6), as far as boot logs need them."""

from collections.abc import Callable

from swt3_agent.tcg.event_log.cursor import Cursor, ShortData, utf16

MAX_NODES = 64
_END = 0x7F


def device_path_text(data: bytes) -> str:
    """Nodes with ``/`` between, unknown ones by type and subtype, up to what cannot be read."""
    nodes: list[str] = []
    cursor = Cursor(data)
    try:
        while len(nodes) < MAX_NODES:
            kind, subtype, size = cursor.u8(), cursor.u8(), cursor.u16()
            if kind == _END or size < 4:
                break
            nodes.append(_node(kind, subtype, cursor.take(size - 4)))
    except ShortData:
        pass
    return "/".join(nodes)


def _node(kind: int, subtype: int, body: bytes) -> str:
    reader = _NODES.get((kind, subtype))
    if reader is not None:
        try:
            return reader(Cursor(body))
        except ShortData:
            pass
    return f"Path({kind},{subtype})"


def _pci(cursor: Cursor) -> str:
    function = cursor.u8()
    return f"Pci({cursor.u8():#x},{function:#x})"


def _acpi(cursor: Cursor) -> str:
    hid, uid = cursor.u32(), cursor.u32()
    if hid & 0xFFFF == 0x41D0 and hid >> 16 in (0x0A03, 0x0A08):
        return f"PciRoot({uid:#x})"
    return f"Acpi({hid:#010x},{uid:#x})"


def _scsi(cursor: Cursor) -> str:
    return f"Scsi({cursor.u16():#x},{cursor.u16():#x})"


def _usb(cursor: Cursor) -> str:
    return f"USB({cursor.u8():#x},{cursor.u8():#x})"


def _mac(cursor: Cursor) -> str:
    return f"MAC({cursor.take(32)[:6].hex()})"


def _sata(cursor: Cursor) -> str:
    return f"Sata({cursor.u16():#x},{cursor.u16():#x},{cursor.u16():#x})"


def _nvme(cursor: Cursor) -> str:
    namespace = cursor.u32()
    return f"NVMe({namespace:#x},{'-'.join(f'{byte:02X}' for byte in cursor.take(8))})"


def _uri(cursor: Cursor) -> str:
    return f"Uri({cursor.rest().decode('utf-8', 'backslashreplace')})"


def _vendor(cursor: Cursor) -> str:
    return f"Vendor({cursor.guid()})"


def _hard_drive(cursor: Cursor) -> str:
    partition, _, _ = cursor.u32(), cursor.u64(), cursor.u64()
    signature = cursor.take(16)
    if (cursor.u8(), cursor.u8()) == (2, 2):
        return f"HD({partition},GPT,{Cursor(signature).guid()})"
    return f"HD({partition},MBR,{signature[:4].hex()})"


def _cdrom(cursor: Cursor) -> str:
    return f"CDROM({cursor.u32():#x})"


def _file_path(cursor: Cursor) -> str:
    return utf16(cursor.rest())


def _volume_file(cursor: Cursor) -> str:
    return f"FvFile({cursor.guid()})"


def _volume(cursor: Cursor) -> str:
    return f"Fv({cursor.guid()})"


def _offset_range(cursor: Cursor) -> str:
    cursor.u32()
    return f"Offset({cursor.u64():#x},{cursor.u64():#x})"


_NODES: dict[tuple[int, int], Callable[[Cursor], str]] = {
    (1, 1): _pci,
    (1, 4): _vendor,
    (2, 1): _acpi,
    (3, 2): _scsi,
    (3, 5): _usb,
    (3, 10): _vendor,
    (3, 11): _mac,
    (3, 18): _sata,
    (3, 23): _nvme,
    (3, 24): _uri,
    (4, 1): _hard_drive,
    (4, 2): _cdrom,
    (4, 3): _vendor,
    (4, 4): _file_path,
    (4, 6): _volume_file,
    (4, 7): _volume,
    (4, 8): _offset_range,
}
