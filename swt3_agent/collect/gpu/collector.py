"""GpuCollector: the PCI bus first, then NVML through a child process, then what both say."""

from swt3_agent.collect.gpu.claims import gpu_claims
from swt3_agent.collect.gpu.driver import INVENTORY, NvmlDriver, no_device
from swt3_agent.collect.pci import read_inventory
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable


class GpuCollector:
    """What the NVIDIA driver reports of this node's GPUs, and what the PCI bus says of them.

    Claims: ``count`` GPUs that answer, ``pci_count`` accelerators on the bus that belong to this
    host, ``driver``, ``cuda``, ``library`` and ``module`` that the answers come from, ``topology``,
    ``topology_code``, ``interconnect``, ``pcie_farthest``, ``gpus`` sorted by UUID, ``pairs``,
    ``nvlink`` (collect/gpu/nvlink.py), ``problems`` and ``warnings``. A value that NVML would not
    give is ``{"error": code}``. Where nothing answers, what the bus shows: ``pci_count`` and
    ``pci``.
    """

    name = "gpu"

    def __init__(self, driver: NvmlDriver, *, interval_s: float = 300.0) -> None:
        self.interval_s = interval_s
        self._driver = driver

    @property
    def timeout_s(self) -> float:
        """The longest that a reading takes, the end of a child that hangs included."""
        return self._driver.timeout_s

    def collect(self) -> Reading:
        """Take one reading. BUSY when the driver does not answer in time."""
        try:
            pci = read_inventory(self._driver.root)
        except OSError as error:
            return Unavailable(
                self.name,
                Lack.DENIED if isinstance(error, PermissionError) else Lack.FAILED,
                "GPU_PCI_UNREADABLE",
                f"the PCI bus cannot be read: {error}",
                "let the agent read /sys/bus/pci/devices",
            )
        if not pci.own_gpus and not self._driver.shows():
            return no_device(self.name, pci)
        report = self._driver.ask(INVENTORY, self.name, pci)
        if isinstance(report, Unavailable):
            return report
        if not report.gpus and not pci.own_gpus:
            return no_device(self.name, pci)
        claims = gpu_claims(report, pci, self._driver.root)
        return Evidence(self.name, RootOfTrust.DRIVER_REPORTED, claims)
