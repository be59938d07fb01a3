"""``python -m swt3_agent.probe``, as systemd/swt3-agent-probe@.service starts it."""

import sys

from swt3_agent.probe.server import main

if __name__ == "__main__":
    sys.exit(main())
