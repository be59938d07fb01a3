"""The attestation key at rest: whether the one that the log names is there and whole."""

import os
from collections.abc import Iterator

from swt3_agent.config import Config
from swt3_agent.daemon.doctor.finding import Finding, good
from swt3_agent.daemon.stopped import stopped_log
from swt3_agent.errors import StateError
from swt3_agent.store.key_history import present_signer
from swt3_agent.store.state import Layout, existing_layout
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.auth_value import read_auth
from swt3_agent.tpm.key_files import find_blob, read_blob


def check_keys(layout: Layout, named: bytes = b"") -> Iterator[Finding]:
    """Whether the key can be loaded, as far as files can tell; ``named`` is the TPMT_PUBLIC that
    the log names, empty where nobody knows. Raises TpmError: one of ``key_faults.KEY_CODES``."""
    if not layout.keys.exists():
        return
    os.scandir(layout.keys).close()  # else what is hidden from us would look absent
    blob = find_blob(layout.keys, named) if named else read_blob(layout.keys)
    if blob is None:
        if named:
            raise key_faults.gone(f"no file in {layout.keys} holds it")
        return
    name = parse_tpmt(blob.tpmt).name().hex()
    found = f"the attestation key {name} is there"
    if read_auth(layout.keys) is None:  # a credential is for the service alone
        yield good("keys", f"{found}; its authValue must come as the credential ak-auth")
    else:
        yield good("keys", f"{found}, with its authValue")


def named_key(config: Config) -> bytes:
    """The key that the log of a stopped agent names; empty where it is not for us to read.

    Raises JournalError.
    """
    try:
        if existing_layout(config.state_dir).root.stat().st_uid != os.geteuid():
            return b""  # root could, but what it writes beside the log would not be theirs
        with stopped_log(config) as log:
            return present_signer(log.journal, log.catalogue).ak_public
    except StateError:  # the check of the state directory says why
        return b""
