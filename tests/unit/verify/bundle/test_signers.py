"""Whose heads count: the enrolled key, and what it led to, each in its turn."""

import base64

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import Head
from swt3_agent.protocol.bundle_evidence import MAX_KEYS, SuccessionInfo
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.succession import successor_data
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.signers import Signers
from tests.support.bundles import judged
from tests.support.forge import AK, LOG_ID, NODE_ID, OTHER_AK, Quote, ak_public, sign, sized
from tests.support.paper_bundle import PaperLog, trust_in
from tests.support.paper_heads import Paper

FIRST, SECOND = (parse_tpmt(ak_public(key)) for key in (AK, OTHER_AK))


def chain(*, linked: bool = True) -> HeadChain:
    signers = Signers.of([ak_public(AK), ak_public(OTHER_AK)])
    signers.linked = frozenset({1} if linked else ())
    return HeadChain.of(NODE_ID, LOG_ID, signers, 13)


def refused(made: HeadChain, head: Head) -> str:
    with pytest.raises(FormatError) as error:
        made.see_head(head)
    return error.value.code


def test_a_successor_signs_once_a_head_covers_its_record() -> None:
    node, made = Paper(), chain()
    made.see_head(node.head())
    made.signers.state(node.size, ak_public(OTHER_AK))
    node.key = OTHER_AK
    early = node.head()
    assert refused(made, early) == "HEAD_KEY"
    node, made = Paper(), chain()
    made.signers.state(0, ak_public(OTHER_AK))
    made.see_head(node.head())
    node.key = OTHER_AK
    made.see_head(node.head())
    made.signers.check_enrolled(FIRST)
    assert made.signers.vouched(FIRST) == [FIRST, SECOND]
    node.key = AK
    assert refused(made, node.head()) == "HEAD_KEY"


def test_a_key_does_not_sign_before_the_log_names_it() -> None:
    node, made = Paper(key=OTHER_AK), chain()
    made.see_head(node.head())
    with pytest.raises(FormatError) as error:
        made.signers.state(5, ak_public(OTHER_AK))
    assert error.value.code == "HEAD_KEY"


def test_a_retired_key_signs_no_more() -> None:
    node, made = Paper(), chain()
    made.see_head(node.head())
    made.signers.retire(FIRST.name())
    assert refused(made, node.head()) == "HEAD_KEY"


@pytest.mark.parametrize("linked", [True, False])
def test_no_key_vouches_for_the_one_before_it_nor_for_a_stranger(*, linked: bool) -> None:
    node, made = Paper(), chain(linked=linked)
    made.see_head(node.head())
    node.key = OTHER_AK
    made.see_head(node.head())
    with pytest.raises(FormatError) as error:
        made.signers.check_enrolled(SECOND)
    assert error.value.code == "TRUST_AK"
    if not linked:
        with pytest.raises(FormatError, match="another key"):
            made.signers.check_enrolled(FIRST)


def test_a_head_that_is_looked_up_must_be_vouched_for_too() -> None:
    """Else a key of root's own could certify a counter before the range."""
    node, made = Paper(key=OTHER_AK), chain(linked=False)
    head = node.head()
    assert head.quote is not None
    pcrs = {int(index): bytes.fromhex(value) for index, value in head.quote.pcrs.items()}
    before = bytes.fromhex(head.quote.before)
    quoted = made.look_up(1, head.checkpoint.encode(), before, pcrs)
    assert quoted.note == parse_signed_note(head.checkpoint.encode()).note
    with pytest.raises(FormatError) as error:
        made.signers.check_enrolled(FIRST)
    assert error.value.code == "TRUST_AK"


def succession(**changes: object) -> SuccessionInfo:
    """The first key's word for the second."""
    info = sized(SECOND.name()) + sized(b"")
    said = {"type": 0x8017, "extra": successor_data(LOG_ID, FIRST.name()), "info": info, **changes}
    attest = Quote(**said).attest(b"", {})  # type: ignore[arg-type]  # a test names its own fields
    encoded = (ak_public(OTHER_AK), attest, sign(AK, attest))
    return SuccessionInfo(*(base64.b64encode(data).decode() for data in encoded))


def code_of(*successions: SuccessionInfo) -> str:
    log = PaperLog()
    log.start()
    log.head()
    log.keys = [AK, OTHER_AK]
    return judged(log.bundle(successions=successions), trust_in()).code


def test_a_succession_in_the_manifest_is_verified() -> None:
    assert code_of(succession()) == "VERIFIED"
    assert code_of(succession(extra=bytes(32))) == "SUCCESSION_DATA"
    assert code_of(succession(type=0x8018, info=bytes(4) + sized(b""))) == "SUCCESSION_TYPE"
    stranger = SuccessionInfo(base64.b64encode(ak_public(AK)).decode(), "", "")
    assert code_of(stranger) == "PARSE_FIELD"


@pytest.mark.parametrize(("count", "code"), [(MAX_KEYS, "VERIFIED"), (MAX_KEYS + 1, "PARSE_FIELD")])
def test_a_bundle_shows_as_many_keys_as_a_log_can_have(count: int, code: str) -> None:
    log = PaperLog()
    log.start()
    log.head()
    log.keys = [AK, *[OTHER_AK] * (count - 1)]
    assert judged(log.bundle(), trust_in()).code == code
