"""The child process that asks NVML, once, and prints one JSON document (reading.py).

    python -m swt3_agent.collect.gpu.reader [--library FILE]

A process of its own for each reading: an open NVML handle blocks a driver upgrade and a GPU reset,
a wedged driver must not wedge the agent, and pynvml cannot load another library later. It draws
no conclusion: what cannot be read is recorded with NVML's code, and one GPU's error costs no other
GPU anything.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from ctypes import byref
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.library import load_library
from swt3_agent.collect.gpu.reading import (
    Failure,
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

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_MOST_LINKS = 64  # a driver that claims more is not believed: nvml.h knows 36


class _Nvml:
    """pynvml, unmodified, with errors turned into :class:`Unreadable`."""

    def __init__(self, pynvml: Any) -> None:
        self.api = pynvml

    def ask(self, function: str, *arguments: object) -> Any:
        """Call ``function``; the result, or an :class:`Unreadable`."""
        try:
            return getattr(self.api, function)(*arguments)
        except self.api.NVMLError as error:
            return Unreadable(error.value)
        except UnicodeDecodeError:  # pynvml decodes what the firmware wrote
            return Unreadable(reading.UNKNOWN)

    def number(self, function: str, *arguments: object) -> Number:
        answer = self.ask(function, *arguments)
        return answer if isinstance(answer, Unreadable) else _exact(answer)

    def text(self, function: str, *arguments: object) -> Text:
        answer = self.ask(function, *arguments)
        if isinstance(answer, bytes):
            return answer.decode("utf-8", "backslashreplace")
        return answer if isinstance(answer, Unreadable) else str(answer)

    def several(self, count: int, function: str, *arguments: object) -> list[Number]:
        """A call that fills several values: all of them, or its error in the place of each."""
        answer = self.ask(function, *arguments)
        if isinstance(answer, Unreadable):
            return [answer] * count
        return [_exact(value) for value in answer]

    def field(self, device: object, identifier: int, scope: int = 0) -> Number:
        """One value of nvmlDeviceGetFieldValues; it has an error code of its own."""
        answer = self.ask("nvmlDeviceGetFieldValues", device, [(identifier, scope)])
        if isinstance(answer, Unreadable):
            return answer
        value = answer[0]
        if value.nvmlReturn:
            return Unreadable(value.nvmlReturn)
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
        if value.valueType >= len(member):
            return Unreadable(reading.UNKNOWN)
        return _exact(getattr(value.value, member[value.valueType]))


def _exact(value: float) -> Number:
    """An integer that JSON carries exactly; what is beyond that is no reading but a sentinel."""
    number = int(value)
    return number if abs(number) < 2**53 else Unreadable(reading.UNKNOWN)


def read_report(pynvml: Any) -> Report:
    """Read the whole node through an initialised ``pynvml``. Raises its NVMLError on no count."""
    nvml = _Nvml(pynvml)
    devices = [
        nvml.ask("nvmlDeviceGetHandleByIndex", index)
        for index in range(pynvml.nvmlDeviceGetCount())
    ]
    return Report(
        system=_system(nvml),
        gpus=[_gpu(nvml, device) for device in devices],
        pairs=[
            PairReading(first, second, _common_ancestor(nvml, devices[first], devices[second]))
            for first, second in combinations(range(len(devices)), 2)
        ],
    )


def _system(nvml: _Nvml) -> SystemReading:
    state = nvml.ask("nvmlSystemGetConfComputeState")
    return SystemReading(
        driver=nvml.text("nvmlSystemGetDriverVersion"),
        nvml=nvml.text("nvmlSystemGetNVMLVersion"),
        cuda=nvml.number("nvmlSystemGetCudaDriverVersion_v2"),
        confidential_computing=state if isinstance(state, Unreadable) else int(state.ccFeature),
    )


def _gpu(nvml: _Nvml, device: Any) -> GpuReading:
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
        pci=_address(pci),
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


def _fabric(nvml: _Nvml, device: object) -> Any:
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
    return Unreadable(reading.NOT_SUPPORTED) if value is None else _exact(value)


def _low_byte(value: Number) -> Number:
    # The newer layout has a byte here where the older one had a word: the rest may be padding.
    return value if isinstance(value, Unreadable) else value & 0xFF


def _cluster(fabric: Any) -> Text:
    return fabric if isinstance(fabric, Unreadable) else bytes(fabric.clusterUuid).hex()


def _link(nvml: _Nvml, device: object, link: int) -> LinkReading:
    state = nvml.field(device, _LINK_STATE, link)
    if isinstance(state, Unreadable):  # drivers before field 165
        state = nvml.number("nvmlDeviceGetNvLinkState", device, link)
    return LinkReading(
        state=state,
        remote_type=nvml.number("nvmlDeviceGetNvLinkRemoteDeviceType", device, link),
        remote_pci=_address(nvml.ask("nvmlDeviceGetNvLinkRemotePciInfo", device, link)),
        remote_port=nvml.field(device, _LINK_REMOTE_PORT, link),
        version=nvml.number("nvmlDeviceGetNvLinkVersion", device, link),
    )


def _address(pci: Any) -> Text:
    """NVML's PCI address in the form that sysfs uses."""
    if isinstance(pci, Unreadable):
        return pci
    return f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"


def _common_ancestor(nvml: _Nvml, first: object, second: object) -> Number:
    for device in (first, second):
        if isinstance(device, Unreadable):
            return device
    return nvml.number("nvmlDeviceGetTopologyCommonAncestor", first, second)


def take_reading(library: Path | None) -> Report:
    """Load the library, ask it, shut it down. Every failure is in the report."""
    try:
        mapped = load_library(library)
    except OSError as error:
        return Report(failure=_library_failure(error))
    try:
        import pynvml  # only now: it shall find the library that is mapped already
    except ImportError as error:
        return Report(library=mapped, failure=Failure("binding", 0, str(error)))
    try:
        pynvml.nvmlInit()
        report = read_report(pynvml)
    except pynvml.NVMLError as error:
        return Report(library=mapped, failure=Failure("init", error.value, str(error)))
    with contextlib.suppress(pynvml.NVMLError):  # all that was to be read has been read
        pynvml.nvmlShutdown()
    return msgspec.structs.replace(report, library=mapped)


def _library_failure(error: OSError) -> Failure:
    # dlopen gives no errno, only its sentence; the parent has set the C locale.
    denied = isinstance(error, PermissionError) or any(
        words in str(error) for words in ("Permission denied", "Operation not permitted")
    )
    code = reading.NO_PERMISSION if denied else reading.LIBRARY_NOT_FOUND
    return Failure("library", code, str(error))


def _end_with_parent() -> None:
    """Be killed when the thread that started us ends: it waits for us, unless its agent ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    """Print one report on standard output, which nothing else can write to."""
    _end_with_parent()
    output = os.dup(1)  # not inherited, so that no helper that the driver starts holds it open
    os.dup2(2, 1)
    library = Path(arguments[1]) if arguments[:1] == ["--library"] else None
    report = msgspec.json.encode(take_reading(library))
    with os.fdopen(output, "wb") as stream:
        stream.write(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
