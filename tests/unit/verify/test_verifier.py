"""What the verifier accepts, and every way to lie to it: docs/formats.md, "Verification"."""

import struct
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from swt3_agent.protocol.checkpoint import CHECKPOINT_DOMAIN, LOG_PCRS, parse_body
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.log_tree import (
    inclusion_path,
    leaf_from_digests,
    node_hash,
    tree_root,
)
from swt3_agent.protocol.note import NoteSignature, encode_note, parse_note
from swt3_agent.protocol.proof import Proof, ProvenRecord, Salted, encode_proof
from swt3_agent.protocol.trust import Floors, TpmKind
from swt3_agent.verify import Outcome, Report, verify_proof
from tests.support import forge
from tests.support.forge import (
    TENANT,
    UTC_MS,
    WITNESS_SEQ,
    PaperNode,
    ak_public,
    provenance,
    statement,
    trust_file,
    witness,
)

NODE = PaperNode()
TRUST = trust_file()


def judge(
    proof: Proof | bytes,
    trust: bytes | None = TRUST,
    *,
    allow_software_tpm: bool = True,
    now_ms: int | None = UTC_MS,
) -> Report:
    data = proof if isinstance(proof, bytes) else encode_proof(proof)
    return verify_proof(data, trust=trust, allow_software_tpm=allow_software_tpm, now_ms=now_ms)


def refused(proof: Proof | bytes, code: str, trust: bytes | None = TRUST) -> None:
    """FALSE with this code, whatever the verifier is allowed or given besides."""
    for each in (judge(proof, trust), judge(proof, trust, allow_software_tpm=False, now_ms=None)):
        assert (each.code, each.outcome, each.exit_code) == (code, Outcome.FALSE, 3)
        assert each.reason
        assert each.remedy
        assert each.checks[-1].ok is False
        assert (each.record, each.head, each.not_proven) == (None, None, ())


def changed_context(**changes: Any) -> Proof:
    proof = NODE.proof(WITNESS_SEQ)
    assert proof.quote is not None
    return replace(proof, quote=replace(proof.quote, **changes))


def changed_record(**changes: Any) -> Proof:
    proof = NODE.proof(WITNESS_SEQ)
    return replace(proof, record=replace(proof.record, **changes))


def signed_differently(**changes: Any) -> Proof:
    """An honest proof but for the quote, which says something else, and is signed all the same."""
    return replace(NODE, quote=replace(NODE.quote, **changes)).proof(WITNESS_SEQ)


def pcrs_of(proof: Proof) -> dict[int, bytes]:
    assert proof.quote is not None
    return dict(proof.quote.pcrs)


# ---- what is right --------------------------------------------------------------------------


@pytest.mark.parametrize("seq", range(7))
@pytest.mark.parametrize("disclosed", [True, False])
def test_a_record_under_an_enrolled_key_is_verified(seq: int, disclosed: bool) -> None:
    report = judge(NODE.proof(seq, disclosed=disclosed))
    assert (report.outcome, report.code, report.exit_code) == (Outcome.VERIFIED, "VERIFIED", 0)
    assert all(check.ok is not False for check in report.checks)
    assert report.root_of_trust is RootOfTrust.SOFTWARE_TPM
    assert report.record is not None
    assert (report.record.payload, report.record.seq) == (NODE.records[seq][1], seq)


def test_a_log_of_one_record_is_verified() -> None:
    node = replace(NODE, records=forge.some_records()[:1])
    trust = trust_file(node, floors=None)
    assert judge(node.proof(0), trust).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("log_pcr", sorted(LOG_PCRS))
def test_the_log_may_be_in_any_register_that_can_hold_it(log_pcr: int) -> None:
    node = replace(NODE, log_pcr=log_pcr)
    assert judge(node.proof(1), trust_file(log_pcr=log_pcr)).outcome is Outcome.VERIFIED


def test_a_hardware_tpm_needs_no_permission() -> None:
    report = judge(NODE.proof(0), trust_file(tpm=TpmKind.HARDWARE), allow_software_tpm=False)
    assert report.outcome is Outcome.VERIFIED
    assert report.root_of_trust is RootOfTrust.TPM


def test_signatures_of_others_beside_the_ak_s_are_ignored() -> None:
    proof = NODE.proof(0)
    body, lines = parse_note(proof.note)
    cosigned = encode_note(body, [NoteSignature("witness.example", b"1234", b"any"), *lines])
    assert judge(replace(proof, note=cosigned)).outcome is Outcome.VERIFIED


def test_an_unclean_stop_of_the_tpm_is_flagged_and_not_fatal() -> None:
    report = judge(signed_differently(safe=0))
    assert report.outcome is Outcome.VERIFIED
    assert any("safe=0" in limit for limit in report.not_proven)


# ---- what cannot be judged ------------------------------------------------------------------


def undecided(report: Report, code: str) -> None:
    assert (report.code, report.outcome, report.exit_code) == (code, Outcome.UNDECIDED, 4)
    assert report.remedy


def test_a_key_that_nobody_vouches_for_is_undecided() -> None:
    report = judge(NODE.proof(WITNESS_SEQ), None)
    undecided(report, "SIGNER_UNANCHORED")
    assert report.root_of_trust is RootOfTrust.SELF_REPORTED
    assert report.trusted == "nobody"


@pytest.mark.parametrize("trust", [None, TRUST])
def test_a_head_that_nobody_signed_is_undecided(trust: bytes | None) -> None:
    report = judge(NODE.unsigned_proof(WITNESS_SEQ), trust)
    undecided(report, "LOG_UNSIGNED")
    assert report.root_of_trust is RootOfTrust.SELF_REPORTED
    assert report.trusted == "nobody"
    assert report.head is not None
    assert report.head.tpm_clock_ms is None


def test_a_software_tpm_is_refused_unless_it_is_allowed() -> None:
    report = judge(NODE.proof(WITNESS_SEQ), allow_software_tpm=False)
    undecided(report, "SOFTWARE_TPM")
    assert report.root_of_trust is RootOfTrust.SOFTWARE_TPM


@pytest.mark.parametrize("data", [b"{}\n", b'{"format":"swt3-agent/proof/2"}\n', b"[1]"])
def test_a_file_of_another_format_is_undecided(data: bytes) -> None:
    undecided(judge(data), "PARSE_FORMAT_UNKNOWN")


def test_a_trust_file_of_another_format_is_undecided() -> None:
    body, lines = parse_note(TRUST)
    later = encode_note(body.replace(b"trust/1", b"trust/9"), lines)
    report = judge(NODE.proof(0), later)
    undecided(report, "TRUST_FORMAT_UNKNOWN")
    assert report.checks[-1].ok is None


# ---- tampering wins over doubt --------------------------------------------------------------


@pytest.mark.parametrize("trust", [None, TRUST])
def test_a_changed_record_is_false_even_where_nothing_could_be_true(trust: bytes | None) -> None:
    unsigned = NODE.unsigned_proof(WITNESS_SEQ)
    payload = replace(unsigned.record.payload, content=b"{}")
    tampered = replace(unsigned, record=replace(unsigned.record, payload=payload))
    refused(tampered, "LEAF_MISMATCH", trust)


def test_a_head_from_the_future_is_false_even_if_unsigned() -> None:
    report = judge(NODE.unsigned_proof(0), None, now_ms=UTC_MS - 300_001)
    assert (report.code, report.outcome) == ("NOTE_FUTURE", Outcome.FALSE)
    undecided(judge(NODE.unsigned_proof(0), None, now_ms=UTC_MS - 300_000), "LOG_UNSIGNED")


# ---- the file -------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 100, 1000, -1])
def test_a_truncated_proof_is_false(cut: int) -> None:
    report = judge(encode_proof(NODE.proof(WITNESS_SEQ))[:cut])
    assert report.outcome is Outcome.FALSE
    assert report.code in {"PARSE_NOT_JSON", "PARSE_NOT_CANONICAL"}


@pytest.mark.parametrize(
    ("note", "code"),
    [
        (b"no note at all\n\nof any kind\n", "NOTE_FORMAT"),
        (b"not four lines\n", "NOTE_BODY"),
        (b"", "NOTE_BODY"),
    ],
)
def test_a_note_that_is_none_is_false(note: bytes, code: str) -> None:
    refused(replace(NODE.proof(0), note=note), code)


@pytest.mark.parametrize("change", [{"node_id": "ba" * 16}, {"log_id": "dc" * 16}], ids=str)
def test_a_proof_that_names_another_node_or_log_is_false(change: dict[str, str]) -> None:
    refused(replace(NODE.proof(0), **change), "IDENTITY")  # type: ignore[arg-type]


# ---- the record and its place ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["payload", "provenance"])
@pytest.mark.parametrize("part", ["salt", "content"])
def test_a_changed_record_is_false(where: str, part: str) -> None:
    salted = getattr(NODE.proof(WITNESS_SEQ).record, where)
    value = bytearray(getattr(salted, part))
    value[0] ^= 1
    refused(changed_record(**{where: replace(salted, **{part: bytes(value)})}), "LEAF_MISMATCH")


def test_a_changed_digest_of_withheld_provenance_is_false() -> None:
    proof = NODE.proof(WITNESS_SEQ, disclosed=False)
    record = replace(proof.record, provenance=sha256(b"other").digest())
    refused(replace(proof, record=record), "LEAF_MISMATCH")


def test_a_record_claimed_at_another_place_is_false() -> None:
    refused(changed_record(seq=WITNESS_SEQ - 1), "LEAF_MISMATCH")


def leaf_without_its_domain(seq: int, record: ProvenRecord) -> bytes:
    assert isinstance(record.provenance, Salted)
    content = struct.pack(">Q", seq) + record.payload.digest() + record.provenance.digest()
    return sha256(b"\x00" + content).digest()


def test_a_leaf_of_another_domain_is_false() -> None:
    record = NODE.proof(WITNESS_SEQ).record
    leaf = leaf_without_its_domain(WITNESS_SEQ, record)
    refused(changed_record(leaf=leaf), "LEAF_MISMATCH")


def test_a_record_that_was_never_logged_is_false() -> None:
    invented = Salted(bytes(16), b"never happened")
    honest = NODE.proof(WITNESS_SEQ).record
    assert isinstance(honest.provenance, Salted)
    leaf = leaf_from_digests(WITNESS_SEQ, invented.digest(), honest.provenance.digest())
    refused(changed_record(payload=invented, leaf=leaf), "INCLUSION_MISMATCH")


def test_a_record_beyond_the_head_is_false() -> None:
    longer = replace(NODE, records=[*NODE.records, (b"{}", b"{}")])
    late = longer.proof(7)
    refused(replace(late, note=NODE.signed_note(), quote=NODE.proof(0).quote), "INCLUSION_RANGE")


@pytest.mark.parametrize("change", ["changed", "shorter", "longer", "reversed", "of another leaf"])
def test_a_wrong_path_is_false(change: str) -> None:
    proof = NODE.proof(WITNESS_SEQ)
    path = proof.inclusion
    wrong = {
        "changed": (sha256(b"other").digest(), *path[1:]),
        "shorter": path[:-1],
        "longer": (*path, bytes(32)),
        "reversed": path[::-1],
        "of another leaf": tuple(inclusion_path(NODE.leaves(), WITNESS_SEQ - 1)),
    }[change]
    refused(replace(proof, inclusion=wrong), "INCLUSION_MISMATCH")


def proof_under_root(root: bytes, size: int, seq: int, path: tuple[bytes, ...]) -> Proof:
    """A proof of ``seq`` under a properly quoted head that states this root and size."""

    class WithRoot(PaperNode):
        def note(self) -> Any:
            return replace(super().note(), root=root, size=size)

    return replace(WithRoot().proof(seq), inclusion=path)


def test_a_tree_without_node_domain_is_false() -> None:
    left, right = NODE.leaves()[:2]
    root = sha256(left + right).digest()
    refused(proof_under_root(root, 2, 0, (right,)), "INCLUSION_MISMATCH", trust_file(floors=None))


def test_a_tree_with_a_duplicated_odd_leaf_is_false() -> None:
    one, two, three = NODE.leaves()[:3]
    twice = node_hash(three, three)
    root = node_hash(node_hash(one, two), twice)
    path = (three, node_hash(one, two))
    refused(proof_under_root(root, 3, 2, path), "INCLUSION_MISMATCH", trust_file(floors=None))


def test_a_head_of_another_root_is_false() -> None:
    other = replace(NODE, records=[*NODE.records[:6], (b"{}", b"rewritten")])
    proof = replace(other.proof(6), inclusion=NODE.proof(6).inclusion)
    refused(replace(proof, record=NODE.proof(6).record), "INCLUSION_MISMATCH")


# ---- the signature --------------------------------------------------------------------------


def test_a_signature_that_was_removed_is_false() -> None:
    proof = NODE.proof(0)
    refused(replace(proof, note=NODE.note().body()), "NOTE_SIGNATURE_MISSING")
    refused(replace(proof, quote=None), "NOTE_SIGNATURE_MISSING")


def with_signature(blob: bytes) -> Proof:
    proof = NODE.proof(0)
    body, (line,) = parse_note(proof.note)
    return replace(proof, note=encode_note(body, [replace(line, signature=blob)]))


def quote_parts() -> tuple[bytes, bytes]:
    body = NODE.note().body()
    attest = NODE.quote.attest(body, NODE.pcrs(body))
    return attest, forge.sign(forge.AK, attest)


def test_a_signature_line_of_another_name_or_key_id_is_false() -> None:
    proof = NODE.proof(0)
    body, (line,) = parse_note(proof.note)
    for other in (replace(line, name="another/log"), replace(line, key_id=b"0000")):
        refused(replace(proof, note=encode_note(body, [other])), "NOTE_KEY_ID")


def test_a_head_signed_by_another_key_than_the_one_shown_is_false() -> None:
    impostor = replace(NODE, key=forge.OTHER_AK)
    refused(impostor.proof(0), "NOTE_KEY_ID")


def test_a_signature_that_the_key_did_not_make_is_false() -> None:
    attest, _ = quote_parts()
    der = forge.sign(forge.OTHER_AK, attest)
    refused(with_signature(forge.sized(attest) + forge.sized(der)), "NOTE_SIGNATURE")


def test_a_changed_attestation_is_false() -> None:
    attest, der = quote_parts()
    changed = attest[:-1] + bytes([attest[-1] ^ 1])
    refused(with_signature(forge.sized(changed) + forge.sized(der)), "NOTE_SIGNATURE")


@pytest.mark.parametrize("blob", [b"\x00", b"\xff\xff", b"\x00\x01a", b"\x00\x01a\x00\x01bc"])
def test_a_signature_that_is_no_pair_is_false(blob: bytes) -> None:
    refused(with_signature(blob), "NOTE_SIGNATURE_FORMAT")


@pytest.mark.parametrize(
    ("der", "code"),
    [
        (b"0\x06\x02\x01\x00\x02\x01\x01", "SIGNATURE_RANGE"),
        (b"0\x07\x02\x02\x00\x01\x02\x01\x01", "SIGNATURE_DER"),
        (b"0\x06\x02\x01\x01\x02\x01", "SIGNATURE_DER"),
        (b"1\x06\x02\x01\x01\x02\x01\x01", "SIGNATURE_DER"),
        (b"0" * 80, "SIGNATURE_OVERSIZED"),
    ],
)
def test_a_signature_that_is_not_der_is_false(der: bytes, code: str) -> None:
    attest, _ = quote_parts()
    refused(with_signature(forge.sized(attest) + forge.sized(der)), code)


# ---- the attestation ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"magic": b"TCG\xff"}, "ATTEST_MAGIC"),
        ({"type": 0x8019}, "ATTEST_TYPE"),
        ({"type": 0x801A}, "ATTEST_TYPE"),
        ({"safe": 2}, "ATTEST_FIELD"),
        ({"trailing": b"\x00"}, "ATTEST_TRAILING"),
        ({"info": b"\x00\x00"}, "ATTEST_TRUNCATED"),
        ({"info": b"\xff\xff\xff\xff"}, "ATTEST_OVERSIZED"),
        ({"signer": bytes(67)}, "ATTEST_OVERSIZED"),
    ],
    ids=str,
)
def test_what_is_no_quote_is_false(changes: dict[str, Any], code: str) -> None:
    refused(signed_differently(**changes), code)


def test_a_counter_certificate_is_no_checkpoint() -> None:
    contents = forge.sized(bytes(34)) + struct.pack(">H", 0) + forge.sized(bytes(8))
    refused(signed_differently(type=0x8014, info=contents), "ATTEST_TYPE")


@pytest.mark.parametrize("size", [0, 8, 16, 31, 33, 64])
def test_a_challenge_offered_as_a_checkpoint_is_false(size: int) -> None:
    refused(signed_differently(extra=bytes(size)), "QUOTE_CHALLENGE")


def test_a_quote_of_another_note_is_false() -> None:
    other = replace(NODE.note(), size=6).body()
    extra = sha256(CHECKPOINT_DOMAIN + other).digest()
    refused(signed_differently(extra=extra), "QUOTE_OTHER_NOTE")


def test_a_quote_under_another_domain_is_false() -> None:
    body = NODE.note().body()
    for domain in (b"", b"swt3-agent:v1:statement:"):
        refused(signed_differently(extra=sha256(domain + body).digest()), "QUOTE_OTHER_NOTE")


@pytest.mark.parametrize("field", ["size", "utc_ms", "counter"])
def test_a_note_changed_after_it_was_quoted_is_false(field: str) -> None:
    proof = NODE.proof(0)
    body, lines = parse_note(proof.note)
    note = parse_body(body)
    larger = replace(note, **{field: getattr(note, field) + 1})
    refused(replace(proof, note=encode_note(larger.body(), lines)), "QUOTE_OTHER_NOTE")


# ---- the registers --------------------------------------------------------------------------

PINNED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14)


@pytest.mark.parametrize(
    "selection",
    [
        forge.selection([]),
        forge.selection([13]),
        forge.selection(PINNED[1:]),
        forge.selection([*PINNED, 15]),
        forge.selection(PINNED, bank=forge.SHA1),
        forge.selection(PINNED, bank=forge.SHA384),
        struct.pack(">I", 0),
        struct.pack(">I", 2) + forge.selection(PINNED)[4:] * 2,
        struct.pack(">I", 2) + forge.selection(PINNED)[4:] + forge.selection([0], forge.SHA1)[4:],
    ],
    ids=[
        "empty bank",
        "log PCR alone",
        "one fewer",
        "one more",
        "sha1",
        "sha384",
        "no bank",
        "twice",
        "a second bank",
    ],
)
def test_a_quote_of_other_registers_is_false(selection: bytes) -> None:
    refused(signed_differently(selection=selection), "QUOTE_PCR_SELECTION")


def test_a_bank_of_which_no_register_is_quoted_adds_nothing() -> None:
    both = struct.pack(">I", 2) + forge.selection(PINNED)[4:] + forge.selection([], forge.SHA1)[4:]
    assert judge(signed_differently(selection=both)).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("index", PINNED)
def test_a_value_that_was_not_quoted_is_false(index: int) -> None:
    values = pcrs_of(NODE.proof(WITNESS_SEQ)) | {index: sha256(b"other").digest()}
    refused(changed_context(pcrs=values), "QUOTE_PCR_DIGEST")


def test_a_quoted_digest_of_other_values_is_false() -> None:
    refused(signed_differently(digest=sha256(b"other").digest()), "QUOTE_PCR_DIGEST")
    refused(signed_differently(digest=b""), "QUOTE_PCR_DIGEST")


def test_a_register_claimed_that_was_never_quoted_is_false() -> None:
    values = pcrs_of(NODE.proof(WITNESS_SEQ)) | {15: bytes(32)}
    refused(changed_context(pcrs=values), "PCR_NOT_QUOTED")


def test_a_quoted_register_that_is_not_shown_is_false() -> None:
    values = pcrs_of(NODE.proof(WITNESS_SEQ))
    del values[3]
    refused(changed_context(pcrs=values), "PCR_MISSING")


def test_a_note_that_was_quoted_and_never_extended_is_false() -> None:
    refused(replace(NODE, extends=False).proof(WITNESS_SEQ), "LOG_PCR_REPLAY")


def test_another_value_before_the_extend_is_false() -> None:
    refused(changed_context(before=bytes(32)), "LOG_PCR_REPLAY")


@pytest.mark.parametrize("log_pcr", [0, 9, 14, 16, 23])
def test_a_log_in_a_register_that_cannot_hold_it_is_false(log_pcr: int) -> None:
    node = replace(NODE, log_pcr=log_pcr)
    refused(node.proof(WITNESS_SEQ), "LOG_PCR", trust_file(log_pcr=log_pcr))


# ---- the attestation key --------------------------------------------------------------------


def refused_key(public: bytes, code: str) -> None:
    """Refused although the enroller vouches for it: he may have been careless."""
    node = replace(NODE, public=public)
    refused(node.proof(WITNESS_SEQ), code, trust_file(node))


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        (forge.AK_ATTRIBUTES & ~forge.RESTRICTED, "AK_NOT_RESTRICTED"),
        (forge.AK_ATTRIBUTES & ~forge.FIXED_TPM, "AK_NOT_FIXED_TPM"),
        (forge.AK_ATTRIBUTES & ~forge.FIXED_PARENT, "AK_NOT_FIXED_PARENT"),
        (forge.AK_ATTRIBUTES & ~forge.DATA_ORIGIN, "AK_NOT_DATA_ORIGIN"),
        (forge.AK_ATTRIBUTES & ~forge.SIGN, "AK_NOT_SIGN"),
        (forge.AK_ATTRIBUTES | forge.DECRYPT, "AK_DECRYPT"),
        (forge.AK_ATTRIBUTES | 1 << 31, "AK_ATTRIBUTES"),
    ],
)
def test_a_key_that_is_no_attestation_key_is_false(attributes: int, code: str) -> None:
    refused_key(ak_public(attributes=attributes), code)


@pytest.mark.parametrize(
    ("public", "code"),
    [
        (ak_public(name_alg=forge.SHA384), "AK_NAME_ALG"),
        (ak_public(scheme=struct.pack(">HH", forge.ECDSA, forge.SHA1)), "AK_SCHEME"),
        (ak_public(scheme=struct.pack(">HH", forge.ECSCHNORR, forge.SHA256)), "AK_SCHEME"),
        (ak_public(scheme=struct.pack(">H", forge.NULL)), "AK_SCHEME"),
        (ak_public(y_shift=1), "PUBLIC_POINT"),
        (ak_public(curve=0x0010), "PUBLIC_CURVE"),
        (ak_public() + b"\x00", "PUBLIC_TRAILING"),
        (forge.sized(ak_public()), "PUBLIC_TYPE"),
        (ak_public()[:-1], "PUBLIC_TRUNCATED"),
        (b"", "PUBLIC_TRUNCATED"),
    ],
)
def test_a_public_area_that_is_wrong_is_false(public: bytes, code: str) -> None:
    refused(replace(NODE, public=public).proof(WITNESS_SEQ), code)


def test_a_key_on_another_curve_is_false() -> None:
    key = ec.derive_private_key(7, ec.SECP384R1())
    point = key.public_key().public_numbers()
    with_p256_point = ak_public(curve=0x0004)
    public = with_p256_point[: -2 * (2 + 32)]
    public += forge.sized(point.x.to_bytes(48, "big")) + forge.sized(point.y.to_bytes(48, "big"))
    refused(replace(NODE, public=public, key=key).proof(WITNESS_SEQ), "AK_CURVE")


# ---- the trust file -------------------------------------------------------------------------


def test_a_trust_file_that_was_changed_is_false() -> None:
    forged = TRUST.replace(b"tpm software", b"tpm hardware")
    refused(NODE.proof(0), "TRUST_SIGNATURE", forged)


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        (b"", "TRUST_BODY"),
        (TRUST[:-10], "TRUST_BODY"),
        (TRUST.replace(b"log-pcr 13", b"log-pcr 1x"), "TRUST_BODY"),
        (
            TRUST.replace("— enroller.".encode(), "— somebody.".encode()),
            "TRUST_SIGNER",
        ),
    ],
)
def test_a_trust_file_that_is_damaged_is_false(trust: bytes, code: str) -> None:
    refused(NODE.proof(0), code, trust)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"node_id": "ba" * 16}, "TRUST_NODE"),
        ({"log_id": "dc" * 16}, "TRUST_LOG"),
        ({"ak_public": ak_public(forge.OTHER_AK)}, "TRUST_AK"),
        ({"ak_public": ak_public(attributes=forge.AK_ATTRIBUTES & ~forge.NO_DA)}, "TRUST_AK"),
        ({"ak_public": b"\x00\x01"}, "PUBLIC_TYPE"),
        ({"ak_public": forge.sized(ak_public())}, "PUBLIC_TYPE"),
        ({"log_pcr": 15}, "TRUST_LOG_PCR"),
        ({"valid_from_ms": UTC_MS + 1}, "TRUST_VALIDITY"),
        ({"valid_until_ms": UTC_MS}, "TRUST_VALIDITY"),
        ({"revoked_ms": UTC_MS}, "TRUST_REVOKED"),
    ],
    ids=str,
)
def test_a_head_that_the_trust_file_does_not_vouch_for_is_false(
    changes: dict[str, Any], code: str
) -> None:
    trust = trust_file(floors=None, **({"valid_until_ms": UTC_MS + 1000} | changes))
    refused(NODE.proof(WITNESS_SEQ), code, trust)


def test_a_head_in_the_first_and_last_millisecond_of_the_validity_stands() -> None:
    for valid in ((UTC_MS, UTC_MS + 1000), (UTC_MS - 1000, UTC_MS + 1)):
        trust = trust_file(valid_from_ms=valid[0], valid_until_ms=valid[1])
        assert judge(NODE.proof(0), trust).outcome is Outcome.VERIFIED


def test_a_head_older_than_a_revocation_stands() -> None:
    assert judge(NODE.proof(0), trust_file(revoked_ms=UTC_MS + 1)).outcome is Outcome.VERIFIED


HONEST_FLOORS = statement().floors


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": 8}, "FLOOR_SIZE"),
        ({"size": 7, "root": bytes(32)}, "FLOOR_ROOT"),
        ({"counter": 1}, "FLOOR_COUNTER"),
        ({"resets": 8}, "FLOOR_RESETS"),
        ({"clock_ms": 5_000_001}, "FLOOR_CLOCK"),
        ({"resets": 6, "clock_ms": 5_000_001 + 2**22}, "FLOOR_CLOCK"),
    ],
    ids=str,
)
def test_a_head_older_than_the_enrolment_is_false(changes: dict[str, Any], code: str) -> None:
    assert HONEST_FLOORS is not None
    refused(NODE.proof(WITNESS_SEQ), code, trust_file(floors=replace(HONEST_FLOORS, **changes)))


@pytest.mark.parametrize(
    "floors",
    [
        Floors(size=7, root=tree_root(NODE.leaves()), clock_ms=5_000_000, resets=7, counter=0),
        Floors(size=0, root=bytes(32), clock_ms=5_000_000 + 2**22, resets=6, counter=0),
    ],
    ids=["the head itself", "a clock that lags after a reset"],
)
def test_a_head_at_its_floors_stands(floors: Floors) -> None:
    assert judge(NODE.proof(0), trust_file(floors=floors)).outcome is Outcome.VERIFIED


# ---- the content ----------------------------------------------------------------------------


def node_with(payload: bytes, **fields: object) -> PaperNode:
    records = forge.some_records()
    records[WITNESS_SEQ] = (provenance(**fields), payload)
    return replace(NODE, records=records)


def fingerprint_check(report: Report) -> tuple[bool | None, str]:
    (check,) = [check for check in report.checks if check.name == "fingerprint"]
    return check.ok, check.detail


@pytest.mark.parametrize("disclosed", [True, False])
def test_a_fingerprint_is_recomputed_where_the_tenant_is_known(disclosed: bool) -> None:
    proof = NODE.proof(WITNESS_SEQ, disclosed=disclosed, tenant=TENANT)
    ok, detail = fingerprint_check(judge(proof))
    assert ok is True
    assert TENANT in detail


@pytest.mark.parametrize(
    ("payload", "fields", "why"),
    [
        (witness(), {"listener": "intake"}, "tenant"),
        (b'{"collector":"host"}', {"listener": "agent"}, "no witness"),
        (b"\xff", {"listener": "agent"}, "no witness"),
        (witness(factor_a=9), {"tenant": TENANT, "code": "BAD_FINGERPRINT"}, "refused"),
        (witness(factor_a="x"), {"tenant": TENANT}, "no valid witness"),
    ],
    ids=["tenant unknown", "evidence", "not JSON", "quarantined", "malformed"],
)
def test_where_no_fingerprint_can_be_recomputed_the_report_says_why(
    payload: bytes, fields: Mapping[str, object], why: str
) -> None:
    node = node_with(payload, **fields)
    report = judge(node.proof(WITNESS_SEQ), trust_file(node))
    ok, detail = fingerprint_check(report)
    assert (ok, report.outcome) == (None, Outcome.VERIFIED)
    assert why in detail


def test_a_witness_whose_fingerprint_is_wrong_is_false() -> None:
    node = node_with(witness(factor_b=0), tenant=TENANT)
    refused(node.proof(WITNESS_SEQ), "FINGERPRINT_MISMATCH", trust_file(node))


def test_a_witness_of_another_tenant_is_false() -> None:
    refused(NODE.proof(WITNESS_SEQ, tenant="SOMEBODY"), "TENANT_MISMATCH")
    withheld = NODE.proof(WITNESS_SEQ, disclosed=False, tenant="SOMEBODY")
    refused(withheld, "FINGERPRINT_MISMATCH")


def test_a_tenant_that_cannot_be_one_is_false() -> None:
    proof = NODE.proof(WITNESS_SEQ, disclosed=False, tenant="a:b")
    refused(proof, "BAD_FIELD")
