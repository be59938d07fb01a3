import pytest

from swt3_agent.cli.text import joined, printable, show, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Llama-3 größer …", "Llama-3 größer …"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b2Jgone", "\\x9b2Jgone"),
        ("\u202eflipped", "\\u202eflipped"),
        ("over\rwritten", "over\\rwritten"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_others_wrote_begins_no_line() -> None:
    """The name of a file on its way into a report."""
    forged = "adapter x\nPASS         AI-HW.1 (quote)"
    assert joined(["FAIL         AI-MDL.6", forged]).split("\n") == [
        "FAIL         AI-MDL.6",
        "adapter x",
        "               | PASS         AI-HW.1 (quote)",
    ]


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("short enough", ["short enough"]),
        ("VERIFIED: it is in the log", ["VERIFIED: it is in", "  the log"]),
        ("  root    one two three four", ["  root    one two", "          three four"]),
        ("    ok   leaf: payload too", ["    ok   leaf:", "         payload too"]),
        ("    FAIL leaf: payload too", ["    FAIL leaf:", "         payload too"]),
        ("  - That the record is true", ["  - That the record", "    is true"]),
        ("  key     sha256:0123456789a b", ["  key", "  sha256:0123456789a", "  b"]),
        ("/a/path/that/is/longer/than/it more", ["/a/path/that/is/longer/than/it", "  more"]),
    ],
)
def test_a_long_line_goes_on_under_what_it_says(line: str, lines: list[str]) -> None:
    assert wrapped(line, 20) == "\n".join(lines)


def test_lines_are_wrapped_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = "one two three four five six\n"
    show(text)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(text)
    assert capsys.readouterr().out == f"{text}\none two three four\n  five six\n\n"
