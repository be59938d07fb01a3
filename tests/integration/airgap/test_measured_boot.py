"""What a bundle shows of how its node booted: quotes, boot log, IMA log; and what root can do."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from swt3_agent.config import load_config
from swt3_agent.daemon.node import Node
from swt3_agent.probe.wire import Log
from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import BOOT_PCRS
from swt3_agent.protocol.record import Kind
from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.store.drafts import Draft
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tcg.signature import der_to_tpmt
from tests.support.boot_logs import ima_entry, ima_ng, real_log, real_pcrs
from tests.support.bundles import export, judged, rebound, relay, trust_in, unpack
from tests.support.measured_boot import boot, extend
from tests.support.probe import serve_probe, write_log
from tests.support.software_tpm import short_directory, start_copy

MACHINE = "rhel8-uefi"
LOG = real_log(MACHINE)
IMA_PCR = 10
FALSE = 3
Members = dict[str, bytes]


@dataclass(frozen=True)
class Booted:
    """A node of clearing level 2 whose TPM was extended as a real machine's, and read twice."""

    node: Node
    trust: bytes
    tcti: str
    readings: tuple[int, int]
    entries: int
    directory: Path

    def export(self, first: int = 0, end: int | None = None, *, ima: bool = True) -> bytes:
        path = self.directory / "bundle.tar"
        path.unlink(missing_ok=True)
        return export(self.node, path, first, end, ima=ima)


def measure(tcti: str, kernel: Path, listed: bytes, *data: bytes) -> bytes:
    """The kernel measures, extends and lists."""
    extend(tcti, *((IMA_PCR, sha256(item).digest()) for item in data))
    listed += b"".join(map(ima_entry, data))
    write_log(kernel, Log.IMA, listed)
    return listed


def read_platform(node: Node) -> int:
    (attestation,) = node.attest(["platform"])
    return attestation.evidence_record


@pytest.fixture(scope="module")
def booted(template: Path) -> Iterator[Booted]:
    with short_directory() as room, start_copy(template, room / "tpm") as tpm:
        boot(tpm.tcti, LOG)
        kernel = room / "kernel"
        write_log(kernel, Log.BOOT, LOG)
        pcrs = real_pcrs(MACHINE)["sha256"]
        aggregate = sha256(b"".join(pcrs[index] for index in range(10))).digest()
        listed = measure(tpm.tcti, kernel, b"", ima_ng("boot_aggregate", aggregate))
        file = room / "agent.yaml"
        file.write_text(f"agent: {{probe: {{socket: {room / 'probe.sock'}}}}}\n")
        environ = {
            "SWT3_STATE_DIR": str(room / "state"),
            "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
            "SWT3_TPM_TCTI": tpm.tcti,
            "SWT3_CLEARING_LEVEL": "2",
        }
        with serve_probe(room / "probe.sock", kernel), Node(load_config(environ, file)) as node:
            node.counter.step("start")
            first = read_platform(node)
            relay(node, 2)
            measure(tpm.tcti, kernel, listed, *(ima_ng(f"/usr/bin/{n}", bytes(32)) for n in "ab"))
            last = read_platform(node)
            node.checkpoint("test")
            yield Booted(node, trust_in(node), tpm.tcti, (first, last), 3, room)


def code_of(booted: Booted, bundle: bytes) -> str:
    report = judged(bundle, booted.trust)
    assert report.exit_code == FALSE, report.render()
    return report.code


@pytest.mark.parametrize("place", ["whole", "after the first reading", "after both"])
def test_quotes_and_logs_of_a_boot_hold(booted: Booted, place: str) -> None:
    first, last = booted.readings
    begin = {"whole": 0, "after the first reading": first + 1, "after both": last + 1}[place]
    end = booted.readings[1] + 2
    report = judged(booted.export(begin, end), booted.trust)
    assert report.code == "VERIFIED", report.render()
    (state,) = report.boots
    assert (state.quotes, state.lacks) == (2, [])
    assert state.log is not None
    assert set(state.log.matched) >= {0, 1, 2, 3, 4, 5, 6, 7, 8, 9} - set(state.log.unlogged)
    assert state.ima is not None
    assert (state.ima.entries, state.ima.violations) == (booted.entries, 0)
    text = report.render()
    assert "boot log leads to PCRs 0" in text
    assert "IMA log leads to PCR 10 in 3 entries" in text


def test_an_ima_log_leaves_a_node_of_level_2_only_when_it_is_told(booted: Booted) -> None:
    bundle = booted.export(end=booted.readings[1] + 2, ima=False)
    assert not any(name.endswith(".ima-log") for name in unpack(bundle))
    assert b"/usr/bin/a" not in bundle
    report = judged(bundle, booted.trust)
    assert report.code == "VERIFIED"
    assert "export --ima" in report.render()


def test_reference_values_are_those_of_every_boot(booted: Booted) -> None:
    (state,) = judged(booted.export(end=booted.readings[1] + 2), booted.trust).boots
    accepted = {index: (state.pcrs[index].hex(),) for index in BOOT_PCRS}
    assert state.log is not None
    values = {name: state.log.values[name] for name in ("secure-boot",)}
    bundle = booted.export(end=booted.readings[1] + 2)
    good = encode_reference(Reference(accepted, values))
    report = judged(bundle, booted.trust, reference=good)
    assert report.code == "VERIFIED", report.render()
    assert not any("boot state is good" in limit for limit in report.not_proven)
    other = encode_reference(Reference({**accepted, 4: ("00" * 32,)}, values))
    report = judged(bundle, booted.trust, reference=other)
    assert (report.code, report.exit_code) == ("PCR_MISMATCH", FALSE)
    assert "PCR 4" in report.reason


def test_tpm2_tools_and_openssl_accept_a_quote_out_of_a_bundle(
    booted: Booted, tmp_path: Path
) -> None:
    members = unpack(booted.export(end=booted.readings[1] + 2))
    manifest = msgspec.json.decode(members["manifest.json"], type=Manifest)
    quote = json.loads(next(data for name, data in members.items() if name.endswith(".quote")))
    key = load_der_public_key(parse_tpmt(base64.b64decode(manifest.keys[0])).spki_der())
    signature = base64.b64decode(quote["signature"])
    files = {
        "ak.pem": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "quote.msg": base64.b64decode(quote["attest"]),
        "quote.der": signature,
        "quote.sig": der_to_tpmt(signature),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    checkquote = ["tpm2_checkquote", "-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig"]
    checkquote += ["-q", quote["nonce"], "-g", "sha256"]
    dgst = ["openssl", "dgst", "-sha256", "-verify", "ak.pem", "-signature", "quote.der"]
    for command in (checkquote, [*dgst, "quote.msg"]):
        assert shutil.which(command[0])
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)


# What follows, root does: the log itself names what he made up.


def attachments(booted: Booted) -> dict[str, bytes]:
    """What the last reading was read from."""
    payload = json.loads(booted.node.journal.read(booted.readings[1]).payload)
    named = payload["attachments"]
    return {name: booted.node.evidence.get(named[name]["digest"]) for name in named}


def claimed(booted: Booted, **changes: bytes) -> bytes:
    """The bundle of a log in which root claims a reading from these attachments."""
    node = booted.node
    kept = {
        name.replace("_", "-"): {"digest": node.evidence.put(data), "size": len(data)}
        for name, data in ({"quote": attachments(booted)["quote"]} | changes).items()
    }
    stated = {"ima_log": {"offset": 0, "entries": 1}}
    content = {"collector": "platform", "attachments": kept, "stated": stated}
    draft = Draft(Kind.EVIDENCE, canonical_json({"listener": "agent"}), canonical_json(content))
    seq = node.journal.append([draft]).result().first_seq
    return booted.export(seq, seq + 1)


def with_quote(booted: Booted, **changes: object) -> bytes:
    quote = json.loads(attachments(booted)["quote"])
    return claimed(booted, quote=canonical_json({**quote, **changes}))


def flipped(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


def original(booted: Booted) -> dict[str, Any]:
    quote: dict[str, Any] = json.loads(attachments(booted)["quote"])
    return quote


QUOTES: dict[str, tuple[Callable[[Booted], bytes], str]] = {
    "of no form": (lambda booted: claimed(booted, quote=b"{"), "BOOT_QUOTE_FORM"),
    "by another key": (lambda booted: with_quote(booted, ak_name="00"), "BOOT_QUOTE_KEY"),
    "that nobody signed": (
        lambda booted: with_quote(booted, signature=flipped(original(booted)["signature"])),
        "BOOT_QUOTE_SIGNATURE",
    ),
    "for another challenge": (
        lambda booted: with_quote(booted, nonce="00" * 20),
        "BOOT_QUOTE_NONCE",
    ),
    "with another value": (
        lambda booted: with_quote(booted, pcrs={**original(booted)["pcrs"], "7": "00" * 32}),
        "BOOT_QUOTE_PCRS",
    ),
    "with a register more": (
        lambda booted: with_quote(booted, pcrs={**original(booted)["pcrs"], "11": "00" * 32}),
        "BOOT_QUOTE_PCRS",
    ),
}


@pytest.mark.parametrize(("bundle", "code"), QUOTES.values(), ids=QUOTES)
def test_a_quote_that_does_not_hold_is_refused(
    booted: Booted, bundle: Callable[[Booted], bytes], code: str
) -> None:
    assert code_of(booted, bundle(booted)) == code


def test_a_log_of_another_boot_is_refused(booted: Booted) -> None:
    other = real_log("ubuntu-2104-no-dbx")
    assert code_of(booted, claimed(booted, boot_log=other)) == "BOOT_LOG_REPLAY"
    cut = LOG[: len(LOG) - 7]
    assert code_of(booted, claimed(booted, boot_log=cut)) == "BOOT_LOG_TRUNCATED"
    assert code_of(booted, claimed(booted, boot_log=b"\0" * 40)).startswith("EVENT_LOG_")


def test_a_log_without_digests_of_the_quoted_bank_is_said(booted: Booted) -> None:
    bundle = claimed(booted, boot_log=real_log("debian-10"))
    seq = manifest_of(unpack(bundle)).first
    report = judged(booted.export(seq, seq + 1, ima=False), booted.trust)
    assert report.code == "VERIFIED", report.render()
    assert report.boots[0].lacks == ["SHA-256 digests in the boot log"]


def test_an_ima_log_that_does_not_lead_to_the_quote_is_refused(booted: Booted) -> None:
    other = ima_entry(ima_ng("/usr/bin/other", bytes(32)))
    assert code_of(booted, claimed(booted, ima_log=other)) == "IMA_LOG_REPLAY"
    assert code_of(booted, claimed(booted, ima_log=other[:-1])) == "IMA_LOG_TRUNCATED"


def manifest_of(members: Members) -> Manifest:
    return msgspec.json.decode(members["manifest.json"], type=Manifest)


def test_root_cannot_name_other_readings(booted: Booted) -> None:
    members = unpack(booted.export(end=booted.readings[1] + 2))
    (named,) = manifest_of(members).boots
    first, last = booted.readings
    other: dict[str, tuple[list[BootInfo], str]] = {
        "none": ([], "BOOT_READINGS"),
        "the first alone": ([BootInfo(named.boot_id, [first])], "BOOT_READINGS"),
        "what is no reading": ([BootInfo(named.boot_id, [0, last])], "BOOT_READINGS"),
        "the parts turned round": (
            [BootInfo(named.boot_id, [first, last], named.ima_log[::-1])],
            "IMA_LOG_PARTS",
        ),
        "the last part alone": (
            [BootInfo(named.boot_id, [first, last], named.ima_log[1:])],
            "IMA_LOG_PARTS",
        ),
        "a part twice": (
            [BootInfo(named.boot_id, [first, last], [*named.ima_log, named.ima_log[1]])],
            "IMA_LOG_PARTS",
        ),
    }
    for boots, code in other.values():
        assert code_of(booted, rebound(booted.node, members, boots=boots)) == code


def test_a_log_that_is_left_out_is_said(booted: Booted) -> None:
    members = unpack(booted.export(end=booted.readings[1] + 2))
    kept = {name: data for name, data in members.items() if not name.endswith("-log")}
    report = judged(rebound(booted.node, kept), booted.trust)
    assert report.code == "VERIFIED", report.render()
    assert report.boots[0].lacks == ["the boot log", "the IMA log"]
    assert "not here: the boot log, the IMA log" in report.render()


def test_a_log_under_anothers_name_is_refused(booted: Booted) -> None:
    members = unpack(booted.export(end=booted.readings[1] + 2))
    name = next(name for name in members if name.endswith(".boot-log"))
    changed = {**members, name: members[name] + b"\0"}
    assert code_of(booted, rebound(booted.node, changed)) == "BUNDLE_MEMBERS"


def test_a_lost_file_is_said_and_the_rest_exported(booted: Booted) -> None:
    lost = claimed(booted, boot_log=b"a log that will be lost")
    assert judged(lost, booted.trust).exit_code == FALSE
    seq = manifest_of(unpack(lost)).first
    booted.node.evidence.path(sha256(b"a log that will be lost").hexdigest()).unlink()
    report = judged(booted.export(seq, seq + 1, ima=False), booted.trust)
    assert report.code == "VERIFIED", report.render()
    assert "boot-log of boot" in report.render()


def test_root_cannot_change_what_lies_before_the_range(booted: Booted) -> None:
    members = unpack(booted.export(booted.readings[0] + 1, booted.readings[1] + 2))
    earlier = manifest_of(members).earlier
    assert len(earlier) > 1

    def with_first(**changes: object) -> bytes:
        first = msgspec.structs.replace(earlier[0], **changes)
        return rebound(booted.node, members, earlier=[first, *earlier[1:]])

    entry = base64.b64decode(earlier[0].entry)
    salted = base64.b64encode(bytes(32) + entry[32:]).decode()
    cut = base64.b64encode(entry[:-1]).decode()
    assert code_of(booted, with_first(entry=salted)) == "EARLIER_INCLUSION"
    assert code_of(booted, with_first(inclusion=earlier[0].inclusion[1:])) == "EARLIER_INCLUSION"
    assert code_of(booted, with_first(entry=cut)) == "EARLIER_RECORD"
    assert code_of(booted, with_first(entry="?")) == "EARLIER_RECORD"
    backwards = rebound(booted.node, members, earlier=earlier[::-1])
    assert code_of(booted, backwards) == "EARLIER_ORDER"
    assert code_of(booted, rebound(booted.node, members, earlier=[])) == "COUNTER_CTR"
    relay(booted.node, 1)
    members = unpack(booted.export(booted.node.journal.size - 1, ima=False))
    without = rebound(booted.node, members, earlier=[], boots=[])
    assert code_of(booted, without) == "COUNTER_BEFORE_MISSING"


def test_registers_that_changed_between_heads_are_held_against_quotes(
    template: Path, room: Path
) -> None:
    with start_copy(template, room / "tpm") as tpm:
        settings = {"SWT3_STATE_DIR": str(room / "state"), "SWT3_TPM_TCTI": tpm.tcti}
        with Node(load_config(settings)) as node:
            node.counter.step("start")
            read_platform(node)
            extend(tpm.tcti, (5, bytes(32)))
            node.checkpoint("test")
            report = judged(export(node, room / "one.tar"), trust_in(node))
            assert report.code == "VERIFIED", report.render()
            assert "BOOT_PCRS_CHANGED" in report.render()
            extend(tpm.tcti, (5, bytes(32)))
            read_platform(node)
            extend(tpm.tcti, (5, bytes(32)))
            node.checkpoint("test")
            report = judged(export(node, room / "two.tar", 0), trust_in(node))
            assert (report.code, report.exit_code) == ("BOOT_QUOTE_VALUES", FALSE)
