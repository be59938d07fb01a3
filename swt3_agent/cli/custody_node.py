"""``custody status`` and ``custody export``: the node's side."""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swt3_agent.cli.custody_open import (
    Opened,
    contents,
    custody_files,
    read_key,
    unwritable,
    write_handoff,
)
from swt3_agent.cli.files import make_directory
from swt3_agent.cli.options import config_of, print_json
from swt3_agent.cli.text import printable, show
from swt3_agent.config import Config
from swt3_agent.daemon.asking import tell
from swt3_agent.errors import StateError, UsageError
from swt3_agent.store.custody import file_shelf, log_shelf
from swt3_agent.store.custody.opening import (
    custody_directory,
    custody_key_file,
    read_recipients,
)
from swt3_agent.store.custody.shelf import create_private
from swt3_agent.store.durable import sync_directory
from swt3_agent.store.state import Layout, existing_layout

TIMEOUT_S = 30.0
_SUFFIXES = (log_shelf.SUFFIX, file_shelf.SUFFIX)


def status(args: argparse.Namespace) -> int:
    """Print where custody is, for whom, how much there is, and what hinders it."""
    config = config_of(args)
    layout = existing_layout(config.state_dir)
    running = _told(config, "custody")
    files = list(_files_in(custody_directory(config.custody, layout)))
    spooled = list(_files_in(layout.custody_spool))
    view = {
        "running": running is not None,
        "format": config.custody.format,
        "directory": str(custody_directory(config.custody, layout)),
        "recipients": [recipient.key_id for recipient in read_recipients(config.custody)],
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in (*files, *spooled)),
        "spooled_files": len(spooled),
        "entries": None if running is None else running["entries"],
        "lack": None if running is None else running["lack"],
    }
    if args.json:
        print_json({"schema": "swt3-agent/custody-status/1", **view})
    else:
        show(printable("\n".join(_status_lines(view))))
    return 0


def export(args: argparse.Namespace) -> int:
    """Copy custody's files, or write what they hold; the originals stay. The exit code is that of
    opening them, where they are opened."""
    config = config_of(args)
    layout = existing_layout(config.state_dir)
    _told(config, "custody_rotate")
    make_directory(args.out, 0o700)
    sources = (custody_directory(config.custody, layout), layout.custody_spool)
    opened = Opened()
    if args.handoff:
        report = _write_handoffs(config, layout, sources, args.out, opened)
    else:
        report = {"copied": _copy(sources, args.out), "entries": None}
    if args.evidence:
        make_directory(args.out / "evidence", 0o700)
        report["evidence"] = _copy_all(layout.evidence.iterdir(), args.out / "evidence")
    report = {"directory": str(args.out), **report}
    if args.json:
        print_json({"schema": "swt3-agent/custody-export/1", **report})
    else:
        what = (
            f"{report['copied']} files"
            if report["entries"] is None
            else (f"{report['entries']} handoff files")
        )
        evidence = f" and {report['evidence']} of evidence" if args.evidence else ""
        show(printable(f"{args.out}: {what}{evidence}"))
        for file in opened.files:
            for damage in file["damage"]:
                show(printable(f"{file['file']}: {damage['code']}: {damage['detail']}"))
    return opened.exit_code


def _told(config: Config, operation: str) -> Any:
    """The daemon's answer; None where none runs."""
    try:
        return tell(config, operation, {}, TIMEOUT_S)
    except StateError as error:
        if error.code == "NOT_RUNNING":
            return None
        raise


def _files_in(directory: Path) -> Iterator[Path]:
    """Custody's files in ``directory``, oldest first. Raises UsageError where it cannot be read."""
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE",
            f"{directory} cannot be read: {error.strerror}",
            remedy="run it as the agent's user, with the volume mounted",
        ) from error
    for path in paths:
        if path.suffix in _SUFFIXES and not path.name.startswith("."):
            yield path


def _copy(sources: tuple[Path, ...], out: Path) -> int:
    return _copy_all((path for source in sources for path in _files_in(source)), out)


def _copy_all(files: Iterator[Path], out: Path) -> int:
    """Copy each file that ``out`` has not whole already; how many there are now."""
    count = 0
    try:
        for path in files:
            count += 1
            target = out / path.name
            if target.exists() and target.stat().st_size == path.stat().st_size:
                continue
            partial = out / f".{path.name}.partial"
            partial.unlink(missing_ok=True)
            with path.open("rb") as source, open(create_private(partial), "wb") as copy:  # noqa: PTH123  # a descriptor
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            partial.rename(target)
        sync_directory(out)
    except OSError as error:
        raise unwritable(out, error) from error
    return count


def _write_handoffs(
    config: Config, layout: Layout, sources: tuple[Path, ...], out: Path, opened: Opened
) -> dict[str, Any]:
    key_file = custody_key_file(layout)
    if config.custody.recipients and not key_file.exists():
        raise UsageError(
            "CUSTODY_NOT_OURS",
            "what clearing removed is sealed to custodians, and this node cannot open it",
            remedy="leave out --handoff, and run `swt3-agent custody open` where a custodian's"
            " key is",
        )
    present = [path for source in sources for path in _files_in(source)]
    logs = [path for path in present if path.suffix == log_shelf.SUFFIX]
    copied = _copy_all(iter([path for path in present if path.suffix == file_shelf.SUFFIX]), out)
    if logs:
        for content in contents(custody_files(logs), read_key(key_file), opened):
            write_handoff(out, content)
        sync_directory(out)
    return {"copied": copied, "entries": opened.entries + copied, "files": opened.files}


def _status_lines(view: dict[str, Any]) -> list[str]:
    sealed = ", ".join(view["recipients"]) or (
        "this node only" if view["format"] == "log" else "nobody: handoff files are readable"
    )
    lines = [
        f"format      {view['format']}",
        f"directory   {view['directory']}",
        f"sealed to   {sealed}",
        f"files       {view['files']}, {view['bytes']} bytes",
    ]
    if view["running"]:
        lines.append(f"entries     {view['entries']} since the agent was started")
    if view["spooled_files"]:
        lines.append(f"spool       {view['spooled_files']} files wait for their place")
    if view["lack"]:
        lack = view["lack"]
        lines += [
            f"lack        {lack['code']}: {lack['detail']}",
            f"            remedy: {lack['remedy']}",
            "            nothing is forwarded until then",
        ]
    return lines
