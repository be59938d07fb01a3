"""TCG structures by plain ``struct``: attestations, public areas, PCR digests, signatures.

A verifier reads TPM output with these modules and needs no TPM software stack. Everything here is
pure; whatever is not exactly the structure it should be is a ``FormatError``.
"""
