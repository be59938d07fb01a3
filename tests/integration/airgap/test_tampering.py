"""What a carrier can do to a bundle, and what root on the node can, each with its own code."""

import json
import random
import tracemalloc
from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
import zstandard

from swt3_agent.protocol.bundle import Manifest, iter_entries
from swt3_agent.protocol.record import encode_record
from swt3_agent.protocol.trust import Floors
from swt3_agent.protocol.ustar import END
from tests.integration.airgap.conftest import Handed
from tests.support.bundles import export, judged, pack, packed, rebound, trust_in, unpack

ENTRIES, LEAVES = "data/000000.entries.zst", "data/000000.leaves"
FALSE = 3
Members = dict[str, bytes]


def compressed(entries: list[bytes]) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(b"".join(entries))


def entries_of(members: Members) -> list[bytes]:
    data = zstandard.ZstdDecompressor().decompress(members[ENTRIES])
    return [p + v + encode_record(record) for p, v, record in iter_entries(data)]


def with_text(members: Members, name: str, change: Callable[[dict[str, object]], None]) -> Members:
    tree = json.loads(members[name])
    change(tree)
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**members, name: text.encode() + b"\n"}


def code_of(bundle: bytes, handed: Handed) -> str:
    report = judged(bundle, handed.trust)
    assert report.exit_code == FALSE
    assert report.to_json()["bundle"] is None
    assert report.remedy
    return report.code


@pytest.mark.parametrize("seed", range(40))
def test_no_bit_of_a_bundle_can_be_flipped(handed: Handed, seed: int) -> None:
    bundle = bytearray(handed.second)
    place = random.Random(seed).randrange(8 * len(bundle))
    bundle[place // 8] ^= 1 << place % 8
    assert judged(bytes(bundle), handed.trust).exit_code != 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (ENTRIES, "BUNDLE_DIGEST"),
        (LEAVES, "BUNDLE_DIGEST"),
        ("boot-heads", "BUNDLE_DIGEST"),
    ],
)
def test_a_changed_member_is_not_what_the_manifest_says(
    handed: Handed, name: str, code: str
) -> None:
    members = handed.members
    data = members[name]
    changed = {**members, name: data[:-1] + bytes([data[-1] ^ 1])}
    assert code_of(pack(changed), handed) == code


@pytest.mark.parametrize("name", ["manifest.json", "proof.json", "tail.json"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_changed_text_is_refused(handed: Handed, name: str, part: float) -> None:
    members = handed.members
    data = bytearray(members[name])
    data[int(len(data) * part)] ^= 1
    assert judged(pack({**members, name: bytes(data)}), handed.trust).exit_code != 0


@pytest.mark.parametrize("part", [0.0001, 0.3, 0.7, 0.999])
def test_a_truncated_bundle_is_refused(handed: Handed, part: float) -> None:
    cut = handed.second[: int(len(handed.second) * part)]
    assert code_of(cut, handed) == "BUNDLE_TRUNCATED"


def test_trailing_bytes_are_refused(handed: Handed) -> None:
    assert code_of(handed.second + b"x", handed) == "BUNDLE_TRAILING"
    assert code_of(handed.second[:-1] + b"x", handed) == "BUNDLE_TRAILING"


def test_a_member_twice_or_out_of_order_is_refused(handed: Handed) -> None:
    members = handed.members
    leaves = packed(LEAVES, members[LEAVES])
    whole = pack(members)
    assert code_of(whole.replace(leaves, leaves + leaves), handed) == "BUNDLE_ORDER"
    backwards = dict(reversed(members.items()))
    assert code_of(pack(backwards), handed) == "BUNDLE_ORDER"


@pytest.mark.parametrize("name", ["/etc/passwd", "../tail.json", "data/x", "data/0000000.leaves"])
def test_a_member_of_another_name_is_refused(handed: Handed, name: str) -> None:
    assert code_of(packed(name, b"") + handed.second, handed) == "BUNDLE_NAME"


@pytest.mark.parametrize("kind", [b"1", b"2", b"5", b"L", b"x"])
def test_what_is_no_plain_file_is_refused(handed: Handed, kind: bytes) -> None:
    header = bytearray(handed.second[:512])
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert code_of(bytes(header) + handed.second[512:], handed) == "BUNDLE_HEADER"


def test_a_filled_padding_is_refused(handed: Handed) -> None:
    bundle = bytearray(handed.second)
    assert len(handed.members["boot-heads"]) % 512
    bundle[512 + len(handed.members["boot-heads"])] = 1
    assert code_of(bytes(bundle), handed) == "BUNDLE_PADDING"


@pytest.mark.parametrize("name", ["manifest.json", "proof.json", "tail.json", ENTRIES, LEAVES])
def test_a_missing_member_is_refused(handed: Handed, name: str) -> None:
    members = handed.members
    del members[name]
    assert code_of(pack(members), handed) == "BUNDLE_MEMBERS"


def test_the_manifest_of_another_bundle_is_refused(handed: Handed) -> None:
    other = unpack(handed.first)["manifest.json"]
    assert code_of(pack({**handed.members, "manifest.json": other}), handed) == "CLOSING_MANIFEST"


def test_a_proof_of_another_record_does_not_close_a_bundle(handed: Handed) -> None:
    other = unpack(handed.first)["proof.json"]
    assert code_of(pack({**handed.members, "proof.json": other}), handed) == "CLOSING_MANIFEST"


def test_an_empty_tar_file_is_refused(handed: Handed) -> None:
    assert code_of(END, handed) == "BUNDLE_MEMBERS"


# What follows, root does: the log itself vouches for the manifest that he made.

RECORDS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "dropped": (lambda entries: entries[:2] + entries[3:], "RECORD_SEQUENCE"),
    "reordered": (lambda entries: [entries[1], entries[0], *entries[2:]], "RECORD_SEQUENCE"),
    "duplicated": (lambda entries: [entries[0], *entries], "RECORD_SEQUENCE"),
    "added": (lambda entries: [*entries, entries[0]], "RECORD_SEQUENCE"),
    "salted": (lambda entries: [b"\0" * 32 + entries[0][32:], *entries[1:]], "RECORD_LEAF"),
    "torn": (lambda entries: [*entries[:-1], entries[-1][:-1]], "BUNDLE_ENTRY"),
    "damaged": (lambda entries: [entries[0][:-1] + b"!", *entries[1:]], "BUNDLE_ENTRY"),
}


@pytest.mark.parametrize(("change", "code"), RECORDS.values(), ids=RECORDS)
def test_root_cannot_change_records(
    handed: Handed, change: Callable[[list[bytes]], list[bytes]], code: str
) -> None:
    members = handed.members
    members[ENTRIES] = compressed(change(entries_of(members)))
    assert code_of(rebound(handed.node, members), handed) == code


def test_root_cannot_put_in_records_of_another_log(handed: Handed) -> None:
    members = {**handed.members, ENTRIES: unpack(handed.first)[ENTRIES]}
    assert code_of(rebound(handed.node, members), handed) == "RECORD_SEQUENCE"


def test_root_cannot_change_leaves(handed: Handed) -> None:
    members = handed.members
    leaves = bytearray(members[LEAVES])
    withheld = next(at for at in range(0, len(leaves), 33) if leaves[at])
    leaves[withheld + 1] ^= 1
    changed = {**members, LEAVES: bytes(leaves)}
    assert code_of(rebound(handed.node, changed), handed) in {"HEAD_ROOT", "TREE_ROOT"}
    assert code_of(rebound(handed.node, {**members, LEAVES: b""}), handed) == "BUNDLE_LEAVES"
    leaves[withheld] = 200
    changed = {**members, LEAVES: bytes(leaves)}
    assert code_of(rebound(handed.node, changed), handed) == "BUNDLE_LEAVES"


def test_a_decompression_bomb_is_refused_before_it_grows(handed: Handed) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    members = {**handed.members, ENTRIES: bomb}
    assert code_of(rebound(handed.node, members), handed) == "BUNDLE_TOO_LARGE"
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(b"")
    members[ENTRIES] = silent
    assert code_of(rebound(handed.node, members), handed) == "BUNDLE_COMPRESSION"
    members[ENTRIES] = handed.members[ENTRIES] + silent
    assert code_of(rebound(handed.node, members), handed) == "BUNDLE_COMPRESSION"


MANIFEST: dict[str, tuple[dict[str, object], str]] = {
    "another tenant": ({"tenant": "OTHER"}, "TENANT_MISMATCH"),
    "a level that the records exceed": ({"level": 3}, "CLEARING_LEVEL"),
    "fewer records": ({"kinds": {}}, "BUNDLE_SUMS"),
    "nothing withheld": ({"withheld": {}}, "BUNDLE_SUMS"),
    "another root": ({"root": "00" * 32}, "CLOSING_RANGE"),
    "no peaks": ({"peaks": []}, "TREE_PEAKS"),
    "another node": ({"node_id": "00" * 16}, "IDENTITY"),
    "another register": ({"log_pcr": 12}, "QUOTE_PCR_SELECTION"),
    "no keys": ({"keys": []}, "NOTE_KEY_ID"),
    "no head before": ({"previous": None}, "HEAD_CHAIN"),
}


@pytest.mark.parametrize(("changes", "code"), MANIFEST.values(), ids=MANIFEST)
def test_root_cannot_say_otherwise_in_the_manifest(
    handed: Handed, changes: dict[str, object], code: str
) -> None:
    assert code_of(rebound(handed.node, handed.members, **changes), handed) == code


def test_root_cannot_hide_the_heads_before_the_range(handed: Handed) -> None:
    members = handed.members
    heads = members["boot-heads"]
    without = {name: data for name, data in members.items() if name != "boot-heads"}
    assert code_of(rebound(handed.node, without), handed) == "HEAD_CHAIN"
    members["boot-heads"] = heads[:-32]
    assert code_of(rebound(handed.node, members), handed) == "HEAD_CHAIN"
    members["boot-heads"] = heads[:-1]
    assert code_of(rebound(handed.node, members), handed) == "BUNDLE_LEAVES"


def test_a_head_cannot_be_dropped_after_the_range(handed: Handed) -> None:
    members = handed.members
    heads = len(json.loads(members["tail.json"])["heads"])
    assert heads == 2
    for place, code in ((0, "HEAD_PREVIOUS"), (-1, "HEAD_LAST")):
        dropped = with_text(members, "tail.json", lambda tail, at=place: tail["heads"].pop(at))  # type: ignore[misc]  # a list in it
        assert code_of(pack(dropped), handed) == code


def test_the_way_from_the_range_to_the_last_head_cannot_change(handed: Handed) -> None:
    members = handed.members
    for path in ("consistency", "previous"):
        changed = with_text(members, "tail.json", lambda tail, name=path: tail[name].pop())  # type: ignore[misc]  # a list in it
        assert code_of(pack(changed), handed) == "TREE_CONSISTENCY"


def test_texts_have_one_spelling(handed: Handed) -> None:
    members = handed.members
    spaced = {**members, "tail.json": members["tail.json"].replace(b":", b": ", 1)}
    assert code_of(pack(spaced), handed) == "PARSE_NOT_CANONICAL"
    unknown = with_text(members, "tail.json", lambda tail: tail.update(more=1))
    assert code_of(pack(unknown), handed) == "PARSE_FIELD"
    assert msgspec.json.decode(members["manifest.json"], type=Manifest).first > 0


def test_the_head_before_the_range_lies_before_it(handed: Handed) -> None:
    """Else a log could begin with a head that it never had, and heads of another before that."""
    previous = msgspec.json.decode(handed.members["manifest.json"], type=Manifest).previous
    assert previous is not None
    moved = msgspec.structs.replace(previous, seq=previous.seq + 1000)
    bundle = rebound(handed.node, handed.members, previous=moved)
    assert code_of(bundle, handed) == "BUNDLE_MEMBERS"


def test_the_range_grows_out_of_the_enrolled_log(handed: Handed) -> None:
    size = 30
    for root, code in ((handed.node.journal.root(size), "VERIFIED"), (bytes(32), "FLOOR_ROOT")):
        trust = trust_in(handed.node, floors=Floors(size, root, 0, 0, 0))
        bundle = export(handed.node, handed.directory / f"{code}.tar", 20, 40)
        assert judged(bundle, trust).code == code


def test_another_trust_format_is_not_tampering(handed: Handed) -> None:
    report = judged(handed.second, handed.trust.replace(b"trust/1", b"trust/9", 1))
    assert (report.code, report.exit_code) == ("TRUST_FORMAT_UNKNOWN", 4)


@pytest.mark.parametrize("name", ["manifest.json", "tail.json"])
@pytest.mark.parametrize("item", [b"{}", b"[]", b"1"])
def test_a_text_of_a_million_misfits_is_refused_at_the_first(
    handed: Handed, name: str, item: bytes
) -> None:
    items = b",".join([item] * 1_000_000)
    for member in (b"heads", b"members", b"unknown"):
        text = b'{"format":"swt3-agent/bundle/1","%s":[%s]}\n' % (member, items)
        bundle = pack({**handed.members, name: text})
        tracemalloc.start()
        try:
            assert code_of(bundle, handed) == "PARSE_FIELD"
            assert tracemalloc.get_traced_memory()[1] < 10 * len(text) + 2**20
        finally:
            tracemalloc.stop()


def test_a_text_nested_without_end_is_refused(handed: Handed) -> None:
    bundle = pack({**handed.members, "tail.json": b'{"format":' + b"[" * 1_000_000})
    assert code_of(bundle, handed) in {"PARSE_TOO_DEEP", "PARSE_NOT_JSON"}


def test_a_false_bundle_can_be_named_by_its_digest(handed: Handed) -> None:
    bundle = handed.second[:-1]
    report = judged(bundle, handed.trust)
    assert report.hashes == {"bundle": sha256(bundle).hexdigest()}
