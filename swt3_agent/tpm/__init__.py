"""The one owner of the TPM: a child process, and the handle through which the agent asks it.

Calls into the TPM block without a timeout and the bindings have memory faults, so the process that
makes them must be one that can be killed.

client            what the agent asks
  supervisor      one child at a time, and a new one after it ended; ``child``: the process, and
                  its deadline
messages          what the two say to each other
worker            main of the child, which alone imports tpm2_pytss
  owner           its operations
    link          the connection with the attestation key loaded
    quotes        heads and challenges; ``signing``: messages; ``endorsement``: EKs and activation
    counter       the NV counter; ``nv``: any index
    succession    the next attestation key
  connection      to the TPM: what its errors mean; ``commands``, each checked
  attestation_key the key itself
key_files         keys at rest: ``auth_value``, in ``private_files``; ``key_faults``: why one cannot
                  be used
reach             which TPM a TCTI string means, before anything of this runs
software          a software TPM for demonstrations and tests
"""
