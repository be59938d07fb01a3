"""``custody open`` and ``custody keygen``: a custodian's side, on any machine."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swt3_agent.cli.files import make_directory, write_new
from swt3_agent.cli.text import printable
from swt3_agent.errors import AgentError, FormatError, UsageError
from swt3_agent.protocol.custodian import (
    MAX_PEM_BYTES,
    CustodianKey,
    generate_custodian,
    read_custodian_key,
)
from swt3_agent.protocol.custody_file import KeptEntry
from swt3_agent.protocol.handoff import encode_handoff, handoff, handoff_names
from swt3_agent.store.custody.log_shelf import SUFFIX
from swt3_agent.store.custody.reader import CustodyFile
from swt3_agent.store.custody.shelf import new_temporary, publish
from swt3_agent.store.durable import sync_directory

EXIT_DAMAGED = 3
EXIT_INCOMPLETE = 4
_NOT_OURS = "CUSTODY_NOT_FOR_THIS_KEY"
_UNBEGUN = "CUSTODY_UNBEGUN"


@dataclass(slots=True)
class Opened:
    """What a reading of custody files came to.

    ``unconfirmed`` counts records whose fingerprint does not follow from what they say: only
    quarantined and opaque ones should be among them. ``missing`` are records of the log without an
    entry, ``unknown`` entries without a record; None where no log was given.
    """

    files: list[dict[str, Any]] = field(default_factory=list)
    entries: int = 0
    repeated: int = 0
    unconfirmed: int = 0
    missing: list[int] | None = None
    unknown: int | None = None

    @property
    def exit_code(self) -> int:
        found = {damage["code"] for file in self.files for damage in file["damage"]}
        if found - {_NOT_OURS}:
            return EXIT_DAMAGED
        return EXIT_INCOMPLETE if found or self.missing else 0


def run(args: argparse.Namespace) -> int:
    """Print the entries, or write them as handoff files; exit code 3 for damage, 4 where files are
    sealed to others or the log names records that are not there."""
    key = read_key(args.key)
    expected = None if args.log is None else _originals_in(args.log)
    if args.out is not None:
        make_directory(args.out, 0o700)
    opened = Opened()
    for content in contents(custody_files(args.paths), key, opened, expected):
        if args.out is None:
            print(json.dumps(content))  # ASCII: it quotes what a stranger wrote
        else:
            write_handoff(args.out, content)
    if args.out is not None:
        sync_directory(args.out)
    if args.json and args.out is not None:
        print(json.dumps({"schema": "swt3-agent/custody-open/1", **_summary(opened)}))
    else:
        print(printable("\n".join(_lines(opened))), file=sys.stderr)
    return opened.exit_code


def contents(
    files: Sequence[Path],
    key: CustodianKey,
    opened: Opened,
    expected: dict[str, int] | None = None,
) -> Iterator[dict[str, object]]:
    """The handoff content of every entry, once, and in ``opened`` what was found on the way.

    A file that cannot be opened does not hide the others; where none can, raises FormatError.
    ``expected`` maps commitments of a log to sequence numbers.
    """
    seen: set[str] = set()
    refused: list[FormatError] = []
    for path in files:
        before = opened.entries
        finished, damage = False, []
        try:
            with _open(path) as file:
                for entry in file.entries(key):
                    commitment = entry.commitment
                    if commitment in seen:  # kept again after a write not known to succeed
                        opened.repeated += 1
                        continue
                    seen.add(commitment)
                    content = _content(entry)
                    opened.entries += 1
                    opened.unconfirmed += content["fingerprint_full"] is None
                    yield content
                finished = file.finished
                damage = [{"code": d.code, "detail": d.detail} for d in file.damage]
        except FormatError as error:
            if error.code != _UNBEGUN:
                refused.append(error)
                damage = [{"code": error.code, "detail": error.message}]
        opened.files.append(
            {
                "file": str(path),
                "entries": opened.entries - before,
                "finished": finished,
                "damage": damage,
            }
        )
    if refused and len(refused) == len(files):
        raise refused[0]
    if expected is not None:
        opened.unknown = len(seen - expected.keys())
        opened.missing = sorted(seq for name, seq in expected.items() if name not in seen)


def custody_files(paths: Sequence[Path]) -> list[Path]:
    """The files among ``paths`` and in the directories among them. Raises UsageError."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise UsageError(
            "NO_CUSTODY_FILES",
            f"no file that ends in {SUFFIX} in {', '.join(map(str, paths))}",
            remedy="name custody files, or a directory that holds some",
        )
    return files


def read_key(path: Path) -> CustodianKey:
    """The private key in ``path``. Raises UsageError, FormatError ``CUSTODIAN_KEY``."""
    try:
        with path.open("rb") as stream:
            return read_custodian_key(stream.read(MAX_PEM_BYTES + 1))
    except OSError as error:
        raise _unreadable(path, error) from error


def write_handoff(directory: Path, content: dict[str, object]) -> None:
    """A handoff file in ``directory``; one that is there already is left alone."""
    try:
        publish(new_temporary(directory), handoff_names(content), encode_handoff(content))
    except OSError as error:
        raise unwritable(directory, error) from error


def unwritable(path: Path, error: OSError) -> AgentError:
    """The error for a place that a verb was told to write to."""
    return AgentError(
        "OUTPUT_UNWRITABLE",
        f"{error.filename or path} cannot be written: {error.strerror}",
        remedy="name a path in a directory that is there, is yours and has room",
    )


def keygen(args: argparse.Namespace) -> int:
    """Write a key pair; neither file may be there already."""
    private, public = generate_custodian(hybrid=args.hybrid)
    key_id = read_custodian_key(private).recipient.key_id
    paths = [args.out.with_name(args.out.name + suffix) for suffix in (".key", ".pub")]
    for path, data in zip(paths, (private, public), strict=True):
        write_new(path, data, 0o600, allow_special=False)
    paths[1].chmod(0o644)  # a copy of it is for the agent's user to read
    if args.json:
        report = {"key_id": key_id, "private": str(paths[0]), "public": str(paths[1])}
        print(json.dumps({"schema": "swt3-agent/custody-keygen/1", **report}))
    else:
        print(printable(f"key      {key_id}\nprivate  {paths[0]}: keep it off the nodes"))
        print(printable(f"public   {paths[1]}: name it in agent.custody.recipients"))
    return 0


def _open(path: Path) -> CustodyFile:
    try:
        return CustodyFile(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except FormatError as error:
        raise FormatError(error.code, f"{path}: {error.message}", remedy=error.remedy) from error


def _content(entry: KeptEntry) -> dict[str, object]:
    return handoff(entry.tenant, entry.secret, entry.original, entry.record_digest, entry.level)


def _originals_in(path: Path) -> dict[str, int]:
    """The commitments in what `log --json` printed: each with its sequence number."""
    found: dict[str, int] = {}
    try:
        with path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                original = record["provenance"].get("original")
                if original is not None:
                    found[original] = record["seq"]
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            "BAD_LOG",
            f"{path} is not what `swt3-agent log --json` prints",
            remedy="print it on the node: `swt3-agent log --json > log.jsonl`",
        ) from error
    return found


def _summary(opened: Opened) -> dict[str, Any]:
    return {
        "files": opened.files,
        "entries": opened.entries,
        "repeated": opened.repeated,
        "unconfirmed": opened.unconfirmed,
        "missing": opened.missing,
        "unknown": opened.unknown,
    }


def _lines(opened: Opened) -> list[str]:
    lines = [f"{opened.entries} entries in {len(opened.files)} files"]
    if opened.unconfirmed:
        lines.append(
            f"{opened.unconfirmed} of them do not give their fingerprint: the log has these as"
            " quarantined or opaque"
        )
    for file in opened.files:
        if not file["finished"] and not file["damage"]:
            lines.append(f"{file['file']}: not finished; it is in use, or its agent was killed")
        lines += [f"{file['file']}: {d['code']}: {d['detail']}" for d in file["damage"]]
    if opened.missing is not None:
        missing = ", ".join(map(str, opened.missing[:20])) + (
            " …" if len(opened.missing) > 20 else ""
        )
        lines.append(f"records of the log without an entry: {missing or 'none'}")
        lines.append(f"entries without a record: {opened.unknown}")
    return lines


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}", remedy="check the path"
    )
