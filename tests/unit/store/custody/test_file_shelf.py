"""Handoff files at once: one private file for each record."""

import json
from hashlib import sha256
from pathlib import Path

from swt3_agent.protocol.handoff import handoff
from swt3_agent.store.state import Layout
from tests.unit.store.custody.support import (
    await_that,
    entry,
    keep,
    opened,
)


class TestHandoffFiles:
    def test_each_record_has_a_private_file_of_its_own(self, layout: Layout) -> None:
        same = [entry(7), entry(7)]
        with opened(layout, format="files") as custody:
            keep(custody, *same, entry(8))
        names = sorted(path.name for path in layout.custody.iterdir())
        digest = sha256(b"{}").hexdigest()[:16]
        assert names == [
            f"000000000007-{digest}.json",
            "000000000007.json",
            "000000000008.json",
        ]
        assert {path.stat().st_mode & 0o777 for path in layout.custody.iterdir()} == {0o600}
        content = json.loads((layout.custody / "000000000008.json").read_text())
        eight = json.loads(entry(8).original)
        assert content["anchor_fingerprint"] == eight["anchor_fingerprint"]

    def test_three_equal_records_are_three_files(self, layout: Layout) -> None:
        with opened(layout, format="files") as custody:
            keep(custody, *(entry(7) for _ in range(3)))
        assert len(list(layout.custody.iterdir())) == 3

    def test_one_that_is_kept_again_is_the_same_file(self, layout: Layout) -> None:
        again = [entry(7), entry(7), entry(7)]
        with opened(layout, format="files") as custody:
            keep(custody, *again)
            keep(custody, again[2])
        assert len(list(layout.custody.iterdir())) == 3

    def test_the_spool_gives_files_back_too(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late, format="files") as custody:
            keep(custody, entry(1))
            late.mkdir()
            (late / "000000000001.json").write_text("another's")
            await_that(lambda: custody.lack is None)
        assert len(list(late.iterdir())) == 2

    def test_a_record_without_a_fingerprint_cannot_choose_its_name(self) -> None:
        from swt3_agent.protocol.handoff import handoff_names

        content = handoff("LOCAL", b"s" * 32, b'{"anchor_fingerprint":"../../x"}', b"d" * 32, 3)
        assert all(name.startswith("unidentified") for name in handoff_names(content))
