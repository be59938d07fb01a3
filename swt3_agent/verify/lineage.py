"""From the enrolled key to the one that signed a proof's head (docs/formats.md, "Succession")."""

from collections.abc import Sequence

from swt3_agent.protocol.bundle_evidence import SuccessionInfo
from swt3_agent.protocol.note import decode_base64
from swt3_agent.protocol.proof import Proof
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.public import EccPublic, parse_tpmt
from swt3_agent.verify.anchoring import check_log_pcr
from swt3_agent.verify.earlier import EarlierHead
from swt3_agent.verify.quote import VerifiedQuote
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.succession import SuccessorLink, check_successions


def check_keys(
    statement: TrustStatement, proof: Proof, quote: VerifiedQuote, earlier: EarlierHead | None
) -> tuple[EccPublic, ...]:
    """The keys from the enrolled one to the one that signed the head, in order.

    Raises FormatError ``TRUST_AK`` where they do not lead there, or the earlier head is of none of
    them; ``TRUST_LOG_PCR``; ``PARSE_FIELD``, ``SUCCESSION_*``, ``PUBLIC_*`` and ``AK_*`` for a
    succession that is none.
    """
    keys = keys_from(statement, proof.successions)
    if keys[-1].tpmt != quote.ak.tpmt:
        raise refusal(
            "TRUST_AK",
            "the head is signed by another key than the enrolled AK, and nothing leads from the one"
            " to the other",
        )
    if earlier is not None and earlier.quote.ak.tpmt not in {key.tpmt for key in keys}:
        raise refusal("TRUST_AK", "the earlier head is signed by another key than the enrolled AK")
    check_log_pcr(statement, quote)
    return keys


def keys_from(
    statement: TrustStatement, successions: Sequence[SuccessionInfo]
) -> tuple[EccPublic, ...]:
    """The enrolled key and those that ``successions`` lead to from it, in order.

    Raises FormatError ``PARSE_FIELD``, ``SUCCESSION_*``, ``PUBLIC_*`` and ``AK_*``.
    """
    enrolled = parse_tpmt(statement.ak_public)
    links = _after(enrolled, [_link(info) for info in successions])
    return check_successions(enrolled, links, statement.log_id)


def _after(enrolled: EccPublic, links: Sequence[SuccessorLink]) -> Sequence[SuccessorLink]:
    """The links after the enrolled key, where that is itself a successor: the enroller's word
    stands for those before."""
    places = [place for place, link in enumerate(links) if link.ak_public == enrolled.tpmt]
    return links[places[-1] + 1 :] if places else links


def _link(info: SuccessionInfo) -> SuccessorLink:
    try:
        return SuccessorLink(*map(decode_base64, (info.ak_public, info.attest, info.signature)))
    except ValueError as error:
        raise refusal("PARSE_FIELD", f"a succession of keys is {error}") from None
