"""NVLink as its own claim: what joins which GPUs, by how many links, at what speed.

Pure rules over the raw reading (docs/protocol.md 8.2). A number of links counts only where both
ends agree; what NVML would not show is unknown, and neither zero nor left out.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from swt3_agent.collect.gpu.reading import (
    FUNCTION_NOT_FOUND,
    NOT_SUPPORTED,
    GpuReading,
    Number,
    Text,
    Unreadable,
)
from swt3_agent.collect.gpu.topology import Topology, hides_links, is_up, up_links

Claims = dict[str, object]

_FABRIC = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}


def nvlink_claims(gpus: Sequence[GpuReading], shape: Topology, switches: int) -> Claims:
    """``interconnect``, ``evidence`` for it in words, ``links_up``, ``links_down``, ``switches``
    (on the PCI bus), ``speeds_mbps``, ``fabric`` (state -> GPUs), ``matrix`` (pairs of UUIDs with
    ``links``, null where they cannot be seen) and ``summary``.
    """
    known = [gpu for gpu in gpus if isinstance(gpu.uuid, str)]
    up = sum(map(up_links, known))
    present = sum(len(gpu.links) for gpu in known)
    matrix = _matrix(known)
    return {
        "interconnect": shape.interconnect,
        "evidence": _evidence(known, switches),
        "links_up": up,
        "links_down": sum(link.state == 0 for gpu in known for link in gpu.links),
        "links_unreadable": sum(
            isinstance(link.state, Unreadable) for g in known for link in g.links
        ),
        "hidden": sum(map(hides_links, known)),
        "switches": switches,
        "speeds_mbps": sorted({_count(gpu.link_speed_mbps) for gpu in known} - {0}),
        "fabric": _fabric(known),
        "matrix": [{"gpus": list(pair), "links": links} for pair, links in sorted(matrix.items())],
        "summary": _summary(known, shape, list(matrix.values()), up, present, switches),
    }


def _matrix(gpus: Sequence[GpuReading]) -> dict[tuple[str, str], int | None]:
    """Links between each two GPUs, as `nvidia-smi topo -m` writes NV#: behind switches the links
    that both have to them, else those whose other end is the peer."""
    matrix = {}
    for first, second in combinations(gpus, 2):
        pair = tuple(sorted((str(first.uuid), str(second.uuid))))
        ends = (_links_to(first, second), _links_to(second, first))
        matrix[pair[0], pair[1]] = None if None in ends else min(end or 0 for end in ends)
    return matrix


def _links_to(gpu: GpuReading, peer: GpuReading) -> int | None:
    if hides_links(gpu):
        return None
    if _to_switch(gpu) and _to_switch(peer):
        return _to_switch(gpu)
    return sum(is_up(link) and link.remote_pci == peer.pci for link in gpu.links)


def _to_switch(gpu: GpuReading) -> int:
    counted = _count(gpu.switch_links)
    return counted or sum(is_up(link) and link.remote_type == 2 for link in gpu.links)


def _count(value: Number) -> int:
    return 0 if isinstance(value, Unreadable) else value


def _evidence(gpus: Sequence[GpuReading], switches: int) -> list[str]:
    """Why the node is called what it is called."""
    local: set[Text] = {gpu.pci for gpu in gpus}
    to_switch = sum(map(_to_switch, gpus))
    to_gpu = sum(is_up(link) and link.remote_pci in local for gpu in gpus for link in gpu.links)
    told = [
        (to_switch, f"{to_switch} links that are up end at a switch"),
        (to_gpu, f"{to_gpu} links that are up end at a GPU of this node"),
        (switches, f"{switches} NVSwitches are on the PCI bus"),
        (sum(map(hides_links, gpus)), "links are hidden by the driver"),
    ]
    return [words for count, words in told if count] or ["no link that is up"]


def _fabric(gpus: Sequence[GpuReading]) -> dict[str, int]:
    states = Counter(_fabric_state(gpu.fabric_state) for gpu in gpus)
    return dict(sorted(states.items()))


def _fabric_state(state: Number) -> str:
    if isinstance(state, Unreadable):
        unknown = state.error in (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
        return "not supported" if unknown else "unreadable"
    return _FABRIC.get(state, f"state {state}")


def _summary(
    gpus: Sequence[GpuReading],
    shape: Topology,
    pairs: Sequence[int | None],
    up: int,
    present: int,
    switches: int,
) -> str:
    """One line for a person."""
    count = f"{len(gpus)} GPU{'s' if len(gpus) != 1 else ''}"
    if any(map(hides_links, gpus)):
        return f"{count}, {shape.interconnect}: NVML hides links"
    if not present:
        return f"{count}, no NVLink"
    if not up:
        return f"{count}, none of {present} NVLinks is up"
    missing = f", {present - up} of {present} links down" if up < present else ""
    least, most = min(filter(None, pairs), default=0), max(filter(None, pairs), default=0)
    width = f"NV{most}" if least == most else f"NV{least} to NV{most}"
    if not most:
        return f"{count}, {up} of {present} links up, none between two GPUs of this node"
    way = "all-to-all" if all(pairs) else f"between {sum(map(bool, pairs))} of {len(pairs)} pairs"
    through = "directly"
    if shape.interconnect == "nvswitch":
        through = f"through {switches} NVSwitches" if switches else "through NVSwitches"
    return f"{count}, {width} {way} {through}{missing}"
