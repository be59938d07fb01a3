"""A /sys/class/hwmon as the kernel makes it."""

from pathlib import Path


def plug_in(root: Path, number: int, name: str, **attributes: object) -> Path:
    """One chip with its attributes: ``temp1_input=41000``."""
    chip = root / "sys/class/hwmon" / f"hwmon{number}"
    device = root / "sys/devices" / f"{name}.{number}"
    chip.mkdir(parents=True)
    device.mkdir(parents=True)
    (chip / "device").symlink_to(device)
    (chip / "name").write_text(f"{name}\n")
    for attribute, value in attributes.items():
        (chip / attribute).write_text(f"{value}\n")
    return chip
