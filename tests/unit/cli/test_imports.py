"""What asks a running daemon does not wait for the agent to be imported once more."""

import subprocess
import sys

ASKING = ("attest", "baseline", "export", "history", "keys", "prove", "queue", "quote", "status")


def test_a_verb_that_asks_imports_no_node() -> None:
    verbs = ", ".join(f"swt3_agent.cli.{verb}" for verb in ASKING)
    code = f"import sys, {verbs}; sys.exit('swt3_agent.daemon.node' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0
