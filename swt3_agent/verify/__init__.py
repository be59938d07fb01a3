"""The offline verifier: pure Python, no TSS, no state of the agent."""
