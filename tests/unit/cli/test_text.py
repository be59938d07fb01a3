import pytest

from swt3_agent.cli.text import printable


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
