"""The one owner of the TPM: a child process, and the handle through which the agent asks it."""
