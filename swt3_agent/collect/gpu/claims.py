"""From the raw reading to claims: identity, topology, health (docs/protocol.md 8.2)."""

from pathlib import Path

import msgspec

from swt3_agent.collect.gpu import health, topology
from swt3_agent.collect.gpu.health import Finding
from swt3_agent.collect.gpu.nvlink import nvlink_claims
from swt3_agent.collect.gpu.reading import GpuReading, Report, SystemReading, Unreadable
from swt3_agent.collect.gpu.sysfs import read_module
from swt3_agent.collect.pci import PciInventory

Claims = dict[str, object]


def gpu_claims(report: Report, pci: PciInventory, root: Path) -> Claims:
    """The claims of GpuCollector. ``report`` must be one of success, that is with a system."""
    gpus = report.gpus
    shape = topology.classify(gpus, [device.address for device in pci.own_gpus])
    behind_switch = health.is_behind_switch(gpus, pci)
    problems = [*health.missing_from_nvml(gpus, pci), *health.unread_accelerators(pci)]
    warnings = [*health.given_away(pci), *health.hidden_links(gpus)]
    for gpu in gpus:
        warnings += [_named(gpu, warning) for warning in health.gpu_warnings(gpu)]
    if report.library is not None and not report.library.consistent:
        warnings.append(
            Finding(
                "LIBRARY_UNCERTAIN",
                f"{report.library.path} may not be the only or the same library that was mapped",
                "remove other copies of libnvidia-ml.so.1",
            )
        )
    return {
        "count": sum(isinstance(gpu.uuid, str) for gpu in gpus),
        "pci_count": len(pci.own_gpus) + len(pci.own_others),
        "nvswitch_count": len(pci.switches),
        **_system(report.system),
        "library": msgspec.to_builtins(report.library),
        "module": read_module(root),
        "topology": shape.kind.value,
        "topology_code": shape.kind.code,
        "interconnect": shape.interconnect,
        "pcie_farthest": topology.farthest_level(report.pairs),
        "gpus": [_gpu(gpu, behind_switch=behind_switch) for gpu in sorted(gpus, key=_order)],
        "pairs": _pairs(report),
        "nvlink": nvlink_claims(gpus, shape, len(pci.switches)),
        "problems": [_finding(problem) for problem in problems],
        "warnings": [_finding(warning) for warning in warnings],
    }


def _order(gpu: GpuReading) -> tuple[bool, str]:
    return (isinstance(gpu.uuid, Unreadable), str(gpu.uuid))


def _system(system: SystemReading | None) -> Claims:
    if system is None:
        return {}
    cuda = system.cuda
    return {
        "driver": _value(system.driver),
        "nvml": _value(system.nvml),
        "cuda": _value(cuda)
        if isinstance(cuda, Unreadable)
        else f"{cuda // 1000}.{cuda % 1000 // 10}",
        "confidential_computing": _value(system.confidential_computing),
    }


def _gpu(gpu: GpuReading, *, behind_switch: bool) -> Claims:
    problems = health.gpu_problems(gpu, behind_switch=behind_switch)
    hidden = isinstance(gpu.link_count, Unreadable)
    return {
        **{name: _value(getattr(gpu, name)) for name in _FLAT},
        "links": {
            "present": _value(gpu.link_count),
            "up": _value(gpu.link_count) if hidden else topology.up_links(gpu),
            "to_switch": _value(gpu.switch_links),
            "speed_mbps": _value(gpu.link_speed_mbps),
        },
        "nvlinks": msgspec.to_builtins(gpu.links),
        "problems": [_finding(_named(gpu, problem)) for problem in problems],
    }


_FLAT = [
    name
    for name in GpuReading.__struct_fields__
    if name not in ("link_count", "switch_links", "link_speed_mbps", "links")
]


def _pairs(report: Report) -> list[Claims]:
    """Levels between GPUs by UUID, each pair and the whole list in order."""
    pairs = []
    for pair in report.pairs:
        ends = (report.gpus[pair.first].uuid, report.gpus[pair.second].uuid)
        if isinstance(ends[0], str) and isinstance(ends[1], str):
            level = pair.level
            shown = topology.level_name(level) if isinstance(level, int) else _value(level)
            pairs.append((sorted(map(str, ends)), shown))
    return [{"gpus": ends, "level": level} for ends, level in sorted(pairs, key=lambda p: p[0])]


def _value(value: object) -> object:
    return msgspec.to_builtins(value)


def _named(gpu: GpuReading, finding: Finding) -> Finding:
    """The finding with the name of its GPU in front."""
    known = next((name for name in (gpu.uuid, gpu.pci) if isinstance(name, str)), "of unknown name")
    return Finding(finding.code, f"GPU {known}: {finding.detail}", finding.remedy)


def _finding(finding: Finding) -> Claims:
    return {"code": finding.code, "detail": finding.detail, "remedy": finding.remedy}
