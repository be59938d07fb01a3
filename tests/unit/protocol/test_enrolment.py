"""The files of an enrolment: one spelling each, and hostile ones refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.errors import FormatError
from swt3_agent.protocol.enrolment import (
    MAX_ENROLMENT_FILE,
    Answer,
    Challenge,
    Request,
    activation_mac,
    decode_file,
    encode_file,
    quote_nonce,
)
from swt3_agent.verify.enrolment import Policy, issue_challenge
from tests.support.enrolment import (
    NOW_MS,
    answer_to,
    counter_evidence,
    enrolment_key,
    paper_ek,
    request_of,
)
from tests.support.forge import PaperNode

EK = paper_ek("ecc256")
NODE = PaperNode()
REQUEST = encode_file(
    request_of(NODE, enrolment_key(EK, b"certificate"), counter=counter_evidence(NODE))
)
CHALLENGE = issue_challenge(REQUEST, Policy(None, frozenset({EK.spki_sha256})), NOW_MS).challenge
ANSWER = answer_to(CHALLENGE, EK)
FILES: dict[type[Request], bytes] = {
    Request: REQUEST,
    Challenge: CHALLENGE,  # type: ignore[dict-item]  # any of the three, to whoever reads them
    Answer: ANSWER,  # type: ignore[dict-item]
}
REFUSALS = {"ENROL_FILE", "ENROL_FORMAT_UNKNOWN"}
KINDS = pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.__name__)


def code_of(data: bytes, kind: type[Request]) -> str:
    with pytest.raises(FormatError) as caught:
        decode_file(data, kind)
    return caught.value.code


@KINDS
def test_a_file_is_read_back(kind: type[Request]) -> None:
    data = FILES[kind]
    assert encode_file(decode_file(data, kind)) == data


@KINDS
def test_a_file_is_canonical_json(kind: type[Request]) -> None:
    text = FILES[kind].decode()
    spelled = json.dumps(
        json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert text == spelled + "\n"


@KINDS
def test_another_spelling_is_refused(kind: type[Request]) -> None:
    data = FILES[kind]
    object_ = json.loads(data)
    for spelled in (
        data[:-1],
        data + b"\n",
        b" " + data,
        data.replace(b",", b", ", 1),
        json.dumps(object_).encode() + b"\n",
        data.replace(b'{"', b'{"more":1,"', 1),
        data.replace(b'{"', b'{"format":"x","', 1),
        data[: len(data) // 2],
        b"[" * 100_000,
        b'{"format":"' + b"x" * MAX_ENROLMENT_FILE,
    ):
        assert code_of(spelled, kind) == "ENROL_FILE"


@KINDS
@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"format":1}', b"null"])
def test_another_format_is_named_as_such(kind: type[Request], data: bytes) -> None:
    assert code_of(data, kind) == "ENROL_FORMAT_UNKNOWN"


def test_one_step_is_not_taken_for_another() -> None:
    for kind in FILES:
        for other, data in FILES.items():
            if other is not kind:
                assert code_of(data, kind) == "ENROL_FORMAT_UNKNOWN"


@KINDS
def test_every_member_is_needed_and_null_is_none(kind: type[Request]) -> None:
    object_ = json.loads(FILES[kind])
    for name in object_.keys() - {"format", "counter"}:
        for without in (
            {key: value for key, value in object_.items() if key != name},
            {**object_, name: None},
            {**object_, name: {}},
        ):
            data = json.dumps(without, sort_keys=True, separators=(",", ":")).encode() + b"\n"
            assert code_of(data, kind) == "ENROL_FILE", name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"gpu-7"', b'"gpu\\u00077"'),
        (b'"gpu-7"', '"gpu\u202e7"'.encode()),
        (b'"gpu-7"', b'"' + b"g" * 129 + b'"'),
        (b'"kind":"tpm"', b'"kind":"hardware"'),
        (b'"log_pcr":13', b'"log_pcr":24'),
        (b'"node_id":"ab', b'"node_id":"AB'),
        (b'"template":"ecc256"', b'"template":"../ecc256"'),
        (b'"time_ms":', b'"time_ms":999'),
        (b'"time_ms":', b'"time_ms":-'),
        (b'"pcrs":{"0"', b'"pcrs":{"00"'),
    ],
)
def test_a_field_that_does_not_fit_is_refused(old: bytes, new: bytes) -> None:
    assert old in REQUEST
    assert code_of(REQUEST.replace(old, new, 1), Request) == "ENROL_FILE"


@given(st.sampled_from(list(FILES)), st.data())
def test_a_changed_file_is_refused_or_another(kind: type[Request], data: st.DataObject) -> None:
    changed = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    try:
        read = decode_file(bytes(changed), kind)
    except FormatError as error:
        code = error.code
    else:
        code = "" if encode_file(read) == changed else "not canonical"
    assert code in {"", *REFUSALS}


@given(st.sampled_from(list(FILES)), st.binary(max_size=200))
def test_any_bytes_are_refused(kind: type[Request], data: bytes) -> None:
    assert code_of(data, kind) in REFUSALS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3)
    ),
    max_leaves=10,
)


@given(st.sampled_from(list(FILES)), st.data(), json_values)
def test_any_value_in_any_place_is_refused_or_read(
    kind: type[Request], data: st.DataObject, value: object
) -> None:
    object_ = json.loads(FILES[kind])
    place = object_
    name = data.draw(st.sampled_from(sorted(place)))
    if isinstance(place[name], dict) and data.draw(st.booleans()):
        place = place[name]
        name = data.draw(st.sampled_from(sorted(place)))
    place[name] = value
    text = json.dumps(object_, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    spelled = text.encode("utf-8", "surrogatepass") + b"\n"
    try:
        code = "" if encode_file(decode_file(spelled, kind)) == spelled else "not canonical"
    except FormatError as error:
        code = error.code
    assert code in {"", *REFUSALS}


def test_what_binds_the_files_is_as_documented() -> None:
    """Made apart from the code, with `openssl dgst`."""
    secret, request, challenge = bytes(range(32)), "11" * 32, "22" * 32
    activation = activation_mac(secret, request, challenge)
    assert activation == "857fea79c942e8b57366c7259e24e3d8190def73035aae23e50b6afb25d6cdf1"
    assert (
        quote_nonce(challenge, activation).hex()
        == "b697da81ca9ba88cc48ff2348c24ae449cc541ce0f4e6d3b6dccc1013c7dc8"
    )
