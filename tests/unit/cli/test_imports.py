"""What asks a running daemon does not wait for the agent to be imported once more."""

import subprocess
import sys

import pytest

ASKING = ("attest", "baseline", "export", "history", "keys", "prove", "queue", "quote", "status")


@pytest.mark.parametrize("verb", ASKING)
def test_a_verb_that_asks_imports_no_node(verb: str) -> None:
    code = f"import sys, swt3_agent.cli.{verb}; sys.exit('swt3_agent.daemon.node' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0
