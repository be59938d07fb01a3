"""What configurations declare against what headers show."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.collect.headers.header import Header, TypeTotal
from swt3_agent.collect.model_files import Problem
from swt3_agent.collect.quantization import quantization_claims
from swt3_agent.protocol.canonical import canonical_json

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dataset": "c4", "desc_act": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}
PACKED = {"I32": 1000, "F16": 60}
QWEIGHT = {"qweight": 7, "qzeros": 7, "scales": 7}


def header(types: Mapping[str, int], parts: Mapping[str, int] | None = None) -> Header:
    totals = {name: TypeTotal(1, size) for name, size in types.items()}
    return Header("safetensors", "00", 8, 1, totals, parts or {})


def gguf(**metadata: str | int) -> Header:
    return Header("gguf", "00", 8, 1, {"Q4_K": TypeTotal(1, 9)}, {}, metadata)


def claims(
    config: Mapping[str, Any] | None = None,
    *headers: Header,
    problems: tuple[Problem, ...] = (),
    **others: Mapping[str, Any],
) -> dict[str, Any]:
    documents = {f"{name}.json": document for name, document in others.items()}
    if config is not None:
        documents["config.json"] = config
    numbered = {str(number): header for number, header in enumerate(headers)}
    return quantization_claims(documents, numbered, problems)


def found(told: Mapping[str, Any]) -> tuple[object, ...]:
    assert (told["contradictions"], told["unknown"]) == ([], [])
    return tuple(told[key] for key in ("method", "bits", "group_size", "calibration"))


def codes(findings: list[dict[str, str]]) -> list[str]:
    assert all(finding["remedy"] for finding in findings)
    return [finding["code"] for finding in findings]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(
            claims({"quantization_config": GPTQ}, header(PACKED, QWEIGHT)),
            ("gptq", 4, 128, "c4"),
            id="gptq",
        ),
        pytest.param(
            claims({"quantization_config": AWQ}, header(PACKED, QWEIGHT)),
            ("awq", 4, 64, None),
            id="awq",
        ),
        pytest.param(
            claims({}, header(PACKED, QWEIGHT), quantize_config={"bits": 8, "group_size": -1}),
            ("gptq", 8, -1, None),
            id="AutoGPTQ's own file",
        ),
        pytest.param(
            claims({}, header(PACKED, QWEIGHT), quant_config={"w_bit": 4, "q_group_size": 128}),
            ("awq", 4, 128, None),
            id="AutoAWQ's own file",
        ),
        pytest.param(
            claims(
                {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
                header({"I8": 1000, "F16": 30}, {"SCB": 3}),
            ),
            ("int8", 8, None, None),
            id="bitsandbytes, 8 bits",
        ),
        pytest.param(
            claims(
                {
                    "quantization_config": {
                        "quant_method": "compressed-tensors",
                        "config_groups": {
                            "group_0": {
                                "weights": {"type": "int", "num_bits": 4, "group_size": 128}
                            }
                        },
                    }
                },
                header(PACKED, {"weight_packed": 7}),
            ),
            ("int4", 4, 128, None),
            id="compressed-tensors, 4-bit integers",
        ),
        pytest.param(
            claims({}, header({"BF16": 1000, "F32": 8})), ("bf16", 16, None, None), id="bf16"
        ),
        pytest.param(claims(None, header({"F16": 9})), ("fp16", 16, None, None), id="fp16"),
        pytest.param(claims(None, header({"F32": 9})), ("fp32", 32, None, None), id="fp32"),
        pytest.param(
            claims({"torch_dtype": "bfloat16"}, header({"F32": 9})),
            ("fp32", 32, None, None),
            id="what lies there, not what it is loaded as",
        ),
        pytest.param(
            claims({"dtype": "float16"}), ("fp16", 16, None, None), id="no header to bear it out"
        ),
        pytest.param(
            claims(None, gguf(file_type="MOSTLY_Q4_K_M", calibration_dataset="wiki.txt")),
            ("gguf", 4, None, "wiki.txt"),
            id="gguf",
        ),
        pytest.param(
            claims(None, gguf(file_type="MOSTLY_IQ2_XXS"), gguf()),
            ("gguf", 2, None, None),
            id="gguf in parts",
        ),
        pytest.param(claims(None, gguf()), ("gguf", None, None, None), id="gguf, untold"),
    ],
)
def test_a_method_is_known_with_its_bits(
    told: dict[str, Any], expected: tuple[object, ...]
) -> None:
    assert found(told) == expected


def test_samples_of_a_calibration_are_counted_and_not_repeated() -> None:
    secret = GPTQ | {"dataset": ["a private letter", "another"]}
    told = claims({"quantization_config": secret}, header(PACKED, QWEIGHT))
    assert found(told) == ("gptq", 4, 128, "2 samples")
    assert "private" not in str(told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param(
            claims({"quantization_config": GPTQ}, header({"BF16": 1000})),
            "no tensor holds integers: most are BF16",
            id="plain weights under a quantized configuration",
        ),
        pytest.param(
            claims({"quantization_config": AWQ}, header(PACKED)),
            "no tensor is called qweight",
            id="integers of another method",
        ),
        pytest.param(
            claims({"quantization_config": GPTQ}, gguf()), "the weights are GGUF", id="gguf"
        ),
    ],
)
def test_a_declaration_that_the_tensors_contradict_is_a_finding(
    told: dict[str, Any], words: str
) -> None:
    assert codes(told["contradictions"]) == ["QUANTIZATION_CONTRADICTED"]
    assert words in told["contradictions"][0]["detail"]
    assert told["method"] in ("gptq", "awq")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param(claims(), "no configuration says it", id="nothing"),
        pytest.param(
            claims({"quantization_config": {"quant_method": "fp8"}}, header({"F8_E4M3": 9})),
            "fp8 in config.json",
            id="fp8 declared",
        ),
        pytest.param(claims({}, header({"F8_E4M3": 9})), "F8_E4M3 in headers", id="fp8 stored"),
        pytest.param(
            claims({}, header({"I32": 9, "F16": 1})), "I32 in headers", id="integers of nobody"
        ),
        pytest.param(
            claims(
                {
                    "quantization_config": {
                        "quant_method": "bitsandbytes",
                        "load_in_4bit": True,
                        "bnb_4bit_quant_type": "nf4",
                    }
                },
                header({"U8": 9}),
            ),
            "bitsandbytes nf4",
            id="no integers",
        ),
        pytest.param(
            claims({}, header({"F16": 1, "BF16": 1})), "most of the bytes", id="half and half"
        ),
        pytest.param(claims({}, header({"F16": 1}), gguf()), "GGUF beside", id="two formats"),
        pytest.param(claims({"quantization_config": {}}), "without a name", id="nameless"),
    ],
)
def test_what_has_no_code_or_is_not_clear_is_unknown(told: dict[str, Any], words: str) -> None:
    assert told["method"] is None
    assert codes(told["unknown"]) == ["QUANTIZATION_UNKNOWN"]
    assert words in told["unknown"][0]["detail"]


def test_files_that_could_not_be_read_bear_nothing_out() -> None:
    broken = (Problem("SAFETENSORS_LAYOUT", "a gap", "get it again"),)
    declared = claims({"quantization_config": GPTQ}, problems=broken)
    assert (declared["method"], codes(declared["contradictions"])) == (
        "gptq",
        ["SAFETENSORS_LAYOUT"],
    )
    silent = claims({}, header({"F16": 9}), problems=broken)
    assert (silent["method"], codes(silent["unknown"])) == (None, ["SAFETENSORS_LAYOUT"])


def test_each_statement_is_kept_with_its_source() -> None:
    told = claims({"torch_dtype": "float16", "quantization_config": GPTQ}, header(PACKED, QWEIGHT))
    assert [(said["source"], said["told"]) for said in told["statements"]] == [
        ("config.json", "gptq"),
        ("headers", "I32"),
        ("config.json", "float16"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=90) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [*GPTQ, "load_in_8bit", "config_groups", "format", "w_bit", "bnb_4bit_quant_type"]
        ),
        JSON | st.sampled_from(["gptq", "awq", "bitsandbytes", "compressed-tensors"]),
    ),
    JSON,
)
def test_configurations_of_any_shape_make_claims_that_can_be_kept(
    settings: dict[str, Any], dtype: object
) -> None:
    for config in ({"quantization_config": settings, "dtype": dtype}, {"dtype": dtype}):
        canonical_json(claims(config, header(PACKED)))
    canonical_json(claims(None, quantize_config=settings))
