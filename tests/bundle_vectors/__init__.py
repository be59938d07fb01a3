"""Makes the vectors of bundles: ``python -m tests.bundle_vectors``.

A node on a software TPM boots twice, counts, is measured and exports: no two runs give the same
bytes, so that what is stored is what one run of the format's own version made, and stays.
"""
