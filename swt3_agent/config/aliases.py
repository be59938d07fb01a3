"""Values that published profiles use and the published schema does not know."""

from typing import Any

from swt3_agent.config.documents import Document
from swt3_agent.config.problems import Findings


def read_aliases(document: Document, source: str, findings: Findings) -> Document:
    """``document`` with ``tpm2`` read as ``tpm_2.0`` and ``standard`` as ``strict``, the stricter
    of what it can mean; each time with a warning (docs/protocol.md 14)."""
    hardware, mesh = document.get("hardware"), document.get("trust_mesh")
    if isinstance(hardware, dict) and isinstance(hardware.get("allowed_methods"), list):
        methods: list[Any] = hardware["allowed_methods"]
        if "tpm2" in methods:
            findings.warn(f"{source}: hardware.allowed_methods: tpm2 is read as tpm_2.0")
            methods[:] = ["tpm_2.0" if method == "tpm2" else method for method in methods]
    if isinstance(mesh, dict) and mesh.get("mode") == "standard":
        findings.warn(f"{source}: trust_mesh.mode: standard is read as strict")
        mesh["mode"] = "strict"
    return document
