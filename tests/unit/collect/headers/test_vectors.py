"""Known answers: whole files with the headers that they have."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.collect.headers.gguf import read_gguf
from swt3_agent.collect.headers.safetensors import read_safetensors
from tests.unit.collect.headers.files import parse

CASES = json.loads((Path(__file__).parents[3] / "vectors" / "weight_headers.json").read_text())
PARSERS = {"safetensors": read_safetensors, "gguf": read_gguf}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_file_has_the_header_that_it_is_known_to_have(case: dict[str, Any]) -> None:
    parser = PARSERS[case["header"]["format"]]
    assert parse(parser, base64.b64decode(case["file"])).as_json() == case["header"]
