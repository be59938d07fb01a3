"""What the kernel shows of the NVIDIA driver without NVML: its module and its device node."""

import os
from pathlib import Path

from swt3_agent.collect.attributes import read_attribute

_MOST_TEXT = 256  # bytes of an attribute


def read_module(root: Path) -> dict[str, str | None]:
    """The loaded nvidia module as sysfs describes it; None for what is not there or not given."""
    module = root / "sys/module/nvidia"
    return {name: _optional(module / name) for name in ("version", "srcversion", "taint")}


def _optional(path: Path) -> str | None:
    try:
        return read_attribute(path, _MOST_TEXT)
    except OSError:
        return None


def has_driver_trace(root: Path) -> bool:
    """Whether anything of the NVIDIA driver shows in this system, though the PCI bus may not."""
    traces = ("dev/nvidiactl", "proc/driver/nvidia", "sys/module/nvidia")
    return any((root / trace).exists() for trace in traces)


def is_device_node_denied(root: Path) -> bool:
    """Whether the driver's control node is there and this process may not open it."""
    node = root / "dev/nvidiactl"
    return node.exists() and not os.access(node, os.R_OK | os.W_OK)
