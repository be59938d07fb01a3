"""Who is at the other end, as the kernel says."""

import os
import socket
from pathlib import Path

from swt3_agent.relay.origin import peer_of


def test_says_user_process_and_when_it_started() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.uid, peer.gid, peer.pid) == (os.getuid(), os.getgid(), os.getpid())
    stat = Path("/proc/self/stat").read_text()
    assert peer.start == int(stat.rpartition(")")[2].split()[19])


def test_a_process_that_is_hidden_or_gone_has_no_start_time(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours, proc=tmp_path)
    assert (peer.pid, peer.start, peer.cgroup) == (os.getpid(), None, None)


def test_a_process_may_be_named_like_the_fields_after_its_name(tmp_path: Path) -> None:
    entry = tmp_path / str(os.getpid())
    entry.mkdir()
    fields = " ".join(str(number) for number in range(4, 53))
    (entry / "stat").write_text(f"{os.getpid()} (a) S 1 2 (b)) S {fields}\n")
    (entry / "cgroup").write_text("12:cpu:/old\n0::/kubepods/pod:1\n")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours, proc=tmp_path)
    assert (peer.start, peer.cgroup) == (22, "/kubepods/pod:1")
