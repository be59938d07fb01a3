import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swt3_agent.errors import StateError
from swt3_agent.store.state import Holder, StateDirectory

HOLD_STATE = """
import sys
from pathlib import Path
from swt3_agent.store.state import StateDirectory

state = StateDirectory.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_new_state_directory_is_private_and_complete(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "state"
    with StateDirectory.open(root) as state:
        layout = state.layout
        assert layout.version.read_text() == "1\n"
        for directory in (root, layout.journal, layout.custody, layout.evidence, layout.keys):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for file in (layout.version, layout.lock):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_loose_modes_are_tightened_when_the_directory_is_opened_again(tmp_path: Path) -> None:
    StateDirectory.open(tmp_path).close()
    tmp_path.chmod(0o755)
    StateDirectory.open(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_second_agent_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    with StateDirectory.open(tmp_path):
        with pytest.raises(StateError, match=f"pid {os.getpid()}") as refused:
            StateDirectory.open(tmp_path)
        assert refused.value.code == "STATE_LOCKED"
    StateDirectory.open(tmp_path).close()


def test_the_lock_of_a_killed_agent_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD_STATE,
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert StateDirectory.peek(tmp_path) == Holder(holder.pid, None)
        holder.kill()
        holder.wait()
    assert StateDirectory.peek(tmp_path) is None
    StateDirectory.open(tmp_path).close()


def test_peek_tells_where_the_control_socket_is(tmp_path: Path) -> None:
    with StateDirectory.open(tmp_path) as state:
        assert StateDirectory.peek(tmp_path) == Holder(os.getpid(), None)
        state.set_control(Path("/run/swt3-agent/control.sock"))
        assert StateDirectory.peek(tmp_path) == Holder(os.getpid(), "/run/swt3-agent/control.sock")
    assert StateDirectory.peek(tmp_path) is None


def test_nobody_runs_on_a_directory_that_holds_no_state(tmp_path: Path) -> None:
    assert StateDirectory.peek(tmp_path) is None
    assert StateDirectory.peek(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StateError) as refused:
        StateDirectory.open(tmp_path)
    assert refused.value.code == "STATE_NOT_OURS"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_first_start_that_died_half_way_is_taken_up_again(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "journal").mkdir()
    with StateDirectory.open(tmp_path) as state:
        assert state.layout.version.exists()


@pytest.mark.parametrize("version", ["2\n", "", "1", "one\n"])
def test_state_of_another_version_is_refused(tmp_path: Path, version: str) -> None:
    StateDirectory.open(tmp_path).close()
    (tmp_path / "VERSION").write_text(version)
    with pytest.raises(StateError) as refused:
        StateDirectory.open(tmp_path)
    assert refused.value.code == "STATE_VERSION"
    (tmp_path / "VERSION").write_text("1\n")
    StateDirectory.open(tmp_path).close()  # and the refusal gave the lock back


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.touch()
    with pytest.raises(StateError, match=str(file)) as refused:
        StateDirectory.open(file)
    assert refused.value.code == "STATE_UNUSABLE"


def test_a_start_takes_permissions_back_and_clears_what_killed_writes_left(tmp_path: Path) -> None:
    StateDirectory.open(tmp_path).close()
    leftovers = [tmp_path / name / ".file.123.tmp" for name in ("keys", "evidence", "custody")]
    for leftover in leftovers:
        leftover.write_bytes(b"half of it")
        leftover.parent.chmod(0o777)
    with StateDirectory.open(tmp_path):
        pass
    assert not any(leftover.exists() for leftover in leftovers)
    assert {stat.S_IMODE(leftover.parent.stat().st_mode) for leftover in leftovers} == {0o700}
