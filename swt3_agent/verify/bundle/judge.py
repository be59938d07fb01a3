"""Judge one bundle offline, with nothing but the bundle and, if there is one, a trust file.

docs/formats.md, "Bundle", lists the checks in this order, each with its codes. What is wrong makes
the outcome FALSE at once; what is only lacking makes it UNDECIDED, and only if nothing is wrong.
"""

from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from typing import BinaryIO

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import (
    MANIFEST,
    PROOF,
    TAIL,
    Manifest,
    Member,
    Tail,
    decode_text,
)
from swt3_agent.protocol.checkpoint import SignedNote, parse_signed_note
from swt3_agent.protocol.compact_range import CompactRange
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.log_tree import verify_consistency
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.trust import Floors, TrustStatement
from swt3_agent.verify import anchoring
from swt3_agent.verify.bundle.archive import Archive, Portion, digest_of
from swt3_agent.verify.bundle.closing import examine_closing
from swt3_agent.verify.bundle.contents import Contents, Progress, examine_records
from swt3_agent.verify.bundle.earlier_records import earlier_records
from swt3_agent.verify.bundle.examination import Examination
from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.bundle.limits import limits
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.bundle.standing import examine_boots, examine_counter, examine_signers
from swt3_agent.verify.bundle.tree import examine_tree
from swt3_agent.verify.refusal import refusal, remedy_of
from swt3_agent.verify.report import Outcome, Report
from swt3_agent.verify.verifier import verify_proof

SizesOf = Callable[[str, str], Collection[int]]
"""Sizes of the log of this node id and log id."""


def verify_bundle(
    stream: BinaryIO,
    *,
    trust: bytes | None = None,
    allow_software_tpm: bool = False,
    now_ms: int | None = None,
    reference: bytes | None = None,
    sizes: SizesOf = lambda _node_id, _log_id: (),
    progress: Progress = lambda _done, _total: None,
) -> BundleReport:
    """Judge the bundle in ``stream``, which can seek; needs memory for one portion of it.

    Arguments as for ``verify_proof``; ``reference`` is a file of reference values that every boot
    must show; ``sizes`` says at which sizes of this log the report shall tell the root. Raises
    OSError where ``stream`` does; whatever is wrong with the files is in the report.
    """
    examination = Examination()
    try:
        archive, manifest = _read(examination, stream)
        wanted = sizes(manifest.node_id, manifest.log_id)
        examination.roots = {size: b"" for size in wanted if manifest.first <= size <= manifest.end}
        proof = archive.read(PROOF)
        examination.hashes[PROOF] = sha256(proof).hexdigest()
        closing = verify_proof(
            proof, trust=trust, allow_software_tpm=allow_software_tpm, now_ms=now_ms
        )
        examine_closing(examination, manifest, proof, closing)
        statement = None if trust is None else anchoring.read_trust(trust).statement
        head = parse_signed_note(_note_of(proof))
        _examine_contents(examination, archive, manifest, head, statement, progress)
        examine_signers(examination, manifest, statement)
        examine_boots(examination, archive, manifest, statement, reference)
    except FormatError as error:
        return _report(examination, examination.failed(error), error)
    if examination.doubts:
        return _report(examination, Outcome.UNDECIDED, examination.doubts[0])
    return _report(examination, Outcome.VERIFIED, None)


def _read(examination: Examination, stream: BinaryIO) -> tuple[Archive, Manifest]:
    examination.begin("container")
    examination.hashes["bundle"] = digest_of(stream)
    archive = Archive(stream)
    examination.passed("a tar file of plain members, each once, in order")
    examination.begin("manifest")
    data = archive.read(MANIFEST)
    examination.hashes[MANIFEST] = sha256(data).hexdigest()
    manifest = decode_text(data, Manifest)
    if not manifest.first < manifest.end:
        raise refusal("BUNDLE_MEMBERS", "the range is empty")
    if manifest.previous is not None and manifest.previous.seq >= manifest.first:
        raise refusal("BUNDLE_MEMBERS", "the head before the range does not lie before it")
    examination.manifest = manifest
    examination.passed(f"records {manifest.first} to {manifest.end} of log {manifest.log_id}")
    return archive, manifest


def _note_of(proof: bytes) -> bytes:
    return decode_proof(proof).note


def _examine_contents(
    examination: Examination,
    archive: Archive,
    manifest: Manifest,
    closing: SignedNote,
    statement: TrustStatement | None,
    progress: Progress,
) -> None:
    examination.begin("members")
    boot_heads, portions = archive.portions(manifest)
    before = b"" if boot_heads is None else _boot_heads(archive, boot_heads)
    data = archive.read(TAIL)
    examination.hashes[TAIL] = sha256(data).hexdigest()
    tail = decode_text(data, Tail)
    if tail.format != manifest.format:
        raise refusal("PARSE_FIELD", f"{TAIL} and {MANIFEST} are of different formats")
    examination.passed(f"{len(manifest.members)} members, as the manifest lists them")

    examination.begin("earlier")
    history = History.of(manifest, statement)
    history.begin(manifest.previous, before, earlier_records(manifest))
    examination.passed(f"{len(manifest.earlier)} records before the range are in this log")

    examination.begin("records")
    contents = examine_records(archive, manifest, portions, history, progress)
    shown, withheld = contents.kinds.total(), contents.withheld.total()
    examination.passed(f"{shown} records make their leaves; {withheld} are withheld, each said why")

    examination.begin("sums")
    _check_sums(manifest, contents)
    examination.passed("kinds, reasons for withholding and gaps add up")

    examination.begin("heads")
    chain = history.chain
    history.see_tail(tail.heads)
    if chain.last is None or chain.last.body() != closing.body:
        raise refusal("HEAD_LAST", "the chain of heads does not end in the closing head")
    examination.passed(f"{chain.count} heads follow each other, {chain.signed} of them quoted")

    examine_counter(examination, history)

    floors = None if statement is None else statement.floors
    _examine_tree(examination, archive, manifest, portions, chain, tail, closing, floors)
    examination.contents, examination.history = contents, history


def _boot_heads(archive: Archive, member: Member) -> bytes:
    data = archive.listed(member)
    if len(data) % 32 or len(data) < 64:
        raise refusal("BUNDLE_LEAVES", f"{member.name} does not hold digests")
    return data


def _check_sums(manifest: Manifest, contents: Contents) -> None:
    kinds = dict(contents.kinds)
    withheld = dict(contents.withheld)
    listed = {
        name: (sums.refused, sums.dropped, sums.evicted, sums.gaps)
        for name, sums in manifest.listeners.items()
    }
    found = {
        name: (dict(sums.refused), sums.dropped, sums.evicted, sums.gaps)
        for name, sums in contents.gaps.by_listener.items()
    }
    missing = sum(manifest.kinds.values()) - sum(kinds.values())
    more = any(count > manifest.kinds.get(kind, 0) for kind, count in kinds.items())
    if more or missing != sum(withheld.values()) or manifest.withheld != withheld:
        raise refusal("BUNDLE_SUMS", "the manifest counts other records than are there")
    if listed != found:
        raise refusal("BUNDLE_SUMS", "the manifest sums up other gaps than are there")


def _examine_tree(
    examination: Examination,
    archive: Archive,
    manifest: Manifest,
    portions: list[Portion],
    chain: HeadChain,
    tail: Tail,
    closing: SignedNote,
    floors: Floors | None,
) -> None:
    """The leaves are those of the log that the closing head and the previous one are of."""
    examination.begin("tree")
    found = examination.roots
    compared = examine_tree(archive, manifest, portions, chain.roots, floors, found)
    note, path = closing.note, [bytes.fromhex(node) for node in tail.consistency]
    root = bytes.fromhex(manifest.root)
    if not verify_consistency(manifest.end, note.size, root, note.root, path):
        raise refusal("TREE_CONSISTENCY", "the closing head is not of a log with this range")
    if manifest.previous is not None:
        previous = parse_signed_note(manifest.previous.checkpoint.encode()).note
        path = [bytes.fromhex(node) for node in tail.previous]
        if not verify_consistency(previous.size, note.size, previous.root, note.root, path):
            raise refusal("TREE_CONSISTENCY", "the closing head is not of the previous head's log")
        found[previous.size] = previous.root
    before = CompactRange(manifest.first, [bytes.fromhex(peak) for peak in manifest.peaks]).root()
    found |= {manifest.first: before, manifest.end: root, note.size: note.root}
    examination.passed(
        f"the leaves give the roots of {compared} heads; the range begins at root {before.hex()}"
        f" over {manifest.first} records and ends at {manifest.root}"
    )


def _report(examination: Examination, outcome: Outcome, error: FormatError | None) -> BundleReport:
    closing, shown = examination.closing, outcome is not Outcome.FALSE
    manifest, contents, history = examination.manifest, examination.contents, examination.history
    unproven: tuple[str, ...] = ()
    if shown and manifest is not None and contents is not None and history is not None:
        compared = examination.reference
        unproven = (
            *limits(manifest, contents, history, compared=compared),
            *_about_enroller(closing),
        )
    return BundleReport(
        outcome=outcome,
        code="VERIFIED" if error is None else error.code,
        reason="every record of the range is as the log holds it under heads that the enrolled TPM"
        " key quoted"
        if error is None
        else error.message,
        remedy="" if error is None else remedy_of(error),
        checks=tuple(examination.checks),
        trusted="nobody" if closing is None else closing.trusted,
        root_of_trust=RootOfTrust.SELF_REPORTED if closing is None else closing.root_of_trust,
        not_proven=unproven,
        hashes=examination.hashes,
        manifest=manifest if shown else None,
        contents=contents if shown else None,
        history=history if shown else None,
        boots=tuple(examination.boots) if shown else (),
        head=closing.head if shown and closing is not None else None,
        roots=examination.roots if shown else {},
        closing=closing if shown else None,
    )


def _about_enroller(closing: Report | None) -> Iterator[str]:
    if closing is not None:
        yield from (limit for limit in closing.not_proven if "enroller" in limit)
