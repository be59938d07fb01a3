"""One file per verb."""


def main() -> int:
    """Entry point of ``swt3-agent``."""
    raise SystemExit("swt3-agent: no verbs yet")
