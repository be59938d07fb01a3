"""``python -m swt3_agent``: the same as ``swt3-agent``."""

import sys

from swt3_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
