"""What `verify` was given, recognised by what it is, and judged."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from swt3_agent.cli.files import read_bounded
from swt3_agent.cli.text import show_progress
from swt3_agent.cli.verify_state import VerifierState
from swt3_agent.errors import AgentError, UsageError
from swt3_agent.protocol.proof import MAX_PROOF
from swt3_agent.protocol.ustar import BLOCK, is_ustar
from swt3_agent.verify import (
    BundleReport,
    ChallengeReport,
    RecordLine,
    Report,
    StatementReport,
    record_lines,
    verify_bundle,
    verify_challenge,
    verify_proof,
    verify_statement,
)
from swt3_agent.verify.answer import FILES, MAX_FILE

AnyReport = Report | BundleReport | ChallengeReport | StatementReport


@dataclass(frozen=True, slots=True)
class Reader:
    """What the reader brings along: files in bytes, and what he remembers.

    ``nonce`` is that of his challenge; ``bundles_only``: receipts are wanted. ``records`` takes
    the records of a bundle, one by one, once that was judged and is not false.
    """

    trust: bytes | None = None
    reference: bytes | None = None
    nonce: bytes | None = None
    allow_software_tpm: bool = False
    state: VerifierState | None = None
    bundles_only: bool = False
    records: Callable[[Iterator[RecordLine]], None] | None = None

    def sizes(self, node_id: str, log_id: str) -> Collection[int]:
        """At which sizes he remembers the root of this log."""
        return () if self.state is None else self.state.sizes(node_id, log_id)


def judge(path: Path, reader: Reader) -> AnyReport:
    """The report on a proof, a bundle, an envelope, or the directory of a challenge's answer.

    Raises UsageError ``FILE_UNREADABLE``, ``NOT_A_BUNDLE``, ``NONCE_NOT_USED`` or
    ``REFERENCE_NOT_USED``; AgentError ``SYSTEM``, and ``STATE_*`` as ``VerifierState.recall``.
    """
    if path.is_dir():
        return _recalled(_judged_answer(path, reader), reader)
    _refuse_nonce(reader, path)
    with _opened(path) as stream:
        report = _recalled(_judged(path, stream, reader), reader)
        if reader.records is not None and isinstance(report, BundleReport):
            reader.records(record_lines(stream, report))
    return report


def _recalled(report: AnyReport, reader: Reader) -> AnyReport:
    """``report``, held against what the reader remembers."""
    if reader.state is None or reader.trust is None or isinstance(report, StatementReport):
        return report
    return reader.state.recall(report, reader.trust)


def _judged_answer(path: Path, reader: Reader) -> AnyReport:
    _refuse_others(reader, path)
    return verify_challenge(
        _answer(path),
        nonce=reader.nonce,
        trust=reader.trust,
        reference=reader.reference,
        allow_software_tpm=reader.allow_software_tpm,
        now_ms=_now_ms(),
    )


def _judged(path: Path, stream: BinaryIO, reader: Reader) -> AnyReport:
    begin = stream.read(BLOCK)
    stream.seek(0)
    if is_ustar(begin):
        return verify_bundle(
            stream,
            trust=reader.trust,
            reference=reader.reference,
            allow_software_tpm=reader.allow_software_tpm,
            now_ms=_now_ms(),
            sizes=reader.sizes,
            progress=partial(show_progress, "verify"),
        )
    _refuse_others(reader, path)
    if reader.reference is not None:
        raise UsageError(
            "REFERENCE_NOT_USED",
            f"{path} holds no boot state: reference values are for bundles and challenges",
            remedy="leave --reference out, or ask the node for a bundle or a quote",
        )
    data = stream.read(MAX_PROOF + 1)
    if _is_envelope(data):
        return verify_statement(
            data, trust=reader.trust, allow_software_tpm=reader.allow_software_tpm
        )
    return verify_proof(
        data, trust=reader.trust, allow_software_tpm=reader.allow_software_tpm, now_ms=_now_ms()
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Claims(msgspec.Struct):
    payloadType: object = None  # noqa: N815  DSSE calls it so
    format: object = None


def _is_envelope(data: bytes) -> bool:
    """Whether ``data`` claims to be a DSSE envelope; the judgement reads it strictly."""
    try:
        claims = msgspec.json.decode(data, type=_Claims)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return claims.payloadType is not None and claims.format is None


def _refuse_others(reader: Reader, path: Path) -> None:
    if reader.bundles_only or reader.records is not None:
        raise UsageError(
            "NOT_A_BUNDLE",
            f"{path} is no bundle: receipts and records are for bundles",
            remedy="leave --receipts and --records out, or give the file that `swt3-agent export`"
            " wrote",
        )


def _refuse_nonce(reader: Reader, path: Path) -> None:
    if reader.nonce is not None:
        raise UsageError(
            "NONCE_NOT_USED",
            f"{path} answers no challenge: a nonce is for the directory that `quote` wrote",
            remedy="leave --nonce out, or give that directory",
        )


def _answer(directory: Path) -> dict[str, bytes]:
    """The files of an answer that are there."""
    return {
        name: read_bounded(directory / name, MAX_FILE)
        for name in FILES
        if (directory / name).is_file()
    }


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, or a copy of what cannot be read twice (standard input, a pipe)."""
    try:
        if str(path) == "-":
            with _copied(sys.stdin.buffer) as copy:
                yield copy
            return
        with path.open("rb") as stream:
            if stream.seekable():
                yield stream
            else:
                with _copied(stream) as copy:
                    yield copy
    except BrokenPipeError:  # of whom we print for, not the file
        raise
    except OSError as error:
        raise UsageError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}", remedy="check the path"
        ) from error


@contextmanager
def _copied(stream: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
        except OSError as error:
            raise AgentError(
                "SYSTEM",
                f"there is no room for a copy of what is judged: {error.strerror}",
                remedy="give the bundle as a file, or set TMPDIR to a place with room",
            ) from error
        yield copy
