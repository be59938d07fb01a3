"""docs/configuration.md says of every key, variable and profile what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import msgspec
import pytest

from swt3_agent.config import examine, load_profile, profile_names
from swt3_agent.config.environment import VARIABLES
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.reading import struct_within
from swt3_agent.config.template import Beginning, agent_yaml
from tests.unit.config.support import written

DOCUMENT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()


def keys(kind: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the file and its default, as the document writes them."""
    for field in msgspec.structs.fields(kind):
        where = f"{path}.{field.name}" if path else field.name
        inner = struct_within(field.type)
        if inner is None:
            yield where, _default(field)
        else:
            is_list = get_origin(field.type) is tuple
            yield from keys(inner, where + ("[]" if is_list else ""))


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required" if field.default_factory is msgspec.NODEFAULT else "-"
    if field.default in (None, ()):
        return "-"
    value = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{value}`"


def test_every_key_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \| (\S+) \|.*\|$", DOCUMENT, re.MULTILINE)
    documented = [(key, default) for key, default in rows if "-" not in key]
    documented = [row for row in documented if row[0] != "minimal"]  # a profile
    assert len({key for key, _ in documented}) == len(documented)
    assert dict(documented) == dict(keys(FileSettings))


def test_every_variable_is_documented() -> None:
    section = DOCUMENT.split("\n## Environment")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(SWT3_[A-Z_]+)` \|", section, re.MULTILINE)) == VARIABLES


def test_every_profile_is_documented() -> None:
    section = DOCUMENT.split("\n## Profiles")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| (\d) \| (\d) \| (\w+) \| (.*) \|$", section, re.MULTILINE
    )
    expected = []
    for name in profile_names():
        profile = load_profile(name)
        policy = profile.document["policy"]
        procedures = [p.removeprefix("AI-") for p in policy.get("required_procedures", ())]
        expected.append(
            (
                name,
                str(profile.document["clearing_level"]),
                str(policy.get("min_clearing_level", 0)),
                profile.facts.signing_tier,
                ", ".join(procedures) or "none",
            )
        )
    assert rows == expected


@pytest.mark.parametrize("air_gap", [False, True])
@pytest.mark.parametrize("name", [None, *profile_names()])
def test_a_configuration_to_begin_with_is_good_but_for_what_only_its_owner_knows(
    tmp_path: Path, name: str | None, air_gap: bool
) -> None:
    profile = None if name is None else load_profile(name)
    text = agent_yaml(Beginning(profile, "ACME", "node-1", air_gap))
    found = examine({}, written(tmp_path, text))
    assert found.problems == ()
    assert {lack.key for lack in found.lacks} <= {"signing_key", "jurisdiction"}
    assert found.config is not None
    assert (found.config.tenant, found.config.agent_id) == ("ACME", "node-1")
    assert found.config.clearing_level == 3 or not air_gap
    assert max(map(len, text.splitlines())) <= 160


@pytest.mark.parametrize("air_gap", [False, True])
def test_every_setting_that_it_leaves_out_exists(tmp_path: Path, air_gap: bool) -> None:
    text = agent_yaml(Beginning(None, None, "node-1", air_gap))
    switched_on = re.sub(r"^(\s*)#(?=[ a-z_]+:|  - )(?! [A-Za-z])", r"\1", text, flags=re.MULTILINE)
    found = examine({}, written(tmp_path, switched_on))
    wrong = {problem.code for problem in found.problems}
    assert "CONFIG_UNKNOWN_KEY" not in wrong, found.problems
    assert "CONFIG_SYNTAX" not in wrong, found.problems
    assert "CONFIG_VALUE" not in wrong, found.problems


def test_the_key_goes_where_the_unit_reads_it() -> None:
    unit = (Path(__file__).parents[3] / "systemd" / "swt3-agent.service").read_text()
    text = agent_yaml(Beginning(None, None, "node", air_gap=False))
    (path,) = re.findall(r"openssl rand .*> (\S+)\)", text)
    name = path.removeprefix("/etc/credstore/")  # LoadCredential= searches no other of /etc
    assert f"LoadCredential=signing-key:{name}\n" in unit
