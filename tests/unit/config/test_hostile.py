"""Whatever file and environment hold, it comes to settings or to problems, never to a crash."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swt3_agent.config import examine, shown_settings
from swt3_agent.config.environment import VARIABLES
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.reading import struct_within
from tests.unit.config.support import written

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        3,
        2**63,
        10**400,
        0.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "a",
        "/",
        "..",
        "\0",
        "x" * 5000,
        "none",
        "/dev/zero",
        "/proc/self/mem",
        "10/60s",
        "defense-govcon",
        "https://h",
        "axm_k",
        [],
        ["AI-INF.1"],
        ["/nonexistent"],
        [[]],
        [{}],
        {},
        {"a": 1},
    ]
)


def documents(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with keys that ``kind`` has, and right and wrong values."""
    fields = {}
    for field in msgspec.structs.fields(kind):
        inner = struct_within(field.type)
        nested = ODD if inner is None else documents(inner)
        fields[field.name] = st.one_of(ODD, nested, st.lists(nested, max_size=2))
    return st.fixed_dictionaries({}, optional=fields)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=documents(FileSettings),
    environ=st.dictionaries(
        st.sampled_from(sorted(VARIABLES)),
        st.sampled_from(["", "a", "0", "none", "nan", "1e999", "9" * 5000, "\ud800", "local"]),
    ),
)
def test_nothing_that_can_be_written_is_a_crash(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], environ: dict[str, str]
) -> None:
    file = written(tmp_path_factory.getbasetemp(), yaml.safe_dump(document))
    found = examine(environ, file)
    assert shown_settings(found)
    assert found.config is not None or found.problems


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/"])
def test_what_is_no_file_of_text_is_refused(path: str) -> None:
    assert examine({}, Path(path)).problems
