"""In whose name this node mints, as it is configured."""

from collections.abc import Callable, Mapping
from hashlib import sha256

from swt3_agent.config import Config, SigningKey
from swt3_agent.pipeline import Minter
from swt3_agent.protocol.signing import signature_fields

_POLICY_HASH_CHARS = 12


def minter_of(config: Config) -> Minter:
    """The minter with the labels and the signing key of ``config``."""
    signing = config.signing
    sign = None
    if signing is not None:
        sign = _signer(signing)
    return Minter(config.tenant, config.clearing_level, config.agent_id, _labels(config), sign)


def _signer(key: SigningKey) -> Callable[[str, str | None], Mapping[str, object]]:
    def sign(fingerprint: str, agent_id: str | None) -> Mapping[str, object]:
        return signature_fields(
            key.algorithm, key.key, key.key_id, key.key_version, fingerprint, agent_id
        )

    return sign  # not a partial: that would show the key to whoever prints it


def _labels(config: Config) -> Mapping[str, object]:
    labels = config.labels
    policy = labels.policy_version
    fields = {
        "cycle_id": labels.cycle_id,
        "policy_version_hash": None
        if policy is None
        else sha256(policy.encode()).hexdigest()[:_POLICY_HASH_CHARS],
        "jurisdiction": labels.jurisdiction,
        "legal_basis": labels.legal_basis,
        "purpose_class": labels.purpose_class,
    }
    return {name: value for name, value in fields.items() if value is not None}
