"""Endorsement keys and requests that an enroller must refuse."""

import struct
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from swt3_agent.protocol.enrolment import (
    EnrolmentKey,
    encode_file,
)
from tests.refusals.case import Case
from tests.refusals.enrolment import (
    EK,
    ISSUER,
    NODE,
    OTHER_EK,
    RIGHT,
    ROOT,
    request_case,
    vendor,
)
from tests.support.enrolment import (
    COUNTER_PUBLIC,
    NOW_MS,
    OWNER,
    SWTPM,
    PaperEk,
    counter_evidence,
    enrolment_key,
    qualified,
    request_of,
)
from tests.support.forge import OTHER_AK, SIGN, Quote, ak_public


def cases() -> Iterator[Case]:
    """Every one."""
    yield from _endorsement_keys()
    yield from _requests()


def _endorsement_keys() -> Iterator[Case]:
    certified, bare = enrolment_key(EK, RIGHT), enrolment_key(EK)
    other, pinned = [OTHER_EK.spki_sha256.hex()], [EK.spki_sha256.hex()]
    yield request_case(
        "ek-not-allowed",
        "a TPM of the vendor that is not on the list",
        "EK_NOT_ALLOWED",
        request_of(NODE, certified),
        ek=other,
    )
    yield request_case(
        "ek-not-pinned",
        "another TPM than the pinned one",
        "EK_NOT_ALLOWED",
        request_of(NODE, bare),
        None,
        ek=other,
    )
    yield request_case(
        "ek-no-certificate",
        "an EK that nobody vouches for",
        "EK_CERT_ABSENT",
        request_of(NODE, bare),
    )
    swtpm = vendor("swtpm-localca-rootca")
    for word, request, vendors in (
        ("node", request_of(NODE, certified, kind="software-tpm"), (ROOT, ISSUER)),
        ("manufacturer", request_of(NODE, certified, manufacturer="IBM"), (ROOT, ISSUER)),
        (
            "certificate",
            request_of(NODE, enrolment_key(EK, ISSUER.certify(EK, manufacturer=SWTPM))),
            (ROOT, ISSUER),
        ),
        ("root", request_of(NODE, enrolment_key(EK, swtpm.certify(EK))), (swtpm,)),
    ):
        yield request_case(
            f"ek-software-by-{word}",
            "a software TPM where hardware is required",
            "EK_SOFTWARE",
            request,
            vendors,
        )
    for word, attributes in {
        "signs": 0x000300B2 | 1 << 18,
        "unrestricted": 0x000300B2 & ~(1 << 16),
        "movable": 0x000300B2 & ~(1 << 1),
        "imported": 0x000300B2 & ~(1 << 5),
        "no-decrypt": 0x000300B2 & ~(1 << 17),
    }.items():
        yield request_case(
            f"ek-{word}",
            "a key that no TPM has for an EK",
            "EK_ATTRIBUTES",
            request_of(NODE, enrolment_key(PaperEk(EK.key, attributes))),
            None,
            ek=pinned,
        )
    aes = struct.pack(">HHH", 6, 128, 0x43)
    for word, cipher in {
        "cbc": struct.pack(">HHH", 6, 128, 0x42),
        "no-cipher": b"\x00\x10",
    }.items():
        key = EnrolmentKey(template="ecc256", public=EK.public.replace(aes, cipher, 1))
        yield request_case(
            f"ek-{word}",
            "an EK that would not protect the secret",
            "EK_ALGORITHM",
            request_of(NODE, key),
            None,
            ek=pinned,
        )
    off = EK.public[:-1] + bytes([EK.public[-1] ^ 1])
    yield request_case(
        "ek-off-curve",
        "a point off the curve, to learn the ephemeral key",
        "PUBLIC_POINT",
        request_of(NODE, EnrolmentKey(template="ecc256", public=off)),
        None,
        ek=pinned,
    )


def _requests() -> Iterator[Case]:
    key = enrolment_key(EK, RIGHT)
    whole = encode_file(request_of(NODE, key))
    yield request_case("request-cut", "the file was cut", "ENROL_FILE", whole[: len(whole) // 2])
    yield request_case(
        "request-spaced", "another spelling", "ENROL_FILE", whole.replace(b",", b", ", 1)
    )
    yield request_case("request-other", "another file", "ENROL_FORMAT_UNKNOWN", b"{}")
    for word, public, code in (
        ("unrestricted", ak_public(attributes=SIGN), "AK_NOT_RESTRICTED"),
        ("trailing", ak_public() + b"\x00", "PUBLIC_TRAILING"),
    ):
        yield request_case(
            f"request-ak-{word}",
            "an AK that signs what root asks",
            code,
            request_of(replace(NODE, public=public), key),
        )
    yield request_case(
        "request-other-node",
        "the head of another node",
        "ENROL_IDENTITY",
        request_of(NODE, key, node_id="ef" * 16),
    )
    yield request_case(
        "request-other-ak",
        "the head of another key",
        "NOTE_KEY_ID",
        request_of(NODE, key, ak_public=ak_public(OTHER_AK)),
    )
    head = msgspec.structs.replace(
        request_of(NODE, key).head, checkpoint=NODE.note().body().decode()
    )
    yield request_case(
        "request-unsigned",
        "a head that no TPM signed",
        "ENROL_UNSIGNED",
        request_of(NODE, key, head=head),
    )
    yield request_case(
        "request-not-extended",
        "a head that left no trace in the log PCR",
        "LOG_PCR_REPLAY",
        request_of(replace(NODE, extends=False), key),
    )
    yield request_case(
        "request-challenge",
        "a challenge quote for a head",
        "QUOTE_CHALLENGE",
        request_of(replace(NODE, quote=Quote(extra=bytes(31))), key),
    )
    owners = qualified(NODE.public, hierarchy=OWNER)
    yield request_case(
        "request-hierarchy",
        "a key of the owner's hierarchy, whose quotes hide how often the TPM was reset",
        "ENROL_HIERARCHY",
        request_of(replace(NODE, quote=Quote(signer=owners)), key),
    )
    yield request_case(
        "request-future",
        "a clock set forward, for floors that later heads miss",
        "ENROL_FUTURE",
        request_of(replace(NODE, utc_ms=NOW_MS + 3_600_000), key),
    )
    yield request_case(
        "request-stale",
        "a clock set back, for a trust file that vouches for years gone by",
        "ENROL_STALE",
        request_of(replace(NODE, utc_ms=NOW_MS - 31 * 86_400_000), key),
    )
    orderly = COUNTER_PUBLIC.replace(b"\x22\x04\x00\x14", b"\x26\x04\x00\x14")
    unwritten = COUNTER_PUBLIC.replace(b"\x22\x04\x00\x14", b"\x02\x04\x00\x14")
    plain = COUNTER_PUBLIC.replace(b"\x22\x04\x00\x14", b"\x22\x04\x00\x04")
    for word, evidence, code in (
        ("orderly", {"public": orderly}, "COUNTER_INDEX_ATTRIBUTES"),
        ("unwritten", {"public": unwritten}, "COUNTER_INDEX_UNWRITTEN"),
        ("plain", {"public": plain}, "COUNTER_INDEX_TYPE"),
        ("other-key", {"key": OTHER_AK}, "ENROL_COUNTER_SIGNATURE"),
        ("other-head", {"extra": bytes(32)}, "ENROL_COUNTER_OTHER"),
        ("other-index", {"certified": orderly}, "ENROL_COUNTER_INDEX"),
        ("earlier", {"clock_ms": 4_999_999}, "ENROL_COUNTER_STALE"),
        ("fallen", {"value": struct.pack(">Q", 2)}, "ENROL_COUNTER_VALUE"),
        ("ahead", {"value": struct.pack(">Q", 5)}, "ENROL_COUNTER_VALUE"),
    ):
        counter = counter_evidence(NODE, **evidence)
        yield request_case(
            f"counter-{word}",
            "a counter that does not count, or not for this log",
            code,
            request_of(NODE, key, counter=counter),
        )
