"""The raw reading: what the child process saw through NVML, before anything is concluded from it.

One JSON document, written by reader.py or sensors.py and read by driver.py. A field that NVML
would not give is an :class:`Unreadable` with NVML's code: never left out, and never zero.
"""

import msgspec

# nvmlReturn_t, as far as the rules here name it.
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
VERSION_MISMATCH = 18
UNKNOWN = 999


class Unreadable(msgspec.Struct, frozen=True):
    """NVML answered with an error: ``error`` is its nvmlReturn_t."""

    error: int


Number = int | Unreadable
Text = str | Unreadable


class LinkReading(msgspec.Struct, frozen=True):
    """One NVLink of one GPU. ``state``: 0 inactive, 1 active, 2 sleep, 3 active without traffic."""

    state: Number
    remote_type: Number  # 0 GPU, 1 NPU, 2 switch, 255 unknown
    remote_pci: Text
    remote_port: Number
    version: Number


class GpuReading(msgspec.Struct, frozen=True):
    """One GPU. Its place in the list is NVML's index, which means nothing beyond this reading."""

    uuid: Text
    name: Text
    serial: Text
    part_number: Text
    vbios: Text
    inforom: Text
    gsp_firmware: Text
    pci: Text  # "0000:18:00.0", as sysfs writes it
    pci_device_id: Number
    pci_subsystem_id: Number
    memory_bytes: Number
    ecc_mode: Number
    mig_mode: Number
    persistence_mode: Number
    compute_mode: Number
    ecc_uncorrected_volatile: Number
    ecc_uncorrected_aggregate: Number
    remapped_correctable: Number
    remapped_uncorrectable: Number
    remap_pending: Number
    remap_failure: Number
    retired_pages_pending: Number
    recovery_action: Number
    fabric_state: Number  # 0 not supported, 1 not started, 2 in progress, 3 completed
    fabric_status: Number
    fabric_clique: Number
    fabric_cluster: Text  # 32 hex digits
    fabric_health_mask: Number
    fabric_health_summary: Number  # 0 not supported, 1 healthy, 2 unhealthy, 3 limited capacity
    link_count: Number
    switch_links: Number
    link_speed_mbps: Number
    links: list[LinkReading]


class PairReading(msgspec.Struct, frozen=True):
    """Closest common ancestor of two GPUs on the PCI tree, by their places in this reading."""

    first: int
    second: int
    level: Number  # 0 one board, 10 PIX, 20 PXB, 30 PHB, 40 NODE, 50 SYS


class SystemReading(msgspec.Struct, frozen=True):
    """What NVML says of the node as a whole."""

    driver: Text
    nvml: Text
    cuda: Number  # 13010 is CUDA 13.1
    confidential_computing: Number


class LibraryReading(msgspec.Struct, frozen=True):
    """The NVML library that was really mapped, from /proc/self/maps and the file itself.

    ``consistent`` says that one such library was mapped and that the hashed file is that one.
    """

    path: str
    inode: str  # in decimal: 64 bits are more than JSON carries exactly
    uid: int
    sha256: str
    consistent: bool


class SensorReading(msgspec.Struct, frozen=True):
    """What one GPU's sensors say. Temperature in degrees C, power in mW.

    ``slowdowns`` are NVML's reasons why the clocks are below what was asked for, as bits.
    """

    uuid: Text
    pci: Text
    temperature: Number
    power: Number
    power_limit: Number
    slowdowns: Number


class Failure(msgspec.Struct, frozen=True):
    """Why there is no reading at all: at which stage, NVML's code, and in words."""

    stage: str  # "binding", "library", "init"
    error: int
    detail: str


class Report(msgspec.Struct, frozen=True):
    """What the child prints: a failure, or a system with its GPUs, or sensors."""

    library: LibraryReading | None = None
    failure: Failure | None = None
    system: SystemReading | None = None
    gpus: list[GpuReading] = []
    pairs: list[PairReading] = []
    sensors: list[SensorReading] = []
