"""Absolute health of GPUs: what is wrong with no baseline to compare with.

Pure rules over the raw reading. A problem makes AI-HW.1 fail, a warning does not. What is quite
normal somewhere must pass: an A100 PCIe card without a bridge has twelve links down, MIG makes
NVLink unreadable, and a healthy HGX H100 has clique 0 and a zero cluster UUID.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swt3_agent.collect.gpu import reading
from swt3_agent.collect.gpu.reading import GpuReading, Unreadable
from swt3_agent.collect.gpu.topology import Joined, hides_links, joined_by, up_links
from swt3_agent.collect.pci import VENDORS, PciInventory

_FABRIC_COMPLETED = 3
_FABRIC_STATES = {1: "not started", 2: "in progress"}
_FABRIC_SUMMARIES = {2: "unhealthy", 3: "limited capacity"}
_RECOVERY_ACTIONS = {
    1: "reset the GPU",
    2: "reboot the node",
    3: "drain peer-to-peer traffic",
    4: "drain and reset the GPU",
    5: "recover the IMEX domain",
    6: "reset the bus",
    7: "reboot the system",
}
_ODD_ANSWERS = (Unreadable(reading.TIMEOUT), Unreadable(reading.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: a stable code, what was found, and what to do about it."""

    code: str
    detail: str
    remedy: str


def gpu_problems(gpu: GpuReading, *, behind_switch: bool) -> list[Finding]:
    """What is wrong with one GPU. ``behind_switch``: this node's GPUs are joined by NVSwitches."""
    return [
        *_reachability(gpu),
        *_fabric(gpu),
        *_rows(gpu),
        *_recovery(gpu),
        *_links(gpu, behind_switch=behind_switch),
    ]


def _reachability(gpu: GpuReading) -> list[Finding]:
    codes = {
        value.error
        for name in gpu.__struct_fields__
        if isinstance(value := getattr(gpu, name), Unreadable)
    }
    if reading.GPU_IS_LOST in codes:
        return [
            Finding(
                "GPU_LOST",
                "the driver has lost the GPU: it has fallen off the bus",
                "look for an Xid 79 in the kernel log; power-cycle the node and check power, "
                "cooling and seating",
            )
        ]
    if reading.RESET_REQUIRED in codes:
        return [
            Finding(
                "GPU_RESET_REQUIRED",
                "the driver says that the GPU needs a reset before it can be used",
                "stop its processes and run `nvidia-smi -r`, or reboot the node",
            )
        ]
    if isinstance(gpu.uuid, Unreadable):
        return [
            Finding(
                "GPU_UNREADABLE",
                f"the GPU does not give its identity: NVML error {gpu.uuid.error}",
                "look for Xid messages in the kernel log",
            )
        ]
    return []


def _fabric(gpu: GpuReading) -> list[Finding]:
    remedy = "check that nvidia-fabricmanager runs in the version of the driver, and its log"
    if gpu.fabric_state in _FABRIC_STATES:
        state = _FABRIC_STATES[gpu.fabric_state]
        return [Finding("FABRIC_NOT_READY", f"registration with the fabric is {state}", remedy)]
    if gpu.fabric_state != _FABRIC_COMPLETED:
        return []  # this GPU knows no fabric
    found = []
    if isinstance(gpu.fabric_status, int) and gpu.fabric_status != 0:
        detail = f"registration with the fabric ended with status {gpu.fabric_status}"
        found.append(Finding("FABRIC_FAILED", detail, remedy))
    if gpu.fabric_health_summary in _FABRIC_SUMMARIES:
        summary = _FABRIC_SUMMARIES[gpu.fabric_health_summary]
        found.append(Finding("FABRIC_UNHEALTHY", f"the fabric reports {summary}", remedy))
    return found


def _rows(gpu: GpuReading) -> list[Finding]:
    if isinstance(gpu.remap_failure, int) and gpu.remap_failure != 0:
        return [
            Finding(
                "ROW_REMAP_FAILED",
                "a defective row of memory could not be remapped",
                "have the GPU replaced",
            )
        ]
    return []


def _recovery(gpu: GpuReading) -> list[Finding]:
    if isinstance(gpu.recovery_action, int) and gpu.recovery_action != 0:
        action = _RECOVERY_ACTIONS.get(gpu.recovery_action, f"action {gpu.recovery_action}")
        return [Finding("RECOVERY_NEEDED", f"the driver asks to {action}", action)]
    return []


def _links(gpu: GpuReading, *, behind_switch: bool) -> list[Finding]:
    present, up = len(gpu.links), up_links(gpu)
    down = [str(number) for number, link in enumerate(gpu.links) if link.state == 0]
    # All down is normal for a card without a bridge, and never for one behind a switch.
    if down and (up or behind_switch):
        return [
            Finding(
                "LINK_DOWN",
                f"{len(down)} of {present} NVLinks are down: {', '.join(down)}",
                "look at `nvidia-smi nvlink -e` and the fabric manager's log; "
                "reseat the GPU or its bridge",
            )
        ]
    return []


def gpu_warnings(gpu: GpuReading) -> list[Finding]:
    """What is worth knowing about one GPU and does not make it unhealthy."""
    found = []
    if isinstance(gpu.ecc_uncorrected_volatile, int) and gpu.ecc_uncorrected_volatile:
        found.append(
            Finding(
                "ECC_UNCORRECTED",
                f"{gpu.ecc_uncorrected_volatile} uncorrected memory errors since the last reset",
                "reset the GPU when it is idle; have it replaced if they return",
            )
        )
    if gpu.remap_pending == 1 or gpu.retired_pages_pending == 1:
        found.append(
            Finding(
                "MEMORY_REPAIR_PENDING",
                "defective memory is taken out of use at the next reset",
                "reset the GPU when it is idle",
            )
        )
    unreadable = sum(isinstance(link.state, Unreadable) for link in gpu.links)
    if unreadable:
        found.append(
            Finding(
                "LINK_UNREADABLE",
                f"the state of {unreadable} of {len(gpu.links)} NVLinks cannot be read",
                "update the driver",
            )
        )
    odd = [name for name in gpu.__struct_fields__ if getattr(gpu, name) in _ODD_ANSWERS]
    if odd:
        found.append(
            Finding(
                "FIELD_FAILED",
                f"NVML failed on or timed out over {', '.join(odd)}",
                "look for Xid messages in the kernel log if it stays so",
            )
        )
    return found


def is_behind_switch(gpus: Sequence[GpuReading], pci: PciInventory) -> bool:
    """Whether NVSwitches join this node's GPUs: by links that are up, or by the PCI bus."""
    return bool(pci.switches) or any(joined_by(gpu, ()) is Joined.SWITCH for gpu in gpus)


def missing_from_nvml(gpus: Sequence[GpuReading], pci: PciInventory) -> list[Finding]:
    """GPUs that the PCI bus shows and NVML does not.

    A GPU that NVML counts but cannot reach gives no address: it accounts for one that is missing
    here, and carries a problem of its own. One handed to a virtual machine is not missing.
    """
    known = {gpu.pci for gpu in gpus}
    missing = [device for device in pci.own_gpus if device.address not in known]
    if len(missing) <= sum(isinstance(gpu.pci, Unreadable) for gpu in gpus):
        return []
    return [
        Finding(
            "GPU_NOT_IN_NVML",
            f"GPU {device.address} is on the PCI bus and the driver does not show it "
            f"(kernel driver: {device.driver or 'none'})",
            "look for its address in the kernel log; check that /dev/nvidia* is readable here",
        )
        for device in missing
    ]


def unread_accelerators(pci: PciInventory) -> list[Finding]:
    """Accelerators of other makers: they are there, and nobody here can say how they are."""
    return [
        Finding(
            "ACCELERATOR_UNREAD",
            f"accelerator {device.address} of {VENDORS[device.vendor]} is on the PCI bus, and this "
            "version reads none of theirs",
            "attest it by other means",
        )
        for device in pci.own_others
    ]


def given_away(pci: PciInventory) -> list[Finding]:
    """GPUs that a virtual machine has: not judged, and said."""
    return [
        Finding(
            "GPU_GIVEN_AWAY",
            f"GPU {device.address} is bound to {device.driver} and cannot be seen from the host",
            "attest it from within the virtual machine that uses it",
        )
        for device in pci.gpus
        if device.given_away
    ]


def hidden_links(gpus: Sequence[GpuReading]) -> list[Finding]:
    """A warning when some GPU's links cannot be seen at all."""
    hidden = sum(hides_links(gpu) for gpu in gpus if isinstance(gpu.uuid, str))
    if not hidden:
        return []
    return [
        Finding(
            "LINKS_HIDDEN",
            f"NVML shows no NVLinks of {hidden} GPUs (MIG hides them)",
            "nothing, when MIG is on",
        )
    ]
