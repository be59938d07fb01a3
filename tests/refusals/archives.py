"""Bundles packed anew: members, records, tree and tail that are not what the log holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from tarfile import open as open_tar
from typing import Any

import msgspec

from swt3_agent.protocol.bundle import (
    Disclosure,
    Manifest,
    Tail,
    decode_text,
    encode_leaf,
    encode_text,
    entries_name,
    leaves_name,
)
from swt3_agent.protocol.bundle_evidence import BootInfo, EarlierRecord, encode_earlier
from swt3_agent.protocol.key_record import KeyEvent, KeyRecord, encode_key_record
from swt3_agent.protocol.log_tree import inclusion_path, salts
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.protocol.record import Kind, Record
from swt3_agent.protocol.ustar import END, member_header, padding
from tests.refusals.bundles import FIRST, own_log
from tests.refusals.case import UNDECIDED, Case
from tests.support.boot_logs import ima_entry, ima_ng
from tests.support.forge import SEGMENT_KEY, TENANT, PaperNode, ak_public, provenance, witness
from tests.support.paper_bundle import OWN, PaperLog, entry, frame, trust_in

ENTRIES, LEAVES = entries_name(0), leaves_name(0)
Members = dict[str, bytes]


def cases() -> Iterator[Case]:
    """Every refusal of a bundle that takes no key: whoever carries it can try."""
    yield from _containers()
    yield from _members()
    yield from _records()
    yield from _contents()
    yield from _earlier()
    yield from _ends()


@dataclass
class Repacked(PaperLog):
    """A log whose portion is changed before the log itself states the manifest of it."""

    change: Callable[[Members], Mapping[str, bytes]] = lambda members: members

    def portion(self, leaves: Sequence[bytes]) -> dict[str, bytes]:
        return {**super().portion(leaves), **self.change(super().portion(leaves))}


def log_of(change: Callable[[Members], Mapping[str, bytes]] = lambda members: members) -> Repacked:
    log = Repacked(change=change)
    log.start()
    log.step(FIRST)
    return log


def _case(
    name: str, threat: str, code: str, data: bytes, exit_code: int = 3, **options: object
) -> Case:
    files = {"file": data, "trust": trust_in()}
    told = {"allow_software_tpm": True, **options}
    return Case(f"bundle-{name}", threat, code, "bundle", files, told, exit_code)


def _unpacked(data: bytes) -> Members:
    with open_tar(fileobj=BytesIO(data)) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar.getmembers())
        return {name: file.read() for name, file in files if file is not None}


def _packed(members: Mapping[str, bytes]) -> bytes:
    parts = (member_header(n, len(d)) + d + bytes(padding(len(d))) for n, d in members.items())
    return b"".join(parts) + END


GOOD = log_of().bundle()


def _containers() -> Iterator[Case]:
    members = _unpacked(GOOD)
    header = member_header(ENTRIES, len(members[ENTRIES]))
    assert GOOD.startswith(header)
    pad = len(header) + len(members[ENTRIES])
    link = header[:156] + b"2" + header[157:]
    swapped = {name: members[name] for name in sorted(members, reverse=True)}
    for name, threat, code, data in (
        ("cut", "the file was cut", "BUNDLE_TRUNCATED", GOOD[:3000]),
        ("no-end", "the end is missing", "BUNDLE_TRUNCATED", GOOD[: -len(END)]),
        ("empty", "nothing", "BUNDLE_TRUNCATED", b""),
        ("text", "no tar file", "BUNDLE_HEADER", b"no bundle\n" * 200),
        ("link", "a symbolic link", "BUNDLE_HEADER", link + GOOD[512:]),
        ("owner", "packed anew by another tool", "BUNDLE_HEADER",
         GOOD[:108] + b"0001750\0" + GOOD[116:]),
        ("name", "a path that leads out", "BUNDLE_NAME", _packed({"../../etc/passwd": b""})),
        ("foreign", "a member of another kind", "BUNDLE_NAME", _packed({**members, "x.sh": b""})),
        ("unsorted", "members in another order", "BUNDLE_ORDER", _packed(swapped)),
        ("twice", "a member twice, for tools that take the last", "BUNDLE_ORDER",
         _packed({ENTRIES: b""})[: -len(END)] + GOOD),
        ("padding", "something hidden behind a member", "BUNDLE_PADDING",
         GOOD[:pad] + b"x" + GOOD[pad + 1 :]),
        ("trailing", "something behind the end", "BUNDLE_TRAILING", GOOD + b"x"),
        ("huge-member", "a member without end", "BUNDLE_TOO_LARGE",
         member_header(ENTRIES, 8**11 - 1) + bytes(512)),
    ):  # fmt: skip
        yield _case(name, threat, code, data)


def _members() -> Iterator[Case]:
    members = _unpacked(GOOD)
    manifest = decode_text(members["manifest.json"], Manifest)
    other = msgspec.structs.replace(manifest, agent_version="9")
    flipped = members[LEAVES][:-1] + bytes([members[LEAVES][-1] ^ 1])
    deep = b"[" * 100_000 + b"]" * 100_000
    proof = encode_proof(PaperNode().proof(0))
    for name, threat, code, changed in (
        ("leaf-bit", "one bit of a member changed", "BUNDLE_DIGEST", {LEAVES: flipped}),
        ("manifest-changed", "another manifest than the log states", "CLOSING_MANIFEST",
         {"manifest.json": encode_text(other)}),
        ("manifest-cut", "a manifest cut short", "PARSE_NOT_JSON",
         {"manifest.json": members["manifest.json"][:-20]}),
        ("manifest-deep", "a manifest nested until a parser breaks", "PARSE_FIELD",
         {"manifest.json": deep}),
        ("manifest-spelling", "a manifest in another spelling", "PARSE_NOT_CANONICAL",
         {"manifest.json": members["manifest.json"] + b"\n"}),
        ("manifest-range", "a range of nothing", "BUNDLE_MEMBERS",
         {"manifest.json": encode_text(msgspec.structs.replace(manifest, end=0))}),
        ("tail-cut", "a tail cut short", "PARSE_NOT_JSON",
         {"tail.json": members["tail.json"][:-20]}),
        ("proof-other", "the proof of another record", "CLOSING_RECORD", {"proof.json": proof}),
        ("tail-empty", "the closing head left out", "HEAD_LAST",
         _tail(members, heads=[])),
        ("tail-path", "no path to the closing head", "TREE_CONSISTENCY",
         _tail(members, consistency=[])),
    ):  # fmt: skip
        yield _case(name, threat, code, _packed({**members, **changed}))
    fewer = {name: data for name, data in members.items() if name != LEAVES}
    yield _case("leaves-gone", "the leaves were taken out", "BUNDLE_MEMBERS", _packed(fewer))
    fewer = {name: data for name, data in members.items() if name != "tail.json"}
    yield _case("tail-gone", "the tail was taken out", "BUNDLE_MEMBERS", _packed(fewer))
    more = dict(sorted({**members, f"logs/{'11' * 32}.boot-log": b"x"}.items()))
    yield _case("log-more", "a log that nobody listed", "BUNDLE_MEMBERS", _packed(more))


def _tail(members: Members, **changes: Any) -> Members:
    tail = decode_text(members["tail.json"], Tail)
    return {"tail.json": encode_text(msgspec.structs.replace(tail, **changes))}


def _records() -> Iterator[Case]:
    """The log states the manifest of these members: an exporter who lies, or a log that does."""
    records = log_of().records
    changed = replace(records[1], payload=records[1].payload.replace(b"cycle", b"start"))
    hidden = b"".join(
        encode_leaf(Disclosure.QUARANTINE if at == 0 else Disclosure.SHOWN, leaf)
        for at, leaf in enumerate(log_of().leaves())
    )
    without = _entries(records[1:])
    for name, threat, code, members in (
        ("record-missing", "a record was left out", "RECORD_SEQUENCE", without),
        ("record-twice", "a record is there twice", "RECORD_SEQUENCE",
         _entries([*records[:2], *records[1:]])),
        ("record-swapped", "two records changed places", "RECORD_SEQUENCE",
         _entries([records[1], records[0], *records[2:]])),
        ("record-more", "a record more than the leaves", "RECORD_SEQUENCE",
         _entries([*records, replace(records[0], seq=len(records))])),
        ("record-changed", "a record was changed", "RECORD_LEAF",
         _entries([records[0], changed, *records[2:]])),
        ("entries-cut", "a record cut short", "BUNDLE_ENTRY",
         {ENTRIES: frame(b"".join(map(entry, records))[:-1])}),
        ("entries-bit", "a record damaged", "BUNDLE_ENTRY",
         {ENTRIES: frame(b"".join(map(entry, records))[:-1] + b"\xff")}),
        ("not-compressed", "entries that are not compressed", "BUNDLE_COMPRESSION",
         {ENTRIES: b"".join(map(entry, records))}),
        ("bomb", "entries that would fill the memory", "BUNDLE_TOO_LARGE",
         {ENTRIES: b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\1\0\0"}),
        ("leaves-short", "a leaf too few", "BUNDLE_LEAVES", {LEAVES: hidden[:-33]}),
        ("leaves-kind", "a reason that nobody knows", "BUNDLE_LEAVES",
         {LEAVES: b"\x77" + hidden[1:]}),
    ):  # fmt: skip
        yield _case(name, threat, code, _repacked(members))
    threat = "another leaf in the place of a withheld record"
    yield _case("tree-leaf", threat, "TREE_ROOT", _invented_leaf(0))
    yield _case("tree-leaf-early", threat, "HEAD_ROOT", _invented_leaf(1))
    threat = "a record withheld and not counted"
    yield _case("sums-withheld", threat, "BUNDLE_SUMS", _repacked({**without, LEAVES: hidden}))
    threat = "other kinds than there are"
    yield _case("sums-kinds", threat, "BUNDLE_SUMS", log_of().bundle(kinds={"boot": 1}))
    threat = "a range under a root of its own"
    yield _case("range-root", threat, "CLOSING_RANGE", log_of().bundle(root="00" * 32))
    threat = "peaks of records before the first"
    yield _case("peaks", threat, "TREE_PEAKS", log_of().bundle(peaks=["00" * 32]))


def _invented_leaf(heads: int) -> bytes:
    """The last record is withheld, and its leaf is none of the log; heads cover it, or do not."""
    log = log_of()
    seq = log.append(Kind.QUARANTINE, b"whatever")
    for _ in range(heads):
        log.head()

    def change(members: Members) -> Members:
        shown = [record for record in log.records if record.seq != seq]
        place = 33 * seq
        leaf = encode_leaf(Disclosure.QUARANTINE, bytes(32))
        leaves = members[LEAVES][:place] + leaf + members[LEAVES][place + 33 :]
        return {**_entries(shown), LEAVES: leaves}

    log.change = change
    return log.bundle(withheld={"quarantine": 1})


def _entries(records: Sequence[Record]) -> Members:
    return {ENTRIES: frame(b"".join(map(entry, records)))}


def _repacked(members: Mapping[str, bytes], **manifest: Any) -> bytes:
    return log_of(lambda _: members).bundle(**manifest)


def _contents() -> Iterator[Case]:
    def append(kind: Kind, payload: bytes, sender: bytes = OWN) -> Callable[[PaperLog], object]:
        return lambda log: log.append(kind, payload, sender)

    created = KeyRecord(KeyEvent.CREATED, b"\x00\x0b" + bytes(32), ak_public(), "tpm")
    sender = provenance(listener="intake", tenant=TENANT, applied_level=0)
    for name, threat, code, change in (
        ("boot-record", "a boot record that is none", "RECORD_CONTENT", append(Kind.BOOT, b"[]")),
        ("intent-record", "an intent that is none", "RECORD_CONTENT",
         append(Kind.COUNTER_INTENT, b"{}")),
        ("gap-record", "a gap that is none", "GAP_RECORD", append(Kind.GAP, b"{}")),
        ("head-other-log", "a head of another log", "HEAD_ORIGIN",
         lambda log: log.head(note={"log_id": "ef" * 16})),
        ("head-key", "a key that signed before it was made", "HEAD_KEY",
         append(Kind.KEY, encode_key_record(created))),
        ("head-quoted-twice", "two quotes of one head", "HEAD_QUOTE", _quoted_twice),
    ):  # fmt: skip
        yield own_log(name, threat, code, change)
    secret = append(Kind.RELAYED, witness(clearing_level=0, ai_prompt="secret"), sender)
    threat = "more than may leave at the level of the manifest"
    yield own_log("level", threat, "CLEARING_LEVEL", secret, level=3)
    yield _case("ima-parts", "a part of the IMA log left out", "IMA_LOG_PARTS", _two_parts())


def _two_parts() -> bytes:
    """Both readings say that their part is the first."""
    log = log_of()
    true = dict(log.pcrs)
    log.pcrs = {**true, 10: bytes(32)}
    logs = (ima_entry(ima_ng(path, bytes(32))) for path in ("/a", "/b"))
    parts = [log.read_platform(**{"ima-log": part}) for part in logs]
    log.pcrs = true
    log.head()
    return log.bundle(boots=[BootInfo(log.boot, parts, parts)])


def _quoted_twice(log: PaperLog) -> None:
    quoted = next(r for r in reversed(log.records) if b'"note"' in r.payload)
    log.append(Kind.CHECKPOINT, quoted.payload)


def _earlier() -> Iterator[Case]:
    log = log_of()
    leaves = log.leaves()
    shown = encode_earlier(log.records[1], *salts(SEGMENT_KEY, 1))
    path = [node.hex() for node in inclusion_path(leaves, 1)]
    for name, threat, code, earlier in (
        ("none", "no record", "EARLIER_RECORD", EarlierRecord("AA==", [])),
        ("base64", "no Base 64", "EARLIER_RECORD", EarlierRecord("?", [])),
        ("path", "no record of this log", "EARLIER_INCLUSION", EarlierRecord(shown, path[:-1])),
        ("place", "a record of the range itself", "EARLIER_ORDER", EarlierRecord(shown, path)),
    ):
        threat = f"shown as a record before the range: {threat}"
        yield _case(f"earlier-{name}", threat, code, log_of().bundle(earlier=[earlier]))


def _ends() -> Iterator[Case]:
    log = PaperLog()
    log.start()
    log.head()
    log.reboot()
    log.start()
    log.step(9)
    threat = "a boot before the counter was ever certified"
    yield _case("counter-start", threat, "COUNTER_START", log.bundle(), UNDECIDED)
