"""A place for custody that fails costs no record and says so; settings that cannot be meant."""

import os
import shutil
from pathlib import Path

import pytest

from swt3_agent.errors import ConfigError, JournalError, StateError
from swt3_agent.protocol.custodian import generate_custodian
from swt3_agent.protocol.custody import withheld
from swt3_agent.store.custody.keeper import Custody
from swt3_agent.store.custody.opening import custody_key_file
from swt3_agent.store.state import Layout
from tests.support.disks import small_disk
from tests.unit.store.custody.support import (
    await_that,
    entry,
    keep,
    opened,
    originals,
    own_key,
)


class TestFailingPlace:
    """A real volume: one that is not mounted, a file where it should be, a full one."""

    def test_the_spool_takes_over_and_gives_back(self, layout: Layout, elsewhere: Path) -> None:
        with opened(layout, elsewhere) as custody:
            keep(custody, entry(1))
            custody.rotate()
            shutil.move(elsewhere, elsewhere.with_name("unmounted"))
            keep(custody, entry(2))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FAILED"
            assert str(elsewhere) in custody.lack.detail
            assert len(list(layout.custody_spool.iterdir())) == 1
            shutil.move(elsewhere.with_name("unmounted"), elsewhere)
            custody.rotate()
            await_that(lambda: custody.lack is None)
            assert list(layout.custody_spool.iterdir()) == []
            keep(custody, entry(3))
        numbers = sorted(originals(elsewhere, own_key(layout)))
        assert numbers == sorted(entry(n).original for n in (1, 2, 3))

    def test_it_is_tried_again_without_being_asked(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            late.mkdir()
            await_that(lambda: custody.lack is None)
        assert originals(late, own_key(layout)) == [entry(1).original]

    def test_what_a_start_finds_in_the_spool_is_moved(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late) as custody:
            keep(custody, entry(1))
        late.mkdir()
        with opened(layout, late) as custody:
            await_that(lambda: custody.lack is None)
        assert originals(late, own_key(layout)) == [entry(1).original]

    @pytest.mark.parametrize(("before", "after"), [("log", "files"), ("files", "log")])
    def test_what_the_spool_has_in_another_format_is_moved_as_it_is(
        self, layout: Layout, tmp_path: Path, before: str, after: str
    ) -> None:
        late = tmp_path / "late"
        with opened(layout, late, format=before) as custody:
            keep(custody, entry(1))
        late.mkdir()
        mine = late / f"{1:012x}.json"
        mine.write_text("of another record")
        (spooled,) = layout.custody_spool.iterdir()
        data = spooled.read_bytes()
        with opened(layout, late, format=after) as custody:
            await_that(lambda: custody.lack is None)
        assert mine.read_text() == "of another record"
        assert data in [path.read_bytes() for path in late.iterdir()]
        assert list(layout.custody_spool.iterdir()) == []

    def test_a_move_that_was_killed_is_not_made_twice(self, layout: Layout, tmp_path: Path) -> None:
        late = tmp_path / "late"
        with opened(layout, late, format="files") as custody:
            keep(custody, entry(1))
        late.mkdir()
        (spooled,) = layout.custody_spool.iterdir()
        shutil.copy(spooled, late)
        with opened(layout, late, format="files") as custody:
            await_that(lambda: custody.lack is None)
        assert [path.name for path in late.iterdir()] == [spooled.name]

    def test_what_nobody_wrote_to_the_spool_is_tried_again_later(
        self, layout: Layout, tmp_path: Path
    ) -> None:
        layout.custody_spool.mkdir()
        (layout.custody_spool / "x.json").write_text("[]")
        with opened(layout, format="files") as custody:
            await_that(lambda: custody.lack is not None and custody.lack.code == "CUSTODY_FAILED")
            keep(custody, entry(1))
            assert custody.lack is not None

    def test_a_file_in_its_place_is_no_directory(self, layout: Layout, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("not a directory")
        with opened(layout, file) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FAILED"
        assert file.read_text() == "not a directory"

    def test_the_agents_own_place_has_a_spool_too(self, layout: Layout) -> None:
        layout.custody.rmdir()
        layout.custody.write_text("")
        with opened(layout) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
        assert originals(layout.custody_spool, own_key(layout)) == [entry(1).original]

    def test_where_both_fail_producers_are_told_to_come_back(
        self, layout: Layout, tmp_path: Path
    ) -> None:
        layout.custody_spool.write_text("a file in the way")
        with opened(layout, tmp_path / "absent") as custody:
            with pytest.raises(JournalError) as raised:
                keep(custody, entry(1))
            assert raised.value.code == "CUSTODY_FAILED"
            assert raised.value.retryable
            layout.custody_spool.unlink()
            keep(custody, entry(1))
        assert len(originals(layout.custody_spool, own_key(layout))) == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
    @pytest.mark.parametrize("form", ["log", "files"])
    def test_a_full_volume(self, layout: Layout, elsewhere: Path, form: str) -> None:
        with small_disk(elsewhere, "1m"), opened(layout, elsewhere, format=form) as custody:
            for _ in range(40):
                keep(custody, withheld("LOCAL", b'{"x":"%b"}' % (b"x" * 40_000), b"{}", 3))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_FULL"
            assert any(layout.custody_spool.iterdir())
            assert custody.entries == 40
            for file in elsewhere.iterdir():  # a custodian took them over
                file.unlink()
            while any(layout.custody_spool.iterdir()):  # there is not room for all at once
                custody.rotate()
                for file in elsewhere.iterdir():
                    file.unlink()
            custody.rotate()
            assert custody.lack is None

    @pytest.mark.permissions
    def test_a_place_that_is_not_ours(self, layout: Layout, elsewhere: Path) -> None:
        elsewhere.chmod(0o500)
        with opened(layout, elsewhere) as custody:
            keep(custody, entry(1))
            assert custody.lack is not None
            assert custody.lack.code == "CUSTODY_DENIED"
            elsewhere.chmod(0o700)
            await_that(lambda: custody.lack is None)


class TestSettings:
    def test_readable_files_have_no_recipients(self, layout: Layout) -> None:
        with pytest.raises(ConfigError, match="readable"):
            opened(layout, format="files", recipients=("x.pub",))

    @pytest.mark.parametrize("format_", ["", "log ", "json"])
    def test_another_format_is_refused(self, layout: Layout, format_: str) -> None:
        with pytest.raises(ConfigError, match="format"):
            opened(layout, format=format_)

    @pytest.mark.parametrize("content", [None, b"no key", generate_custodian()[0]])
    def test_a_recipient_that_is_no_key_is_named(
        self, layout: Layout, tmp_path: Path, content: bytes | None
    ) -> None:
        pem = tmp_path / "bob.pub"
        if content is not None:
            pem.write_bytes(content)
        with pytest.raises(ConfigError, match=r"bob\.pub"):
            opened(layout, recipients=(str(pem),))

    def test_a_damaged_key_of_the_nodes_own_is_no_reason_to_make_another(
        self, layout: Layout
    ) -> None:
        custody_key_file(layout).write_bytes(b"damaged")
        with pytest.raises(StateError, match="custody key"):
            opened(layout)


def test_too_much_that_waits_is_refused(layout: Layout) -> None:
    huge = withheld("LOCAL", b"x" * (40 << 20), b"", 3)

    def flood(custody: Custody) -> None:
        for _ in range(100):
            custody.put([huge])

    with opened(layout) as custody:
        with pytest.raises(JournalError) as raised:
            flood(custody)
        assert (raised.value.code, raised.value.retryable) == ("CUSTODY_BUSY", True)
