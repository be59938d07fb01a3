import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.tcg.event_log import Coverage, Event, EventType, coverage, decode, parse_event_log
from swt3_agent.tcg.event_log.content import (
    Action,
    Command,
    CommandLine,
    Content,
    FirmwareVersion,
    Gpt,
    Image,
    Label,
    Separator,
    Unknown,
    Variable,
)
from swt3_agent.tcg.event_log.device_path import device_path_text
from tests.support.boot_logs import GLOBAL, IPL, REAL_LOGS, SHA256, real_log, variable


def made(kind: int, data: bytes, hashed: bytes | None = None) -> Event:
    digest = hashlib.sha256(data if hashed is None else hashed).digest()
    return Event(1, 4, kind, ((SHA256, digest),), data)


def contents(name: str) -> list[Content]:
    return [decode(event) for event in parse_event_log(real_log(name)).events]


def test_a_real_log_reads_as_what_its_machine_booted() -> None:
    found = [str(content) for content in contents("rhel8-uefi")]
    assert "firmware version GCE Virtual Firmware v1" in found
    assert "variable SecureBoot = 01" in found
    assert "GPT of disk 2aeb90b6-e13c-4197-8ee2-59e9ed2959dc, 2 partitions" in found
    shim = "/HD(1,GPT,ef72374c-2630-46a1-88d6-082693781140)/\\EFI\\redhat\\shimx64.efi"
    path = f"image PciRoot(0x0)/Pci(0x3,0x0)/Scsi(0x1,0x0){shim} ("
    assert any(text.startswith(path) for text in found)
    assert "command insmod part_gpt" in found


def test_partitions_are_named() -> None:
    gpt = next(content for content in contents("rhel8-uefi") if isinstance(content, Gpt))
    assert [partition.name for partition in gpt.partitions] == ["EFI System Partition", ""]
    assert gpt.partitions[0].type == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


def test_the_command_line_of_systemd_boot_is_text() -> None:
    line = contents("arch-linux-workstation")[-1]
    assert isinstance(line, CommandLine)
    assert line.text.startswith("initrd=\\intel-ucode.img ")
    assert line.text.endswith(" l1tf=off")


@pytest.mark.parametrize("name", REAL_LOGS)
def test_what_the_digest_covers_is_what_the_type_says(name: str) -> None:
    log = parse_event_log(real_log(name))
    bank = "sha256" if "sha256" in log.banks else "sha1"
    for event in log.events:
        content = decode(event)
        covered = coverage(event, bank, content)
        if isinstance(content, Separator | Action | FirmwareVersion | Gpt):
            assert covered is Coverage.DATA
        elif isinstance(content, Command | CommandLine):
            assert covered is Coverage.CONTENT
        elif isinstance(content, Image):
            assert covered is Coverage.NOTHING
        elif event.type == EventType.EV_NO_ACTION:
            assert covered is Coverage.INFORMATION


def test_a_variable_whose_value_alone_was_hashed_has_no_name_to_rely_on() -> None:
    data = variable(GLOBAL, "BootOrder", b"\1\0")
    boot = EventType.EV_EFI_VARIABLE_BOOT
    assert coverage(made(boot, data, hashed=b"\1\0")) is Coverage.CONTENT
    assert coverage(made(boot, data)) is Coverage.DATA
    assert coverage(made(boot, data, hashed=b"\1\1")) is Coverage.NOTHING


def test_a_command_that_was_not_the_one_hashed_is_unverified() -> None:
    assert coverage(made(IPL, b"grub_cmd: insmod tpm\0", b"insmod tpm")) is Coverage.CONTENT
    assert coverage(made(IPL, b"grub_cmd: insmod tpm\0", b"insmod evil")) is Coverage.NOTHING
    assert coverage(Event(1, 8, IPL, (), b"grub_cmd: x")) is Coverage.NOTHING


def test_a_section_of_a_unified_kernel_image_is_a_label() -> None:
    assert decode(made(IPL, ".linux\0".encode("utf-16-le"))) == Label(".linux")


def test_an_event_of_the_linux_efi_stub_is_named() -> None:
    data = struct.pack("<II", 0x8F3B22EC, 13) + b"Linux initrd\0"
    assert decode(made(EventType.EV_EVENT_TAG, data)) == Label("Linux initrd")


def test_a_firmware_version_may_be_a_guid() -> None:
    version = contents("arch-linux-workstation")[1]
    assert version == FirmwareVersion("546bfb1e-1d0c-4055-a4ad-4ef4bf17b83a")


@pytest.mark.parametrize("kind", [int(kind) for kind in EventType if kind != IPL])
def test_data_that_ends_too_soon_is_unknown_or_text(kind: int) -> None:
    content = decode(made(kind, b"\xff\xff"))
    assert not isinstance(content, Variable | Image | Gpt)


def test_a_variable_that_claims_to_be_endless_is_unknown() -> None:
    data = GLOBAL + struct.pack("<QQ", 2**64 - 1, 2**64 - 1)
    assert decode(made(EventType.EV_EFI_VARIABLE_DRIVER_CONFIG, data)) == Unknown(32)


def test_a_gpt_that_claims_countless_partitions_is_unknown() -> None:
    header = b"EFI PART" + bytes(76) + struct.pack("<I", 128) + bytes(4)
    data = header + struct.pack("<Q", 2**63)
    assert isinstance(decode(made(EventType.EV_EFI_GPT_EVENT, data)), Unknown)


def test_a_device_path_of_unknown_nodes_is_shown_as_far_as_it_goes() -> None:
    assert device_path_text(bytes.fromhex("630405000a")) == "Path(99,4)"
    assert device_path_text(bytes.fromhex("0101060000")) == ""
    assert device_path_text(bytes.fromhex("01010400") * 1000).count("/") == 63


@given(
    kind=st.sampled_from([int(kind) for kind in EventType]) | st.integers(0, 2**32 - 1),
    data=st.binary(max_size=300),
)
def test_any_data_decodes_to_something_that_can_be_shown(kind: int, data: bytes) -> None:
    event = made(kind, data)
    str(decode(event)).encode()
    coverage(event)
