"""Text that others wrote, on its way to a terminal."""


def printable(text: str) -> str:
    """``text`` with every character that a terminal would obey, or that hides others, escaped.

    Names of model files and payloads of producers are shown to operators; neither may move the
    cursor or turn the direction of what stands beside it. Line ends stay.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
