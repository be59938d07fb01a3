"""Stored bundles: a bundle of each format is judged alike for ever."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.verify import verify_bundle
from tests.support.bundle_cases import changed

VECTORS = Path(__file__).parents[3] / "vectors"
FORMATS = ("bundle-1", "bundle-2")


def cases(name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((VECTORS / name / "cases.json").read_text())["cases"]
    return listed


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name in FORMATS for case in cases(name)], ids=str
)
def test_stored_bundles_are_judged_as_they_were(name: str, case: dict[str, Any]) -> None:
    directory = VECTORS / name
    trust = (directory / "enroller.trust").read_bytes() if case["trust"] else None
    report = verify_bundle(
        io.BytesIO(changed(directory, case)), trust=trust, allow_software_tpm=True
    )
    assert (report.code, report.exit_code) == (case["code"], case["exit_code"])


@pytest.mark.parametrize("name", FORMATS)
def test_stored_bundles_are_of_their_format(name: str) -> None:
    bundle = (VECTORS / name / "second.tar").read_bytes()
    assert b'"format":"swt3-agent/%s"' % name.replace("-", "/").encode() in bundle
