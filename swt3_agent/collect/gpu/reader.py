"""The child process that asks NVML, once, and prints one JSON document (reading.py).

    python -m swt3_agent.collect.gpu.reader [--library FILE]

It draws no conclusion: what cannot be read is recorded with NVML's code, and one GPU's error costs
no other GPU anything.
"""

import sys
from ctypes import byref
from itertools import combinations
from typing import Any

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.nvml import Nvml, exact, serve
from swt3_agent.collect.gpu.reading import (
    GpuReading,
    LinkReading,
    Number,
    PairReading,
    Report,
    SystemReading,
    Text,
    Unreadable,
)

# NVML field identifiers (nvml.h, NVML_FI_DEV_…).
_LINK_SPEED_MBPS = 90
_LINK_COUNT = 91
_LINK_REMOTE_PORT = 146
_SWITCH_LINKS = 147
_LINK_STATE = 165
_RECOVERY_ACTION = 230

_MOST_LINKS = 64  # a driver that claims more is not believed: nvml.h knows 36


def read_report(nvml: Nvml) -> Report:
    """Read the whole node. Raises NVMLError where the driver counts no GPUs."""
    devices = nvml.devices()
    return Report(
        system=_system(nvml),
        gpus=[_gpu(nvml, device) for device in devices],
        pairs=[
            PairReading(first, second, _common_ancestor(nvml, devices[first], devices[second]))
            for first, second in combinations(range(len(devices)), 2)
        ],
    )


def _system(nvml: Nvml) -> SystemReading:
    state = nvml.ask("nvmlSystemGetConfComputeState")
    return SystemReading(
        driver=nvml.text("nvmlSystemGetDriverVersion"),
        nvml=nvml.text("nvmlSystemGetNVMLVersion"),
        cuda=nvml.number("nvmlSystemGetCudaDriverVersion_v2"),
        confidential_computing=state if isinstance(state, Unreadable) else int(state.ccFeature),
    )


def _gpu(nvml: Nvml, device: Any) -> GpuReading:
    if isinstance(device, Unreadable):
        return _unreachable(device)
    api = nvml.api
    pci = nvml.ask("nvmlDeviceGetPciInfo", device)
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", device)
    remapped = nvml.several(4, "nvmlDeviceGetRemappedRows", device)
    uncorrected = api.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    fabric = _fabric(nvml, device)
    link_count = nvml.field(device, _LINK_COUNT)
    return GpuReading(
        uuid=nvml.text("nvmlDeviceGetUUID", device),
        name=nvml.text("nvmlDeviceGetName", device),
        serial=nvml.text("nvmlDeviceGetSerial", device),
        part_number=nvml.text("nvmlDeviceGetBoardPartNumber", device),
        vbios=nvml.text("nvmlDeviceGetVbiosVersion", device),
        inforom=nvml.text("nvmlDeviceGetInforomImageVersion", device),
        gsp_firmware=nvml.text("nvmlDeviceGetGspFirmwareVersion", device),
        pci=pci_address(pci),
        pci_device_id=_member(pci, "pciDeviceId"),
        pci_subsystem_id=_member(pci, "pciSubSystemId"),
        memory_bytes=_member(memory, "total"),
        ecc_mode=nvml.several(2, "nvmlDeviceGetEccMode", device)[0],
        mig_mode=nvml.several(2, "nvmlDeviceGetMigMode", device)[0],
        persistence_mode=nvml.number("nvmlDeviceGetPersistenceMode", device),
        compute_mode=nvml.number("nvmlDeviceGetComputeMode", device),
        ecc_uncorrected_volatile=nvml.number(
            "nvmlDeviceGetTotalEccErrors", device, uncorrected, api.NVML_VOLATILE_ECC
        ),
        ecc_uncorrected_aggregate=nvml.number(
            "nvmlDeviceGetTotalEccErrors", device, uncorrected, api.NVML_AGGREGATE_ECC
        ),
        remapped_correctable=remapped[0],
        remapped_uncorrectable=remapped[1],
        remap_pending=remapped[2],
        remap_failure=remapped[3],
        retired_pages_pending=nvml.number("nvmlDeviceGetRetiredPagesPendingStatus", device),
        recovery_action=nvml.field(device, _RECOVERY_ACTION),
        fabric_state=_low_byte(_member(fabric, "state")),
        fabric_status=_member(fabric, "status"),
        fabric_clique=_member(fabric, "cliqueId"),
        fabric_cluster=_cluster(fabric),
        fabric_health_mask=_member(fabric, "healthMask"),
        fabric_health_summary=_member(fabric, "healthSummary"),
        link_count=link_count,
        switch_links=nvml.field(device, _SWITCH_LINKS),
        link_speed_mbps=nvml.field(device, _LINK_SPEED_MBPS),
        links=[
            _link(nvml, device, link)
            for link in range(0 if isinstance(link_count, Unreadable) else link_count)
            if link < _MOST_LINKS
        ],
    )


def _unreachable(error: Unreadable) -> GpuReading:
    """A GPU that NVML counts but gives no handle for: its error stands in every field."""
    fields: dict[str, Any] = dict.fromkeys(GpuReading.__struct_fields__, error)
    return GpuReading(**{**fields, "links": []})


def _fabric(nvml: Nvml, device: object) -> Any:
    """nvmlGpuFabricInfo_v3, or v2 from a driver that does not know v3 (error 25)."""
    for version in (nvml.api.c_nvmlGpuFabricInfo_v3_t, nvml.api.c_nvmlGpuFabricInfo_v2_t):
        info = version()
        answer = nvml.ask("nvmlDeviceGetGpuFabricInfoV", device, byref(info))
        if not isinstance(answer, Unreadable):
            return info
        if answer.error != nvml.api.NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
            break
    return answer


def _member(structure: Any, name: str) -> Number:
    """One member of a structure that a call filled. An older layout may not have it."""
    if isinstance(structure, Unreadable):
        return structure
    value = getattr(structure, name, None)
    return Unreadable(reading.NOT_SUPPORTED) if value is None else exact(value)


def _low_byte(value: Number) -> Number:
    # The newer layout has a byte here where the older one had a word: the rest may be padding.
    return value if isinstance(value, Unreadable) else value & 0xFF


def _cluster(fabric: Any) -> Text:
    return fabric if isinstance(fabric, Unreadable) else bytes(fabric.clusterUuid).hex()


def _link(nvml: Nvml, device: object, link: int) -> LinkReading:
    state = nvml.field(device, _LINK_STATE, link)
    if isinstance(state, Unreadable):  # drivers before field 165
        state = nvml.number("nvmlDeviceGetNvLinkState", device, link)
    return LinkReading(
        state=state,
        remote_type=nvml.number("nvmlDeviceGetNvLinkRemoteDeviceType", device, link),
        remote_pci=pci_address(nvml.ask("nvmlDeviceGetNvLinkRemotePciInfo", device, link)),
        remote_port=nvml.field(device, _LINK_REMOTE_PORT, link),
        version=nvml.number("nvmlDeviceGetNvLinkVersion", device, link),
    )


def pci_address(pci: Any) -> Text:
    """NVML's PCI address in the form that sysfs uses."""
    if isinstance(pci, Unreadable):
        return pci
    return f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"


def _common_ancestor(nvml: Nvml, first: object, second: object) -> Number:
    for device in (first, second):
        if isinstance(device, Unreadable):
            return device
    return nvml.number("nvmlDeviceGetTopologyCommonAncestor", first, second)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], read_report))
