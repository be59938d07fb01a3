import json

import pytest

from swt3_agent.cli.log import json_line, text_line
from swt3_agent.protocol.record import Kind, Record


def record(payload: bytes, kind: Kind = Kind.RELAYED) -> Record:
    return Record(7, kind, 0, 1_785_000_000_123_000_000, b'{"listener":"intake"}', payload)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("content", ["a" * 300, "\x1b[2J" * 100])
def test_a_record_takes_one_line_of_the_width_and_moves_no_cursor(width: int, content: str) -> None:
    line = text_line(record(json.dumps(content, ensure_ascii=False).encode(), Kind.OPAQUE), width)
    assert len(line) == width
    assert line.isprintable()
    assert line.startswith("       7  2026-07-25T17:20:00.123Z  opaque       intake   ")


def test_a_short_record_is_shown_whole() -> None:
    assert text_line(record(b'{"a":1}'), 80).endswith('intake   {"a":1}')


def test_json_keeps_the_payload_as_it_came_and_bytes_in_base64() -> None:
    assert json_line(record(b'{"a": 1.0}')).endswith('"payload": {"a": 1.0}}')
    assert json.loads(json_line(record(b"\xff")))["payload"] == {"base64": "/w=="}
    refused = json.loads(json_line(record(b'{"a":1}', Kind.QUARANTINE)))
    assert refused["payload"] == {"base64": "eyJhIjoxfQ=="}


def test_json_stays_one_line_for_every_reader_and_means_the_same() -> None:
    text = "a\u2028b\x9bc\u202ed"
    line = json_line(record(json.dumps({"agent_id": text}, ensure_ascii=False).encode()))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["payload"] == {"agent_id": text}
