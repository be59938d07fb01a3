"""Whatever bytes a parser is given, it takes them or refuses them: nothing else comes out."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS, VECTORS

NAMES = sorted(TARGETS)
EXAMPLES = 25
FOUND = sorted(path for path in (VECTORS / "fuzz").glob("*/*") if path.is_file())
"""What once broke a parser, by target."""
DEEP = 100_000
NASTY = (
    *(start + b"[" * DEEP for start in (b"", b'{"a":', b'{"format":', b'{"secret":')),
    b'{"a":' * DEEP,
    b'{"format":"swt3-agent/verify-state/1","a":' + b"[" * DEEP,
    b'{"format":"swt3-agent/bundle/2","a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    *(b'{"%b":%b}' % (name, b"9" * 5000) for name in (b"x", b"value", b"first", b"seq")),
    *(b'{"%b":"\\ud800"}' % name for name in (b"event", b"boot_id", b"body", b"payload")),
    b'{"\\ud800":1}',
    b'"\\ud800"',
    b"\xef\xbb\xbf{}",
    b"-0",
    b"1e400",
    b"NaN",
    *(each * (2 * DEEP) for each in (b"\0", b"\xff", b"0", b" ", b"\x30")),
)
"""What breaks one reader of JSON or of numbers or another."""


def feed(target: Target, data: bytes) -> None:
    try:
        target.parse(data)
    except FormatError:
        return


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_takes_its_seeds(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].parse(seed)


@pytest.mark.parametrize("name", NAMES)
def test_what_breaks_other_readers_is_taken_or_refused(name: str) -> None:
    for data in NASTY:
        feed(TARGETS[name], data)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_parser_is_taken_or_refused(path: Path) -> None:
    feed(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=600))
def test_any_bytes_are_taken_or_refused(name: str, data: bytes) -> None:
    feed(TARGETS[name], data)


@pytest.mark.parametrize("name", [name for name in NAMES if any(TARGETS[name].seeds)])
@settings(max_examples=EXAMPLES)
@given(draw=st.data())
def test_a_changed_input_is_taken_or_refused(name: str, draw: st.DataObject) -> None:
    """Cut, a byte changed, bytes put in, a stretch repeated or taken out."""
    seed = draw.draw(st.sampled_from([seed for seed in TARGETS[name].seeds if seed]))
    at = draw.draw(st.integers(0, len(seed) - 1))
    until = draw.draw(st.integers(at, min(len(seed), at + 64)))
    filling = draw.draw(st.binary(max_size=16))
    change = draw.draw(st.sampled_from(["cut", "put", "replace", "repeat"]))
    changed = {
        "cut": seed[:at],
        "put": seed[:at] + filling + seed[at:],
        "replace": seed[:at] + filling + seed[until:],
        "repeat": seed[:until] + seed[at:until] + seed[until:],
    }[change]
    feed(TARGETS[name], changed)
