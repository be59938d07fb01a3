"""TCG structures by layout: what a TPM and a boot say, read and checked without either.

A verifier reads TPM output with these modules and needs no TPM software stack. Everything here is
pure; whatever is not exactly the structure it should be is a ``FormatError``.

reader          a bounds-checked cursor; ``algorithms``: identifiers
attest          what a TPM says and signs; ``pcr``: what it quotes
signature       ECDSA as a TPM gives it; ``ecdsa``: who signed
public          keys: ``public_fields`` of all, ``rsa_public``, ``curves``; ``names``: their place
nv_public       NV indices, and what a counter must be
make_credential a secret for one TPM and one key, by ``kdf``
x509_reading    certificates of endorsement keys
measured_boot   what was booted, by name: ``boot_values`` of an ``event_log``
ima_log         what was run since
"""
