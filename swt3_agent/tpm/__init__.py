"""The one owner of the TPM: a child process, and the handle through which the agent asks it.

In the agent: ``client`` (the handle), ``child`` (the process and its deadline), ``software`` (a
software TPM for demonstrations and tests). In the child, which alone imports tpm2_pytss:
``worker`` (its main), ``owner`` (the operations), ``connection``, ``attestation_key``. Between
them: ``messages``. Calls into the TPM block without a timeout and the bindings have memory faults,
so the process that makes them must be one that can be killed.
"""
