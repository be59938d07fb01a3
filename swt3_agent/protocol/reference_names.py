"""Which registers values by name speak for (docs/formats.md, "Measured boot").

A register is judged by its exact value, or by values read from a boot log that replays to it:
``DESCRIBED`` names the registers whose values hold everything that was measured into them, so that
nothing more can have been. All others can be judged exactly or not at all.
"""

from collections.abc import Collection, Mapping

DESCRIBED: Mapping[int, tuple[str, ...]] = {
    2: ("drivers",),
    4: ("loaders",),
    7: (
        "secure-boot",
        "setup-mode",
        "audit-mode",
        "deployed-mode",
        "platform-key",
        "key-exchange-keys",
        "db",
        "dbx",
        "secure-boot-variables",
        "secure-boot-authorities",
        "sbat-level",
        "shim-variables",
    ),
    8: ("command-line", "boot-commands"),
    9: ("boot-files",),
    11: ("kernel-image",),
    12: ("command-line", "boot-parameters"),
    14: ("machine-owner-keys",),
}


def described_by(values: Collection[str]) -> frozenset[int]:
    """The registers of which these names hold everything."""
    return frozenset(
        index for index, names in DESCRIBED.items() if all(name in values for name in names)
    )
