"""Raw readings for the pure rules: a healthy GPU behind an NVSwitch, unless changed."""

from typing import Any

import msgspec

from swt3_agent.collect.gpu.reading import (
    GpuReading,
    LinkReading,
    Number,
    PairReading,
    Unreadable,
)

SWITCH = "0000:07:00.0"
NOT_SUPPORTED = Unreadable(3)


def link(state: Number = 1, *, remote: str = SWITCH, **changes: Any) -> LinkReading:
    remote_type = 2 if remote == SWITCH else 0
    honest = LinkReading(state, remote_type, remote, NOT_SUPPORTED, 4)
    return msgspec.structs.replace(honest, **changes)


def gpu(number: int = 0, **changes: Any) -> GpuReading:
    fields: dict[str, Any] = dict.fromkeys(GpuReading.__struct_fields__, NOT_SUPPORTED)
    links = changes.get("links", [link() for _ in range(18)])
    fields |= {
        "uuid": f"GPU-{number}",
        "pci": address(number),
        "mig_mode": 0,
        "ecc_uncorrected_volatile": 0,
        "remap_pending": 0,
        "remap_failure": 0,
        "recovery_action": 0,
        "fabric_state": 3,
        "fabric_status": 0,
        "fabric_clique": 0,
        "fabric_cluster": "00" * 16,
        "fabric_health_summary": 0,
        "link_count": len(links),
        "switch_links": sum(one.state in (1, 2, 3) and one.remote_type == 2 for one in links),
        "links": links,
    }
    return GpuReading(**{**fields, **changes})


def pcie_gpu(number: int = 0, **changes: Any) -> GpuReading:
    """A GPU that knows neither NVLink nor a fabric."""
    without = {"link_count": NOT_SUPPORTED, "switch_links": NOT_SUPPORTED, "links": []}
    return gpu(number, **{**without, "fabric_state": 0, **changes})


def unreachable(error: int) -> GpuReading:
    fields: dict[str, Any] = dict.fromkeys(GpuReading.__struct_fields__, Unreadable(error))
    return GpuReading(**{**fields, "links": []})


def address(number: int) -> str:
    return f"0000:{number + 16:02x}:00.0"


def pair(first: int, second: int, level: int) -> PairReading:
    return PairReading(first, second, level)
