"""The helper that reads the kernel's boot and IMA logs, which are root's, and its client.

A process answers one question on one connection and ends (docs/formats.md, "Probe"). What runs
with the privilege (``__main__``, ``server``, ``logs``, ``wire``) needs the standard library alone.
"""
