import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swt3_agent.collect import model_files
from swt3_agent.collect.measure import Measurement, measure_model, model_digest
from swt3_agent.errors import AgentError

MEBIBYTE = 1 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two shards that take several reads each, a small file and an empty one."""
    directory = tmp_path / "model"
    (directory / "adapters").mkdir(parents=True)
    for number in (1, 2):
        shard = directory / f"model-0000{number}-of-00002.safetensors"
        shard.write_bytes(bytes([number]) * (3 * MEBIBYTE + number))
    (directory / "config.json").write_text("{}")
    (directory / "adapters/empty").touch()
    return directory


def codes(found: Measurement) -> list[str]:
    assert found.manifest is None or not found.problems
    return [problem.code for problem in found.problems]


def test_every_file_has_the_digest_that_sha256sum_prints(model: Path) -> None:
    files = sorted(path for path in model.rglob("*") if path.is_file())
    printed = subprocess.run(
        ["sha256sum", *[str(path.relative_to(model)) for path in files]],
        cwd=model,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    manifest = measure_model(model).manifest
    assert manifest is not None
    listed = [entry.as_json() for entry in manifest.entries]
    assert "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in listed) == printed
    assert [entry["size"] for entry in listed] == [path.stat().st_size for path in files]


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_threads_changes_nothing(model: Path, workers: int) -> None:
    found = measure_model(model, workers=workers)
    assert found.manifest is not None
    assert found.manifest.digest() == model_digest(model)
    assert (found.files, found.size) == (4, 6 * MEBIBYTE + 5)


def test_where_a_model_lies_does_not_matter(model: Path, tmp_path: Path) -> None:
    before = model_digest(model)
    assert model_digest(model.rename(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "config.json").write_text("[]"),
        lambda model: (model / "config.json").rename(model / "Config.json"),
        lambda model: (model / "adapters/empty").unlink(),
        lambda model: (model / "adapters/another").touch(),
        lambda model: (model / "latest").symlink_to("config.json"),
    ],
)
def test_any_other_difference_does(model: Path, change: Callable[[Path], object]) -> None:
    before = model_digest(model)
    change(model)
    assert model_digest(model) != before


def test_a_single_file_is_a_model_too(model: Path) -> None:
    shard = model / "model-00001-of-00002.safetensors"
    manifest = measure_model(shard).manifest
    assert manifest is not None
    (entry,) = manifest.entries
    assert entry.path == shard.name


def test_a_hugging_face_cache_is_hashed_once_and_its_links_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "models--org--name"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs/abc").write_bytes(b"weights")
    snapshot = cache / "snapshots/0123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    found = measure_model(cache)
    assert found.manifest is not None
    assert [entry.as_json() for entry in found.manifest.entries] == [
        {"path": "blobs/abc", "size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()},
        {"path": "snapshots/0123/model.safetensors", "link": "blobs/abc"},
    ]
    assert (found.files, found.size) == (1, 7)
    assert codes(measure_model(snapshot)) == ["LINK_OUTSIDE"]


def test_a_model_that_is_named_by_a_link_is_what_the_link_leads_to(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to(model)
    assert model_digest(tmp_path / "current") == model_digest(model)


def test_how_a_link_is_spelled_does_not_matter(model: Path) -> None:
    (model / "latest").symlink_to("config.json")
    relative = model_digest(model)
    (model / "latest").unlink()
    (model / "latest").symlink_to(model / "config.json")
    assert model_digest(model) == relative


def link_outside(model: Path) -> None:
    (model / "passwd").symlink_to("/etc/passwd")


def link_dangling(model: Path) -> None:
    (model / "gone").symlink_to("nowhere")


def link_loop(model: Path) -> None:
    (model / "a").symlink_to("b")
    (model / "b").symlink_to("a")


def fifo(model: Path) -> None:
    os.mkfifo(model / "pipe")


def foreign_name(model: Path) -> None:
    (model / os.fsdecode(b"caf\xe9")).touch()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (link_outside, "LINK_OUTSIDE"),
        (link_dangling, "LINK_DANGLING"),
        (link_loop, "LINK_LOOP"),
        (fifo, "FILE_SPECIAL"),
        (foreign_name, "FILE_NAME"),
    ],
)
def test_what_cannot_be_digested_is_refused(
    model: Path, spoil: Callable[[Path], None], code: str
) -> None:
    spoil(model)
    found = measure_model(model)
    assert found.manifest is None
    assert set(codes(found)) == {code}
    assert all(problem.remedy for problem in found.problems)


def test_a_socket_is_refused_and_a_directory_loop_ends(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)  # the name of a socket must be short
    (model / "adapters/again").symlink_to(model)
    assert codes(measure_model(model)) == []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert codes(measure_model(model)) == ["FILE_SPECIAL"]


def test_a_path_that_is_a_loop_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert codes(measure_model(tmp_path / "a")) == ["LINK_LOOP"]


def test_a_model_too_deep_or_too_wide_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath("deep", *["d"] * (model_files.DEEPEST + 1))
    deep.mkdir(parents=True)
    assert codes(measure_model(tmp_path / "deep")) == ["MODEL_TOO_LARGE"]
    wide = tmp_path / "wide"
    wide.mkdir()
    for number in range(6):
        (wide / str(number)).touch()
    monkeypatch.setattr(model_files, "MOST_FILES", 5)
    assert codes(measure_model(wide)) == ["MODEL_TOO_LARGE"]


def test_directories_and_special_files_count_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that was named by mistake may hold millions of them, and not one file."""
    monkeypatch.setattr(model_files, "MOST_FILES", 5)
    for number in range(3):
        (tmp_path / "directories" / str(number) / "deeper").mkdir(parents=True)
    assert codes(measure_model(tmp_path / "directories")) == ["MODEL_TOO_LARGE"]
    (tmp_path / "special").mkdir()
    for number in range(6):
        os.mkfifo(tmp_path / "special" / str(number))
    assert codes(measure_model(tmp_path / "special")) == ["MODEL_TOO_LARGE"]


def test_a_directory_of_any_size_is_not_listed_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MOST_FILES", 5)
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert model_files.scan(tmp_path).entries == 6


def test_an_empty_directory_is_no_model(tmp_path: Path) -> None:
    assert codes(measure_model(tmp_path)) == ["MODEL_EMPTY"]


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    assert codes(measure_model(tmp_path / "none")) == ["MODEL_MISSING"]
    with pytest.raises(AgentError, match="does not exist") as raised:
        model_digest(tmp_path / "none")
    assert raised.value.code == "MODEL_MISSING"
    assert raised.value.remedy


class Once:
    """Does something to the model in the middle of its first shard."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._done = threading.Event()

    def __call__(self, done: int, total: int) -> None:
        if not self._done.is_set():
            self._done.set()
            self._action()


def overwrite_with_the_old_time(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(2 * MEBIBYTE)
        file.write(b"tampered")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    copy = path.with_suffix(".new")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def replace_by_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_a_link(path: Path) -> None:
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)


SHARD = "model-00002-of-00002.safetensors"  # the largest: hashed first
LAST = "adapters/empty"


@pytest.mark.parametrize(
    ("name", "action", "expected"),
    [
        (SHARD, overwrite_with_the_old_time, {"FILE_CHANGED"}),
        (SHARD, lambda path: os.truncate(path, MEBIBYTE), {"FILE_CHANGED"}),
        (SHARD, replace_by_another, {"FILE_CHANGED"}),
        (SHARD, replace_by_a_link, {"FILE_CHANGED"}),
        (SHARD, lambda path: path.unlink(), {"FILE_CHANGED", "FILE_VANISHED"}),
        (LAST, lambda path: path.unlink(), {"FILE_VANISHED"}),
        (LAST, lambda path: path.write_text("no longer empty"), {"FILE_CHANGED"}),
        (LAST, replace_by_a_fifo, {"FILE_CHANGED", "FILE_SPECIAL", "FILE_VANISHED"}),
        (LAST, replace_by_a_link, {"FILE_CHANGED"}),
        ("new", lambda path: path.touch(), {"FILE_CHANGED"}),
    ],
)
def test_a_model_that_changes_while_it_is_read_has_no_digest(
    model: Path, name: str, action: Callable[[Path], object], expected: set[str]
) -> None:
    found = measure_model(model, workers=1, progress=Once(lambda: action(model / name)))
    assert found.manifest is None
    assert set(codes(found)) <= expected
    assert codes(found)


def test_a_fifo_that_took_the_place_of_a_file_is_never_waited_for(model: Path) -> None:
    stamp = model_files.scan(model).files["config.json"]
    replace_by_a_fifo(model / "config.json")
    problem = model_files.hash_file(model, "config.json", stamp, lambda size: True)
    assert isinstance(problem, model_files.Problem)
    assert problem.code == "FILE_CHANGED"


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(model: Path) -> None:
    shard = model / SHARD

    def append(done: int, total: int) -> None:
        with shard.open("ab") as file:
            file.write(bytes(2 * MEBIBYTE))

    assert set(codes(measure_model(model, workers=1, progress=append))) == {"FILE_CHANGED"}
    assert shard.stat().st_size < 64 * MEBIBYTE


def test_progress_grows_to_the_whole_size(model: Path) -> None:
    seen: list[tuple[int, int]] = []
    model_digest(model, progress=lambda done, total: seen.append((done, total)))
    total = 6 * MEBIBYTE + 5
    assert {of for _, of in seen} == {total}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)


def test_time_that_is_over_ends_the_hashing_and_gives_no_digest(model: Path) -> None:
    found = measure_model(model, deadline=0.0)
    assert found.manifest is None
    assert set(codes(found)) == {"MODEL_TIMEOUT"}


def test_an_error_in_the_progress_callback_reaches_the_caller(model: Path) -> None:
    def broken(done: int, total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_model(model, progress=broken)


@pytest.mark.permissions
@pytest.mark.parametrize("name", [".", "adapters", SHARD])
def test_what_may_not_be_read_is_denied_and_never_left_out(model: Path, name: str) -> None:
    (model / name).chmod(0)
    try:
        assert codes(measure_model(model)) == ["MODEL_DENIED"]
    finally:
        (model / name).chmod(0o755)
