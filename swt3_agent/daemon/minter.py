"""In whose name this node mints, as it is configured."""

from collections.abc import Callable, Mapping
from hashlib import sha256

from swt3_agent.config import Config, SigningKey
from swt3_agent.errors import ConfigError, FormatError
from swt3_agent.pipeline import Minter
from swt3_agent.protocol.clearing import MAX_LEVEL
from swt3_agent.protocol.operational import refuse_free_text
from swt3_agent.protocol.signing import signature_fields

_POLICY_HASH_CHARS = 12


def minter_of(config: Config) -> Minter:
    """The minter with the labels and the signing key of ``config``.

    Raises ConfigError at level 3 for an agent id or label that must not travel there.
    """
    labels = _labels(config)
    signing = config.signing
    if config.clearing_level == MAX_LEVEL:
        key_id = None if signing is None else signing.key_id
        _refuse_free_text({**labels, "agent_id": config.agent_id, "signing_key_id": key_id})
    sign = None
    if signing is not None:
        sign = _signer(signing)
    return Minter(config.tenant, config.clearing_level, config.agent_id, labels, sign)


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


def _refuse_free_text(fields: Mapping[str, object]) -> None:
    try:
        refuse_free_text(fields)
    except FormatError as error:
        raise ConfigError("CONFIG_VALUE", error.message, remedy=error.remedy) from error
