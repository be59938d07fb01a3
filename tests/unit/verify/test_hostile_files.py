"""Whole good files, mangled: no exception, and nothing changed is ever called true."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swt3_agent.protocol.proof import encode_proof
from swt3_agent.verify import Outcome, verify_bundle, verify_challenge, verify_proof
from swt3_agent.verify.memory import encode_memory
from swt3_agent.verify.remembering import remember
from tests.refusals import bundles, challenges, memory, successions
from tests.support.forge import AK, OTHER_AK, UTC_MS, WITNESS_SEQ, PaperNode, ak_public, trust_file
from tests.support.paper_bundle import trust_in

NODE = PaperNode(key=OTHER_AK, public=ak_public(OTHER_AK))
TRUST = trust_file(
    ek_certified=True,
    ek_root_sha256=bytes(32),
    counter_index=0x01800053,
    counter_name=b"\x00\x0b" + bytes(32),
)
PROOF = encode_proof(
    replace(
        NODE.proof(WITNESS_SEQ),
        previous=PaperNode().head_before(3),
        successions=(successions.link(AK, OTHER_AK),),
    )
)
ANSWER = challenges.answer()
MEMORY = encode_memory(memory.memory(memory.head(5)))


def judge_proof(data: bytes) -> Outcome:
    return verify_proof(data, trust=TRUST, allow_software_tpm=True, now_ms=UTC_MS).outcome


def judge_trust(data: bytes) -> Outcome:
    return verify_proof(PROOF, trust=data, allow_software_tpm=True, now_ms=UTC_MS).outcome


def judge_bundle(data: bytes) -> Outcome:
    report = verify_bundle(BytesIO(data), trust=trust_in(), allow_software_tpm=True)
    assert report.render().isascii()
    return report.outcome


def judge_bundle_trust(data: bytes) -> Outcome:
    return verify_bundle(BytesIO(BUNDLE), trust=data, allow_software_tpm=True).outcome


def judge_answer(name: str) -> Callable[[bytes], Outcome]:
    def judge(data: bytes) -> Outcome:
        files = {**ANSWER, name: data}
        report = verify_challenge(
            files, nonce=challenges.NONCE, trust=TRUST, allow_software_tpm=True
        )
        return report.outcome

    return judge


def judge_memory(data: bytes) -> Outcome:
    """Another memory may be one that the proof goes on from: then it is called true."""
    good = encode_proof(PaperNode().proof(WITNESS_SEQ))
    report = verify_proof(good, trust=memory.TRUST, allow_software_tpm=True, now_ms=UTC_MS)
    held, _ = remember(report, data, memory.TRUST)
    return held.outcome


@dataclass(frozen=True)
class Good:
    """A file that is called true, and by whom."""

    data: bytes
    judge: Callable[[bytes], Outcome]


BUNDLE = bundles.begun().bundle()
FILES: Mapping[str, Good] = {
    "proof": Good(PROOF, judge_proof),
    "trust": Good(TRUST, judge_trust),
    "bundle": Good(BUNDLE, judge_bundle),
    "bundle's trust": Good(trust_in(), judge_bundle_trust),
    "attestation": Good(ANSWER["quote.msg"], judge_answer("quote.msg")),
    "signature": Good(ANSWER["quote.sig"], judge_answer("quote.sig")),
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_mangled_here_are_good(name: str) -> None:
    assert FILES[name].judge(FILES[name].data) is Outcome.VERIFIED


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None)
@given(draw=st.data())
def test_a_bit_flipped_is_never_true(name: str, draw: st.DataObject) -> None:
    changed = bytearray(FILES[name].data)
    bit = draw.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert FILES[name].judge(bytes(changed)) is not Outcome.VERIFIED


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None)
@given(draw=st.data())
def test_bytes_put_in_taken_out_or_repeated_are_never_true(name: str, draw: st.DataObject) -> None:
    data = FILES[name].data
    at = draw.draw(st.integers(0, len(data)))
    until = draw.draw(st.integers(at, min(len(data), at + 600)))
    put = draw.draw(st.binary(max_size=16) | st.just(data[at:until]))
    changed = data[:at] + put + draw.draw(st.sampled_from([data[at:], data[until:]]))
    assume(changed != data)
    assert FILES[name].judge(changed) is not Outcome.VERIFIED


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=30)
@given(draw=st.data())
def test_two_stretches_that_change_places_are_never_true(name: str, draw: st.DataObject) -> None:
    data = FILES[name].data
    a, b, c, d = sorted(draw.draw(st.integers(0, len(data))) for _ in range(4))
    changed = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    assume(changed != data)
    assert FILES[name].judge(changed) is not Outcome.VERIFIED


@pytest.mark.parametrize("name", sorted(ANSWER))
@settings(deadline=None, max_examples=60)
@given(draw=st.data())
def test_any_file_of_an_answer_mangled_is_judged(name: str, draw: st.DataObject) -> None:
    """Key and values may be spelled otherwise, and say the same."""
    data = ANSWER[name]
    at = draw.draw(st.integers(0, len(data)))
    judge_answer(name)(data[:at] + draw.draw(st.binary(max_size=9)) + data[at:])
    judge_answer(name)(data[:at])


@settings(deadline=None)
@given(draw=st.data())
def test_any_memory_mangled_is_judged(draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(MEMORY)))
    until = draw.draw(st.integers(at, len(MEMORY)))
    judge_memory(MEMORY[:at] + draw.draw(st.binary(max_size=9)) + MEMORY[until:])
