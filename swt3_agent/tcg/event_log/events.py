"""One event of a boot log, and the types of events (TCG PFP 1.06, 10.4)."""

from dataclasses import dataclass
from enum import IntEnum


class EventType(IntEnum):
    """Types named in the TCG PC Client Platform Firmware Profile, table 27.

    The digest does not cover the type: it is a label that anyone can change.
    """

    EV_PREBOOT_CERT = 0x00
    EV_POST_CODE = 0x01
    EV_UNUSED = 0x02
    EV_NO_ACTION = 0x03
    EV_SEPARATOR = 0x04
    EV_ACTION = 0x05
    EV_EVENT_TAG = 0x06
    EV_S_CRTM_CONTENTS = 0x07
    EV_S_CRTM_VERSION = 0x08
    EV_CPU_MICROCODE = 0x09
    EV_PLATFORM_CONFIG_FLAGS = 0x0A
    EV_TABLE_OF_DEVICES = 0x0B
    EV_COMPACT_HASH = 0x0C
    EV_IPL = 0x0D
    EV_IPL_PARTITION_DATA = 0x0E
    EV_NONHOST_CODE = 0x0F
    EV_NONHOST_CONFIG = 0x10
    EV_NONHOST_INFO = 0x11
    EV_OMIT_BOOT_DEVICE_EVENTS = 0x12
    EV_POST_CODE2 = 0x13
    EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
    EV_EFI_VARIABLE_BOOT = 0x80000002
    EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003
    EV_EFI_BOOT_SERVICES_DRIVER = 0x80000004
    EV_EFI_RUNTIME_SERVICES_DRIVER = 0x80000005
    EV_EFI_GPT_EVENT = 0x80000006
    EV_EFI_ACTION = 0x80000007
    EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008
    EV_EFI_HANDOFF_TABLES = 0x80000009
    EV_EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000000A
    EV_EFI_HANDOFF_TABLES2 = 0x8000000B
    EV_EFI_VARIABLE_BOOT2 = 0x8000000C
    EV_EFI_GPT_EVENT2 = 0x8000000D
    EV_EFI_HCRTM_EVENT = 0x80000010
    EV_EFI_VARIABLE_AUTHORITY = 0x800000E0
    EV_EFI_SPDM_FIRMWARE_BLOB = 0x800000E1
    EV_EFI_SPDM_FIRMWARE_CONFIG = 0x800000E2
    EV_EFI_SPDM_DEVICE_POLICY = 0x800000E3
    EV_EFI_SPDM_DEVICE_AUTHORITY = 0x800000E4


_NAMES = {int(member): member.name for member in EventType}


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of a boot log.

    ``number`` counts from 0 in the order of the log, ``type`` is an ``EventType`` or any other
    32-bit number, ``digests`` are (TPM_ALG_ID, digest) as the log has them, ``data`` what the log
    tells of what was measured, which need not be what was hashed.
    """

    number: int
    pcr: int
    type: int
    digests: tuple[tuple[int, bytes], ...]
    data: bytes

    @property
    def type_name(self) -> str:
        """``EV_…``, or the number in hex."""
        return _NAMES.get(self.type) or f"{self.type:#010x}"

    @property
    def extended(self) -> bool:
        """Whether the event was extended into its PCR; EV_NO_ACTION only informs."""
        return self.type != EventType.EV_NO_ACTION

    def digest(self, algorithm: int) -> bytes | None:
        """The digest for the bank of ``algorithm`` (TPM_ALG_ID); None where the log has none."""
        return next((value for known, value in self.digests if known == algorithm), None)
