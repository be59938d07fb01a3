"""A trust statement, as JSON and for people."""

from typing import Any

from swt3_agent.cli.text import utc_text
from swt3_agent.protocol.trust import TpmKind, TrustStatement

_SOFTWARE = "SOFTWARE: root of the node can copy its keys, it is no root of trust"


def trust_facts(statement: TrustStatement) -> dict[str, Any]:
    """A trust statement as JSON."""
    floors = statement.floors
    root = statement.ek_root_sha256
    return {
        "enroller": statement.enroller,
        "node_id": statement.node_id,
        "log_id": statement.log_id,
        "tpm": statement.tpm.value,
        "ek_sha256": statement.ek_sha256 and statement.ek_sha256.hex(),
        "ek_certified": statement.ek_certified,
        "ek_root_sha256": root and root.hex(),
        "log_pcr": statement.log_pcr,
        "valid_from_ms": statement.valid_from_ms,
        "valid_until_ms": statement.valid_until_ms,
        "revoked_ms": statement.revoked_ms,
        "counter_index": statement.counter_index and f"{statement.counter_index:08x}",
        "floor": floors
        and {
            "size": floors.size,
            "root": floors.root.hex(),
            "clock_ms": floors.clock_ms,
            "resets": floors.resets,
            "counter": floors.counter,
        },
    }


def trust_lines(statement: TrustStatement) -> list[str]:
    """A trust statement for people."""
    how = {
        None: "",
        False: ", pinned by hand: no certificate says that it is a TPM's",
        True: f", certified under the root sha256:{(statement.ek_root_sha256 or b'').hex()}",
    }[statement.ek_certified]
    ek = "not named" if statement.ek_sha256 is None else f"sha256:{statement.ek_sha256.hex()}{how}"
    lines = [
        f"node     {statement.node_id}, log {statement.log_id}",
        f"TPM      {tpm_text(statement.tpm)}",
        f"EK       {ek}",
        f"valid    {utc_text(statement.valid_from_ms)} to {utc_text(statement.valid_until_ms)}",
    ]
    if statement.revoked_ms is not None:
        lines.append(f"revoked  as of {utc_text(statement.revoked_ms)}")
    if (floors := statement.floors) is not None:
        lines.append(
            f"floor    {floors.size} records, TPM clock {floors.clock_ms} ms,"
            f" {floors.resets} resets, counter {floors.counter}"
        )
    if statement.counter_index is not None:
        lines.append(f"counter  NV index {statement.counter_index:08x}")
    elif statement.ek_certified is not None:  # version 1 cannot say
        lines.append("counter  none: no verifier will ask this log for one")
    return lines


def tpm_text(kind: TpmKind) -> str:
    """What is said of a TPM wherever one is shown."""
    return "hardware" if kind is TpmKind.HARDWARE else _SOFTWARE
