"""Why an attestation key that the log names cannot be used, and what is then to be done.

None of these is a reason to make another key unasked: a new key is a new identity.
"""

from swt3_agent.errors import TpmError

LOST_KEY_CODES = frozenset(
    {
        "TPM_KEY_AUTH_LOST",
        "TPM_KEY_CLEARED",
        "TPM_KEY_DAMAGED",
        "TPM_KEY_GONE",
        "TPM_KEY_OTHER_TPM",
    }
)
"""The key may be lost for good; then an operator replaces it."""
KEY_CODES = LOST_KEY_CODES | {"TPM_KEY_UNREADABLE"}

_REPLACE = "`swt3-agent keys rotate --lost --reason WHY`, and enrol the node again"


def cleared(detail: str) -> TpmError:
    """The storage primary is the same, and no longer opens what it wrapped."""
    return TpmError(
        "TPM_KEY_CLEARED",
        f"the TPM was cleared since it made the attestation key{detail}",
        remedy=f"nothing brings that key back. Find out who cleared the TPM; then {_REPLACE}",
    )


def other_tpm() -> TpmError:
    """The storage primary has another Name: it comes from another seed."""
    return TpmError(
        "TPM_KEY_OTHER_TPM",
        "another TPM made the attestation key: board or TPM were swapped, or this state"
        " directory is another node's",
        remedy="put the state directory of this node back; if its board or TPM was swapped:"
        f" {_REPLACE}",
    )


def auth_lost(why: str) -> TpmError:
    """The authValue is not to be had, or is not that of the key."""
    return TpmError(
        "TPM_KEY_AUTH_LOST",
        f"the attestation key does not open: {why}",
        remedy="restore keys/ak.auth, or the credential ak-auth, from a backup; if there is none:"
        f" {_REPLACE}",
    )


def damaged(why: str) -> TpmError:
    """The blob is there and is not what was stored."""
    return TpmError(
        "TPM_KEY_DAMAGED",
        f"the attestation key at rest is damaged: {why}",
        remedy="restore keys/ak.json from a backup of the state directory; if there is none:"
        f" {_REPLACE}",
    )


def gone(why: str) -> TpmError:
    """The blob is not there."""
    return TpmError(
        "TPM_KEY_GONE",
        f"the attestation key that the log names is gone: {why}",
        remedy="restore keys/ak.json from a backup of the state directory; if there is none:"
        f" {_REPLACE}",
    )


def unreadable(what: str, why: str) -> TpmError:
    """Something is there and the system does not let us read it: this says nothing of the key."""
    return TpmError(
        "TPM_KEY_UNREADABLE",
        f"{what} cannot be read: {why}",
        remedy="see that the agent's user may read the directory keys/ and that its disk is sound",
    )
