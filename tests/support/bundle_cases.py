"""Stored bundles with the changes that their cases name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.bundles import pack, unpack


def changed(directory: Path, case: Mapping[str, Any]) -> bytes:
    """The bundle of ``case`` in ``directory``, with the change that it names."""
    bundle = (directory / str(case["file"])).read_bytes()
    members = unpack(bundle)
    if "cut" in case:
        return bundle[: int(case["cut"])]
    if "append" in case:
        return bundle + bytes.fromhex(str(case["append"]))
    if "flip" in case:
        flip = case["flip"]
        data = bytearray(members[flip["member"]])
        data[flip["byte"]] ^= flip["xor"]
        members[flip["member"]] = bytes(data)
    if "member_from" in case:
        name = case["member_from"]["member"]
        members[name] = unpack((directory / case["member_from"]["file"]).read_bytes())[name]
    if "without" in case:
        del members[case["without"]]
    return pack(members)
