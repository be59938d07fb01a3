"""How the GPUs of a node are joined: concluded from evidence, never from counts or names.

Pure rules over the raw reading (docs/protocol.md 8.2). A link that NVML will not show (MIG hides
them) is no evidence of its absence.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from swt3_agent.collect.gpu.reading import (
    NOT_SUPPORTED,
    GpuReading,
    LinkReading,
    PairReading,
    Text,
    Unreadable,
)

REMOTE_SWITCH = 2
UP_STATES = (1, 2, 3)  # active, asleep, active with traffic disabled

_LEVEL_NAMES = {0: "INTERNAL", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}


class Joined(Enum):
    """What one GPU's links show."""

    SWITCH = "switch"
    GPU = "gpu"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


class Kind(Enum):
    """The shape of the node. ``code`` is factor c of AI-HW.1 (docs/protocol.md 8.2)."""

    SINGLE = "single"
    SWITCHED = "switched"
    DIRECT = "direct"
    PCIE = "pcie"
    MIXED = "mixed"
    MULTI_NODE = "multi-node"
    UNKNOWN = "unknown"

    @property
    def code(self) -> int:
        """0 single, 1 several GPUs in one node, 2 joined beyond the node, 3 unknown."""
        return {Kind.SINGLE: 0, Kind.MULTI_NODE: 2, Kind.UNKNOWN: 3}.get(self, 1)


@dataclass(frozen=True, slots=True)
class Topology:
    """``interconnect``: nvswitch, nvlink, pcie, mixed, none (nothing to join) or unknown."""

    kind: Kind
    interconnect: str


def is_up(link: LinkReading) -> bool:
    """Whether the link is trained; one that sleeps or carries no traffic now is up too."""
    return link.state in UP_STATES


def up_links(gpu: GpuReading) -> int:
    """How many of the GPU's links are up."""
    return sum(map(is_up, gpu.links))


def hides_links(gpu: GpuReading) -> bool:
    """Whether the links may exist and cannot be seen: MIG is on, or NVML fails otherwise."""
    if isinstance(gpu.link_count, Unreadable):
        return gpu.mig_mode == 1 or gpu.link_count.error != NOT_SUPPORTED
    return bool(gpu.links) and all(isinstance(link.state, Unreadable) for link in gpu.links)


def joined_by(gpu: GpuReading, local: Collection[Text]) -> Joined:
    """What joins this GPU to others. ``local``: PCI addresses of the node's GPUs."""
    up = [link for link in gpu.links if is_up(link)]
    switch_links = 0 if isinstance(gpu.switch_links, Unreadable) else gpu.switch_links
    if switch_links > 0 or any(link.remote_type == REMOTE_SWITCH for link in up):
        return Joined.SWITCH
    if any(link.remote_pci in local for link in up):
        return Joined.GPU
    if hides_links(gpu):
        # Only a GPU behind an NVSwitch registers with a fabric.
        return Joined.SWITCH if gpu.fabric_state in (1, 2, 3) else Joined.UNKNOWN
    return Joined.UNKNOWN if up else Joined.NOTHING


def classify(gpus: Sequence[GpuReading], on_bus: Collection[str]) -> Topology:
    """Classify the node.

    ``on_bus``: addresses of its GPUs on the PCI bus. They count, lost ones included: of two GPUs,
    the one that is left does not make the node single.
    """
    local = {gpu.pci for gpu in gpus} | set(on_bus)
    expected = max(len(gpus), len(on_bus))
    seen = {joined_by(gpu, local) for gpu in gpus if isinstance(gpu.uuid, str)}
    known = seen - {Joined.UNKNOWN}
    interconnect = _interconnect(known, alone=expected == 1)
    if any(is_multi_node(gpu) for gpu in gpus):
        return Topology(Kind.MULTI_NODE, interconnect)
    if not seen:
        return Topology(Kind.UNKNOWN, "unknown")
    if expected == 1:
        return Topology(Kind.SINGLE, interconnect)
    kinds = {
        "nvswitch": Kind.SWITCHED,
        "nvlink": Kind.DIRECT,
        "pcie": Kind.PCIE,
        "mixed": Kind.MIXED,
        "unknown": Kind.UNKNOWN,
    }
    return Topology(kinds[interconnect], interconnect)


def _interconnect(known: set[Joined], *, alone: bool) -> str:
    if not known:
        return "unknown"
    if len(known) > 1:
        return "mixed"
    (joined,) = known
    if joined is Joined.NOTHING:
        return "none" if alone else "pcie"
    return "nvswitch" if joined is Joined.SWITCH else "nvlink"


def is_multi_node(gpu: GpuReading) -> bool:
    """Whether the GPU belongs to a fabric beyond this node: its cluster UUID is not zero."""
    return isinstance(gpu.fabric_cluster, str) and bool(gpu.fabric_cluster.strip("0"))


def farthest_level(pairs: Iterable[PairReading]) -> str | None:
    """The farthest common ancestor of any two GPUs, as PIX, PXB, PHB, NODE or SYS."""
    levels = [pair.level for pair in pairs if isinstance(pair.level, int)]
    return level_name(max(levels)) if levels else None


def level_name(level: int) -> str:
    """NVML's topology level as `nvidia-smi topo -m` names it."""
    return _LEVEL_NAMES.get(level, f"LEVEL-{level}")
