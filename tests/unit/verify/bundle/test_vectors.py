"""Stored bundles: a bundle of format 1 is judged alike for ever."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.verify import verify_bundle
from tests.support.bundles import pack, unpack

DIRECTORY = Path(__file__).parents[3] / "vectors" / "bundle-1"


def cases() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((DIRECTORY / "cases.json").read_text())["cases"]
    return listed


def changed(case: dict[str, Any]) -> bytes:
    """The bundle of a case, with the change that it names."""
    bundle = (DIRECTORY / str(case["file"])).read_bytes()
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
        members[name] = unpack((DIRECTORY / case["member_from"]["file"]).read_bytes())[name]
    if "without" in case:
        del members[case["without"]]
    return pack(members)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_stored_bundles_are_judged_as_they_were(case: dict[str, Any]) -> None:
    trust = (DIRECTORY / "enroller.trust").read_bytes() if case["trust"] else None
    report = verify_bundle(io.BytesIO(changed(case)), trust=trust, allow_software_tpm=True)
    assert (report.code, report.exit_code) == (case["code"], case["exit_code"])
