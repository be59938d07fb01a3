"""How a model's weights are quantized: what its configuration says, and what its tensors show.

Pure rules over documents and headers. Each statement is kept with its source; a configuration
that the tensors contradict is a finding, and what nobody says clearly is unknown, never a guess.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from swt3_agent.collect.headers.header import Header
from swt3_agent.collect.measured_files import Document
from swt3_agent.collect.model_files import Problem

CONFIGURATIONS = ("config.json", "quantize_config.json", "quant_config.json")
"""Files that may say it: the model's own, and those that older AutoGPTQ and AutoAWQ write."""

_FLOATS = {"F32": ("fp32", 32), "F16": ("fp16", 16), "BF16": ("bf16", 16)}
_DECLARED_FLOATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_INTEGERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
_FILE_TYPE_BITS = re.compile(r"_(?:I?Q|TQ|F|BF|MXFP)(\d+)")
_MOST_TEXT = 64
_MOST_NUMBER = 1 << 20


@dataclass(frozen=True, slots=True)
class Statement:
    """Who says what. ``method`` None: a method that has no code on the wire; ``told`` names it."""

    source: str
    told: str
    method: str | None
    bits: int | None = None
    group_size: int | None = None
    calibration: str | None = None

    def as_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def quantization_claims(
    documents: Mapping[str, Document], headers: Mapping[str, Header], problems: Iterable[Problem]
) -> dict[str, object]:
    """``method`` (of docs/protocol.md 8.6, or null), ``bits``, ``group_size``, ``calibration``,
    ``statements`` with their sources, ``contradictions`` and ``unknown`` (lists of findings).

    ``problems`` are those of documents and headers that could not be read.
    """
    declared = _declared(documents)
    stored = _stored(headers)
    broken = list(problems)
    contradictions: list[Problem] = []
    unknown: list[Problem] = []
    first = declared or stored or _declared_float(documents)
    if declared is not None and declared.method is not None:
        contradictions = broken or _contradictions(declared, stored, headers)
    elif broken:
        unknown = broken
    elif first is None:
        unknown = [_unknown("no configuration says it, and no header shows it")]
    elif first.method is None:
        unknown = [_unknown(f"{first.told} in {first.source} has no code")]
    known = first if first is not None and not unknown else None
    said = [statement for statement in (declared, stored, _declared_float(documents)) if statement]
    return {
        "method": known and known.method,
        "bits": known and known.bits,
        "group_size": known and known.group_size,
        "calibration": known and known.calibration,
        "statements": [statement.as_json() for statement in said],
        "contradictions": [problem.as_json() for problem in contradictions],
        "unknown": [problem.as_json() for problem in unknown],
    }


def _declared(documents: Mapping[str, Document]) -> Statement | None:
    """The quantization that a configuration declares; None where none does."""
    for name in CONFIGURATIONS:
        document = documents.get(name)
        if document is None:
            continue
        settings = document if name != CONFIGURATIONS[0] else document.get("quantization_config")
        if isinstance(settings, Mapping):
            return _method(name, settings)
    return None


def _method(source: str, settings: Document) -> Statement:
    told = _text(settings, "quant_method") or _older(source)
    bits = _number(settings, "bits", "w_bit")
    if told in ("gptq", "awq"):
        return Statement(
            source,
            told,
            told,
            bits,
            _number(settings, "group_size", "q_group_size"),
            _calibration(settings.get("dataset")),
        )
    if told == "bitsandbytes" and settings.get("load_in_8bit") is True:
        return Statement(source, told, "int8", 8)
    if told == "bitsandbytes":  # nf4 and fp4 are no integers, and no other code fits them
        return Statement(source, f"{told} {_text(settings, 'bnb_4bit_quant_type')}".strip(), None)
    if told == "compressed-tensors":
        return _compressed(source, settings)
    return Statement(source, told or "a method without a name", None, bits)


def _older(source: str) -> str:
    return {"quantize_config.json": "gptq", "quant_config.json": "awq"}.get(source, "")


def _compressed(source: str, settings: Document) -> Statement:
    """compressed-tensors, as far as every group has integers of one width."""
    groups = settings.get("config_groups")
    weights = [
        group.get("weights")
        for group in (groups.values() if isinstance(groups, Mapping) else ())
        if isinstance(group, Mapping)
    ]
    widths = {
        _number(each, "num_bits") if each.get("type") == "int" else None
        for each in weights
        if isinstance(each, Mapping)
    }
    told = "compressed-tensors"
    if len(widths) == 1 and widths <= {4, 8}:
        (bits,) = widths
        sizes = {_number(each, "group_size") for each in weights if isinstance(each, Mapping)}
        return Statement(source, told, f"int{bits}", bits, sizes.pop() if len(sizes) == 1 else None)
    return Statement(source, f"{told} {_text(settings, 'format')}".strip(), None)


def _declared_float(documents: Mapping[str, Document]) -> Statement | None:
    """The type that the weights are loaded as."""
    document = documents.get(CONFIGURATIONS[0], {})
    told = _text(document, "dtype") or _text(document, "torch_dtype")
    kind = _DECLARED_FLOATS.get(told)
    if kind is None:
        return None
    method, bits = _FLOATS[kind]
    return Statement(CONFIGURATIONS[0], told, method, bits)


def _stored(headers: Mapping[str, Header]) -> Statement | None:
    """What the headers show; None where there is none. More than half of the bytes decide."""
    formats = {header.format for header in headers.values()}
    if not formats:
        return None
    if formats == {"gguf"}:
        return _gguf(list(headers.values()))
    if len(formats) > 1:
        return Statement("headers", "GGUF beside safetensors", None)
    kind, share = _dominant(headers.values())
    if 2 * share <= 1:
        return Statement("headers", "no type that most of the bytes have", None)
    method, bits = _FLOATS.get(kind, (None, None))
    return Statement("headers", kind, method, bits)


def _gguf(headers: Collection[Header]) -> Statement:
    """Of several files only the first one may bear metadata: they are parts of one."""
    types = {str(header.metadata.get("file_type", "")) for header in headers} - {""}
    datasets = {str(header.metadata.get("calibration_dataset", "")) for header in headers} - {""}
    told = types.pop() if len(types) == 1 else f"{len(types) or 'no'} file types"
    bits = _FILE_TYPE_BITS.search(told)
    return Statement(
        "headers",
        told,
        "gguf",
        None if bits is None else int(bits[1]),
        calibration=_calibration(datasets.pop() if len(datasets) == 1 else None),
    )


def _dominant(headers: Iterable[Header]) -> tuple[str, float]:
    """The type of most bytes, and its share of them."""
    sizes: dict[str, int] = {}
    for header in headers:
        for kind, total in header.types.items():
            sizes[kind] = sizes.get(kind, 0) + total.size
    if not sum(sizes.values()):
        return "", 0.0
    kind = max(sizes, key=lambda kind: (sizes[kind], kind))
    return kind, sizes[kind] / sum(sizes.values())


def _contradictions(
    declared: Statement, stored: Statement | None, headers: Mapping[str, Header]
) -> list[Problem]:
    """Why the tensors cannot be what was declared."""
    if stored is None:
        return []  # the declaration stands alone, which the statements show
    shown = None
    if stored.method == "gguf":
        shown = "the weights are GGUF"
    elif not any(kind in _INTEGERS for header in headers.values() for kind in header.types):
        shown = f"no tensor holds integers: most are {stored.told}"
    elif declared.method in ("gptq", "awq") and not any(
        header.parts.get("qweight") for header in headers.values()
    ):
        shown = "no tensor is called qweight"
    if shown is None:
        return []
    return [
        Problem(
            "QUANTIZATION_CONTRADICTED",
            f"{declared.source} declares {declared.told}, and {shown}",
            "find out which is wrong: other weights lie here than the configuration was made for",
        )
    ]


def _unknown(detail: str) -> Problem:
    return Problem(
        "QUANTIZATION_UNKNOWN",
        detail,
        "none, where the method has no code in this protocol: it is recorded, not minted",
    )


def _calibration(value: object) -> str | None:
    """The data set that calibration used. Samples given in full are counted, not repeated."""
    if isinstance(value, list):
        return f"{len(value)} samples"
    return value[:_MOST_TEXT] if isinstance(value, str) and value else None


def _text(settings: Document, key: str) -> str:
    value = settings.get(key)
    return value[:_MOST_TEXT] if isinstance(value, str) else ""


def _number(settings: Document, *keys: str) -> int | None:
    """The first of ``keys`` that is a number of any sense; -1 is how "no groups" is written."""
    for key in keys:
        value = settings.get(key)
        if type(value) is int and -1 <= value <= _MOST_NUMBER:
            return value
    return None
