"""Every link of the documents leads somewhere, and every verb is told of."""

import re
from collections import Counter
from pathlib import Path

import pytest

from swt3_agent.cli import VERBS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def prose(path: Path) -> str:
    """The text without its blocks of code, where brackets and # mean something else."""
    return FENCE.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """The anchors of a document, as code hosts make them of its headings."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(prose(path)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_anchor_resolves(document: Path) -> None:
    dead = []
    for target in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):
            continue  # another site, which a test must not ask
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        inside = path.is_relative_to(ROOT)
        if not (inside and path.exists() and (not anchor or anchor in anchors(path))):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize(
    "document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name
)
def test_the_contents_of_a_document_list_its_sections_in_order(document: Path) -> None:
    text = prose(document)
    listed = re.findall(r"^- \[([^\]]+)\]\(#[^)]+\)$", text.split("\n## ", 1)[0], re.MULTILINE)
    assert listed == re.findall(r"^## (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name
)
def test_readers_find_every_document_from_the_readme(document: Path) -> None:
    assert f"docs/{document.name}" in LINK.findall(prose(ROOT / "README.md"))


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_is_told_of(verb: str) -> None:
    told = "".join(path.read_text() for path in DOCUMENTS if path.name != "CHANGELOG.md")
    assert re.search(rf"swt3-agent {re.escape(verb)}\b(?!-)|`{re.escape(verb)}`", told)
