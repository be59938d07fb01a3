"""Answers that an enroller must refuse."""

from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from swt3_agent.protocol.enrolment import (
    CHALLENGE_FORMAT,
    Answer,
    Challenge,
    encode_file,
    file_digest,
)
from swt3_agent.tcg.make_credential import make_credential
from swt3_agent.tcg.public import parse_key
from swt3_agent.verify.enrolment import PendingState, UsedState, encode_state
from tests.refusals.case import Case
from tests.refusals.enrolment import EK, NODE, REFUSED, SECRET
from tests.support.enrolment import (
    NOW_MS,
    PaperEk,
    answer_to,
    derived_key,
    enrolment_key,
    request_of,
)
from tests.support.forge import AK, OTHER_AK, Quote, ak_public

REQUEST = encode_file(request_of(NODE, enrolment_key(EK)))


def _challenge(number: int, ek: PaperEk = EK, key: object = AK) -> bytes:
    """The challenge that an enroller made of ``REQUEST``, the same in every run."""
    name = b"\x00\x0b" + sha256(ak_public(key)).digest()  # type: ignore[arg-type]  # an EC key
    credential = make_credential(
        parse_key(ek.public), name, SECRET, ephemeral=derived_key(f"ephemeral {number}")
    )
    return encode_file(
        Challenge(
            format=CHALLENGE_FORMAT,
            request=file_digest(REQUEST),
            node_id=NODE.node_id,
            ak_name=name.hex(),
            template=ek.template,
            ek=ek.spki_sha256.hex(),
            time_ms=NOW_MS,
            credential=credential.id_object,
            secret=credential.encrypted_secret,
        )
    )


def cases() -> Iterator[Case]:
    """Every one."""
    challenge, later = _challenge(1), _challenge(2)
    other_name = (b"\x00\x0b" + sha256(ak_public(OTHER_AK)).digest()).hex()

    def answer(
        name: str,
        threat: str,
        code: str,
        data: bytes,
        now_ms: int = NOW_MS,
        **changes: object,
    ) -> Case:
        state = msgspec.structs.replace(_state(challenge), **changes)
        return _answer(name, threat, code, data, encode_state(state), now_ms)

    def changed(**fields: object) -> bytes:
        return answer_to(
            challenge, EK, NODE, tamper=lambda made: msgspec.structs.replace(made, **fields)
        )

    right = answer_to(challenge, EK, NODE)
    yield answer(
        "wrong-secret",
        "the secret was not opened",
        "ACTIVATION_WRONG_SECRET",
        changed(activation="00" * 32),
    )
    yield answer(
        "other-secret",
        "the secret of another challenge",
        "ACTIVATION_WRONG_SECRET",
        right,
        secret=bytes(32),
    )
    yield answer(
        "other-name",
        "opened beside another AK",
        "ACTIVATION_OTHER_NAME",
        changed(ak_name=other_name),
    )
    yield answer(
        "other-challenge",
        "the answer to an earlier challenge",
        "ACTIVATION_OTHER_CHALLENGE",
        answer_to(later, EK, NODE),
    )
    yield answer(
        "other-request",
        "the answer of another request",
        "ACTIVATION_OTHER_CHALLENGE",
        changed(request="00" * 32),
    )
    yield answer(
        "expired",
        "an answer that was kept for later",
        "ACTIVATION_EXPIRED",
        right,
        NOW_MS + 31 * 86_400_000,
    )
    used = UsedState(challenge=file_digest(challenge), answer="11" * 32, used_ms=NOW_MS)
    yield _answer(
        "reused", "a challenge that was answered", "ACTIVATION_REUSED", right, encode_state(used)
    )
    yield answer("software", "a software TPM after all", "EK_SOFTWARE", right, tpm="software")
    for word, quote, code in (
        ("no-register", Quote(selection=b"\x00\x00\x00\x00"), "ACTIVATION_QUOTE"),
        ("other-values", Quote(digest=bytes(32)), "ACTIVATION_QUOTE"),
        ("earlier-clock", Quote(clock_ms=4_999_999), "ACTIVATION_CLOCK"),
        ("fewer-resets", Quote(clock_ms=9_000_000, resets=6), "ACTIVATION_CLOCK"),
        ("no-tpm", Quote(magic=b"\xffTCH"), "ATTEST_MAGIC"),
    ):
        data = answer_to(challenge, EK, NODE, quote=quote)
        yield answer(word, "a quote that the AK did not make now", code, data)
    yield answer(
        "other-nonce",
        "a quote that was made before",
        "ACTIVATION_QUOTE",
        answer_to(challenge, EK, NODE, nonce=bytes(31)),
    )
    stolen = msgspec.json.decode(answer_to(later, EK, NODE), type=Answer).quote
    yield answer(
        "other-quote", "the quote of another answer", "ACTIVATION_QUOTE", changed(quote=stolen)
    )
    yield answer("cut", "the file was cut", "ENROL_FILE", right[:-20])


def _state(challenge: bytes) -> PendingState:
    return PendingState(
        request=REQUEST,
        challenge=file_digest(challenge),
        secret=SECRET,
        time_ms=NOW_MS,
        ek=EK.spki_sha256.hex(),
        tpm="hardware",
    )


def _answer(
    name: str, threat: str, code: str, data: bytes, state: bytes, now_ms: int = NOW_MS
) -> Case:
    files: Mapping[str, bytes] = {"file": data, "state": state}
    return Case(f"answer-{name}", threat, code, "enrol-answer", files, {"now_ms": now_ms}, REFUSED)
