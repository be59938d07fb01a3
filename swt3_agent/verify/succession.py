"""From one attestation key to the next (docs/formats.md, "Succession").

The old key certified the new one: TPM2_Certify by a restricted key says that this very TPM holds
the key with that Name. It does so for a software key that was loaded from outside too, so what the
Name stands for is checked as strictly as an enrolled key.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.ecdsa import has_signed
from swt3_agent.tcg.public import EccPublic, check_ak, parse_tpmt
from swt3_agent.verify.refusal import refusal


@dataclass(frozen=True, slots=True)
class SuccessorLink:
    """A new AK (TPMT_PUBLIC), and the old one's TPMS_ATTEST of it with its DER signature."""

    ak_public: bytes
    attest: bytes
    signature_der: bytes


def check_succession(old: EccPublic, link: SuccessorLink, log_id: str) -> EccPublic:
    """The new key, if ``old`` gave its word for it as its successor in the log ``log_id``.

    Raises FormatError: ``PUBLIC_*`` and ``AK_*`` for a key that cannot be an attestation key;
    ``ATTEST_*`` and ``SIGNATURE_*`` for damaged bytes; ``SUCCESSION_SIGNATURE`` where ``old`` did
    not sign; ``SUCCESSION_TYPE`` for an attestation that certifies no key; ``SUCCESSION_NAME``
    where it certifies another one; ``SUCCESSION_DATA`` where it was not made for this log and this
    step; ``SUCCESSION_SELF`` for a key that follows itself.
    """
    new = parse_tpmt(link.ak_public)
    check_ak(new)
    if not has_signed(old, link.attest, link.signature_der):
        raise refusal(
            "SUCCESSION_SIGNATURE", "the old key did not sign the certification of the new one"
        )
    attest = parse_attest(link.attest)
    if attest.certify is None:
        raise refusal("SUCCESSION_TYPE", f"the old key's attestation is of type {attest.type.name}")
    if attest.certify.name != new.name():
        raise refusal(
            "SUCCESSION_NAME", "the old key certified another key than the one that is shown"
        )
    if attest.extra_data != successor_data(log_id, old.name()):
        raise refusal(
            "SUCCESSION_DATA", "the certification was not made for this succession in this log"
        )
    if new.name() == old.name():
        raise refusal("SUCCESSION_SELF", "the key is given as its own successor")
    return new


def check_successions(
    enrolled: EccPublic, links: Iterable[SuccessorLink], log_id: str
) -> tuple[EccPublic, ...]:
    """``enrolled`` and the keys that followed it, in order. Raises as ``check_succession``."""
    keys = [enrolled]
    for link in links:
        keys.append(check_succession(keys[-1], link, log_id))
    return tuple(keys)
