from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.client import content_hash
from swt3_agent.protocol import fingerprint

VECTORS = Path(__file__).parents[2] / "vectors" / "content_hashes.json"


@given(st.text())
def test_text_is_hashed_as_the_protocol_says(text: str) -> None:
    assert content_hash(text) == fingerprint.content_hash(text)


def test_a_published_answer() -> None:
    assert "315f5bdb76d078c4" in VECTORS.read_text()
    assert content_hash("Hello, world!") == content_hash(b"Hello, world!") == "315f5bdb76d078c4"


def test_a_lone_surrogate_counts_as_the_replacement_character() -> None:
    assert content_hash("a\ud800b") == content_hash("a\ufffdb")
    assert content_hash("\ud83d\ude00") == content_hash("\U0001f600")


@pytest.mark.parametrize("what", [None, 7, ["x"], object()])
def test_what_is_no_text_has_no_hash_and_raises_nothing(what: Any) -> None:
    assert content_hash(what) == ""
