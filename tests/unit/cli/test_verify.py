"""``verify`` as a reader runs it: what it recognises, remembers and draws."""

import fcntl
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swt3_agent.cli import main
from swt3_agent.cli.verify_state import opened_state
from swt3_agent.errors import AgentError
from swt3_agent.protocol.bundle_evidence import BootInfo
from swt3_agent.protocol.proof import encode_proof
from swt3_agent.protocol.reference import Reference, encode_reference
from swt3_agent.protocol.trust import TpmKind
from swt3_agent.verify import enroller_public_key, sign_trust
from tests.refusals.bundles import begun, rebooted
from tests.support.forge import (
    LOG_ID,
    NODE_ID,
    OTHER_ENROLLER,
    UTC_MS,
    PaperNode,
    Quote,
    some_records,
    statement,
    trust_file,
)
from tests.support.paper_bundle import trust_in
from tests.unit.verify.test_challenge import NONCE, PCRS, answer
from tests.unit.verify.test_dsse import signed

VERIFIED, ERROR, USAGE, FALSE, UNDECIDED = 0, 1, 2, 3, 4
BUNDLES = Path(__file__).parents[2] / "vectors" / "bundle-1"
NODE = PaperNode()
LARGER = replace(
    NODE,
    records=[*some_records(), (b"{}", b"{}")],
    utc_ms=UTC_MS + 500,
    quote=Quote(clock_ms=5_000_500),
)
FOREVER: dict[str, Any] = {"tpm": TpmKind.HARDWARE, "valid_until_ms": 2**60}


class Desk:
    """A reader's directory, and what he runs in it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.state = directory / "state"
        self._capsys = capsys
        self.put("trust", trust_file(**FOREVER))

    def put(self, name: str, content: bytes) -> str:
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def verify(self, *arguments: str) -> int:
        return main(["verify", *arguments, "--trust", str(self.directory / "trust")])

    def output(self) -> str:
        return self._capsys.readouterr().out

    def json(self, *arguments: str) -> Any:
        code = self.verify(*arguments, "--json")
        tree = json.loads(self.output())
        assert tree.get("exit_code", code) == code
        return tree

    def remembering(self, name: str, content: bytes) -> Any:
        return self.json(self.put(name, content), "--state", str(self.state))

    @property
    def memory(self) -> Path:
        return self.state / f"{NODE_ID}-{LOG_ID}.json"


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def proof(node: PaperNode, seq: int = 1) -> bytes:
    return encode_proof(node.proof(seq))


def challenge(desk: Desk, **changes: Any) -> str:
    directory = desk.directory / "answer"
    directory.mkdir()
    for name, content in answer(**changes).items():
        (directory / name).write_bytes(content)
    return str(directory)


# ---- what it recognises ---------------------------------------------------------------------


def test_a_proof_is_recognised(desk: Desk) -> None:
    assert desk.json(desk.put("file", proof(NODE)))["record"]["seq"] == 1


def test_a_bundle_is_recognised(desk: Desk) -> None:
    desk.put("trust", (BUNDLES / "enroller.trust").read_bytes())
    tree = desk.json(str(BUNDLES / "first.tar"), "--allow-software-tpm")
    assert tree["bundle"]["first"] == 0


def test_an_answer_is_recognised(desk: Desk) -> None:
    tree = desk.json(challenge(desk), "--nonce", NONCE.hex())
    assert (tree["code"], tree["challenge"]["nonce"]) == ("VERIFIED", NONCE.hex())


def test_an_envelope_is_recognised(desk: Desk) -> None:
    tree = desk.json(desk.put("file", signed()))
    assert tree["statement"]["attribute"] == "AI-MDL.1:PASS"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff" * 600, b"[[", b'{"format":1,"payloadType":1}']
)
def test_anything_else_is_judged_as_a_proof(desk: Desk, data: bytes) -> None:
    assert desk.json(desk.put("file", data))["code"].startswith("PARSE_")


def test_reference_values_are_compared(desk: Desk) -> None:
    good = Reference(pcrs={0: (PCRS[0].hex(),)})
    bad = Reference(pcrs={0: ("00" * 32,)})
    directory = challenge(desk)
    for reference, code in ((good, "VERIFIED"), (bad, "PCR_MISMATCH")):
        file = desk.put("reference", encode_reference(reference))
        tree = desk.json(directory, "--nonce", NONCE.hex(), "--reference", file)
        assert tree["code"] == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--nonce", "00" * 16), "NONCE_NOT_USED"),
        (("--nonce", "00" * 32), "BAD_NONCE"),
        (("--nonce", "0"), "BAD_NONCE"),
        (("--reference", "trust"), "REFERENCE_NOT_USED"),
        (("--receipts", "out", "--key", "pem"), "NOT_A_BUNDLE"),
        (("--receipts", "out"), "USAGE"),
    ],
)
def test_options_that_do_not_fit_the_file_are_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(desk.directory)
    file = desk.put("file", proof(NODE))
    assert desk.verify(file, *arguments, "--json") == USAGE
    assert json.loads(desk.output())["error"]["code"] == code


# ---- what it remembers ----------------------------------------------------------------------


def test_a_log_that_grew_is_followed(desk: Desk) -> None:
    assert desk.remembering("first", proof(NODE))["checks"][-1]["detail"].startswith("nothing was")
    larger = replace(LARGER.proof(7), previous=LARGER.head_before(7))
    again = desk.remembering("second", encode_proof(larger))
    assert again["checks"][-1]["name"] == "memory"
    assert "grew from the 7 records" in again["checks"][-1]["detail"]
    assert json.loads(desk.memory.read_bytes())["heads"][0]["size"] == 8


def test_a_second_history_is_refused_and_the_first_stays_remembered(desk: Desk) -> None:
    desk.remembering("first", proof(NODE))
    before = desk.memory.read_bytes()
    forked = replace(NODE, records=[*NODE.records[:6], (b"{}", b'"another"')])
    tree = desk.remembering("second", proof(forked))
    assert (tree["code"], tree["exit_code"]) == ("STATE_FORK", FALSE)
    assert (tree["record"], tree["head"], tree["not_proven"]) == (None, None, [])
    assert tree["checks"][-1] == {"name": "memory", "ok": False, "detail": tree["reason"]}
    assert desk.memory.read_bytes() == before


def test_a_log_that_was_rolled_back_is_refused(desk: Desk) -> None:
    desk.remembering("first", proof(LARGER))
    later = replace(NODE, quote=Quote(clock_ms=5_000_900))
    assert desk.remembering("second", proof(later))["code"] == "STATE_ROLLBACK"
    assert desk.remembering("third", proof(NODE))["code"] == "VERIFIED"  # only older


def test_bundles_connect_at_any_size_between(desk: Desk) -> None:
    desk.put("trust", (BUNDLES / "enroller.trust").read_bytes())
    allowed = "--allow-software-tpm", "--state", str(desk.state)
    assert desk.json(str(BUNDLES / "first.tar"), *allowed)["code"] == "VERIFIED"
    second = desk.json(str(BUNDLES / "second.tar"), *allowed)
    assert "the log grew from" in second["checks"][-1]["detail"]
    assert not any("no bundle that was seen" in limit for limit in second["not_proven"])
    (memory,) = desk.state.glob("*.json")
    assert json.loads(memory.read_bytes())["end"] == second["bundle"]["end"]
    older = desk.json(str(BUNDLES / "first.tar"), *allowed)
    assert "older than what was seen before" in older["checks"][-1]["detail"]


def test_a_challenge_is_held_against_the_log(desk: Desk) -> None:
    desk.remembering("first", proof(NODE))
    directory = challenge(desk, quote=Quote(extra=NONCE, clock_ms=4_500_000))
    tree = desk.json(directory, "--nonce", NONCE.hex(), "--state", str(desk.state))
    assert (tree["code"], tree["challenge"]) == ("STATE_CLOCK", None)


def test_a_challenge_after_a_revocation_is_refused_under_an_older_trust_file(desk: Desk) -> None:
    desk.put("trust", trust_file(**FOREVER, revoked_ms=UTC_MS + 1))
    assert desk.remembering("file", proof(NODE))["exit_code"] == VERIFIED
    desk.put("trust", trust_file(**FOREVER))
    answered = challenge(desk), "--nonce", NONCE.hex()
    assert desk.json(*answered)["exit_code"] == VERIFIED
    tree = desk.json(*answered, "--state", str(desk.state))
    assert (tree["code"], tree["challenge"]) == ("STATE_REVOKED", None)


def test_a_revocation_is_remembered_though_the_file_is_refused_by_it(desk: Desk) -> None:
    assert desk.remembering("file", proof(NODE))["exit_code"] == VERIFIED
    desk.put("trust", trust_file(**FOREVER, revoked_ms=UTC_MS + 500))
    assert desk.remembering("later", proof(LARGER))["code"] == "TRUST_REVOKED"
    known = json.loads(desk.memory.read_bytes())
    assert (known["revoked_ms"], len(known["heads"])) == (UTC_MS + 500, 1)
    desk.put("trust", trust_file(**FOREVER))
    assert desk.remembering("later", proof(LARGER))["code"] == "STATE_REVOKED"


def test_a_stranger_s_revocation_is_not_believed(desk: Desk) -> None:
    assert desk.remembering("file", proof(NODE))["exit_code"] == VERIFIED
    before = desk.memory.read_bytes()
    told = {"enroller_key": enroller_public_key(OTHER_ENROLLER), "revoked_ms": UTC_MS, **FOREVER}
    desk.put("trust", sign_trust(statement(**told).body(), OTHER_ENROLLER))
    assert desk.remembering("file", proof(NODE))["code"] == "TRUST_REVOKED"
    desk.put("trust", trust_file(**FOREVER, revoked_ms=1).replace(b"revoked 1", b"revoked 2"))
    assert desk.remembering("file", proof(NODE))["code"] == "TRUST_SIGNATURE"
    assert desk.memory.read_bytes() == before


def test_what_is_not_verified_is_not_remembered(desk: Desk) -> None:
    changed = proof(NODE).replace(b"proof/1", b"proof/9")
    assert desk.remembering("file", changed)["exit_code"] == UNDECIDED
    desk.put("trust", trust_file(valid_until_ms=2**60))
    assert desk.remembering("file", proof(NODE))["code"] == "SOFTWARE_TPM"
    assert list(desk.state.glob("*.json")) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 2_000_000])
def test_a_damaged_memory_leaves_doubt_and_stays_as_it_is(desk: Desk, content: bytes) -> None:
    desk.remembering("first", proof(NODE))
    desk.memory.write_bytes(content)
    tree = desk.remembering("first", proof(NODE))
    assert (tree["outcome"], tree["exit_code"]) == ("undecided", UNDECIDED)
    assert tree["code"] in {"STATE_DAMAGED", "STATE_FORMAT_UNKNOWN"}
    assert desk.memory.read_bytes() == content


def test_a_memory_that_leads_elsewhere_is_not_followed(desk: Desk) -> None:
    desk.remembering("first", proof(NODE))
    desk.memory.rename(desk.directory / "elsewhere")
    desk.memory.symlink_to(desk.directory / "elsewhere")
    assert desk.remembering("first", proof(NODE))["error"]["code"] == "STATE_UNREADABLE"


def test_a_state_directory_that_is_none_gives_no_verdict(desk: Desk) -> None:
    desk.state.write_bytes(b"")
    error = desk.remembering("first", proof(NODE))["error"]
    assert error["code"] == "OUTPUT_UNWRITABLE"


@pytest.mark.permissions
def test_what_cannot_be_remembered_gives_no_verdict(desk: Desk) -> None:
    desk.remembering("first", proof(NODE))
    desk.state.chmod(0o500)
    try:
        answer = desk.remembering("second", proof(LARGER))
    finally:
        desk.state.chmod(0o700)
    assert answer["error"]["code"] == "OUTPUT_UNWRITABLE"


def test_the_memory_is_its_reader_s_alone(desk: Desk) -> None:
    desk.remembering("first", proof(NODE))
    assert desk.state.stat().st_mode & 0o777 == 0o700
    assert desk.memory.stat().st_mode & 0o077 == 0


def test_two_verifiers_take_turns(tmp_path: Path) -> None:
    with opened_state(tmp_path):
        with pytest.raises(AgentError) as refused, opened_state(tmp_path, wait_s=0.0):
            pass
        assert refused.value.code == "STATE_BUSY"
    with (
        opened_state(tmp_path, wait_s=0.0),
        (tmp_path / "lock").open("rb") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# ---- what it draws --------------------------------------------------------------------------


def test_the_chain_is_drawn_in_eighty_columns(desk: Desk) -> None:
    assert desk.verify(desk.put("file", proof(NODE)), "--explain") == VERIFIED
    lines = desk.output().splitlines()
    picture = lines[1 : next(i for i, line in enumerate(lines) if "trusting" in line)]
    assert max(map(len, picture)) <= 80
    text = "\n".join(picture)
    for part in ("EK", "enroller", "AK", "head", "record 1", "log PCR", "PCRs", "reference"):
        assert part in text
    assert "\u2713" in text
    assert "[TPM]" in text
    assert any("not proven" in line for line in lines)


def test_a_terminal_without_unicode_gets_ascii(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert desk.verify(desk.put("file", proof(NODE)), "--explain") == VERIFIED
    stream.flush()
    text = written.getvalue().decode("ascii")
    assert "ok held  NO failed  ?? not shown here" in text


def links(chain: Any) -> list[Any]:
    return [chain, *(each for link in chain["rests"] for each in links(link))]


def test_the_chain_as_json_says_what_failed(desk: Desk) -> None:
    broken = encode_proof(replace(NODE.proof(1), inclusion=()))
    chain = desk.json(desk.put("file", broken), "--explain")["chain"]
    assert [link["what"] for link in links(chain) if link["ok"] is False] == [
        "the record: leaf and inclusion path"
    ]
    good = desk.json(desk.put("file", proof(NODE)), "--explain")["chain"]
    assert not any(link["ok"] is False for link in links(good))
    assert "chain" not in desk.json(desk.put("file", proof(NODE)))


def test_the_chain_of_a_false_bundle_claims_no_more_than_was_checked(desk: Desk) -> None:
    desk.put("trust", trust_in(tpm=TpmKind.HARDWARE))
    chain = desk.json(desk.put("file", begun().bundle(kinds={"boot": 99})), "--explain")["chain"]
    told = {link["what"]: link["ok"] for link in links(chain)}
    assert told["enroller: his trust file holds"] is True
    assert not any(ok and "no trust file" in what for what, ok in told.items())


def test_the_chain_says_of_how_many_boots_there_is_a_quote(desk: Desk) -> None:
    log = begun()
    reading = log.read_platform()
    rebooted(log)
    log.head()
    desk.put("trust", trust_in(tpm=TpmKind.HARDWARE))
    bundle = log.bundle(boots=[BootInfo(boot_id="boot-1", readings=[reading])])
    chain = desk.json(desk.put("file", bundle), "--explain")["chain"]
    (boots,) = (link for link in links(chain) if link["what"].startswith("PCRs of"))
    assert boots["what"] == "PCRs of 2 boots, of which 1 have quotes of the platform here"
    assert boots["ok"] is None


@pytest.mark.parametrize("kind", ["proof", "bundle", "challenge", "statement"])
def test_a_software_tpm_and_a_pinned_key_are_told_with_all_that_rests_on_them(
    desk: Desk, kind: str
) -> None:
    desk.put("trust", trust_in(ek_certified=False))
    arguments = {
        "proof": lambda: [desk.put("file", proof(NODE))],
        "bundle": lambda: [desk.put("file", begun().bundle())],
        "challenge": lambda: [challenge(desk), "--nonce", NONCE.hex()],
        "statement": lambda: [desk.put("file", signed())],
    }[kind]()
    tree = desk.json(*arguments, "--allow-software-tpm")
    assert tree["code"] == "VERIFIED"
    told = " ".join(tree["not_proven"])
    assert "a software TPM, whose keys root can copy" in told
    assert "pinned its endorsement key" in told


def test_a_first_file_is_not_drawn_as_one_that_goes_on(desk: Desk) -> None:
    remembering = desk.put("file", proof(NODE)), "--explain", "--state", str(desk.state)
    for shown in (None, True):
        chain = desk.json(*remembering)["chain"]
        (memory,) = (link for link in links(chain) if "what you saw before" in link["what"])
        assert memory["ok"] is shown


@pytest.mark.parametrize("kind", ["bundle", "challenge", "statement", "nobody"])
def test_every_kind_of_file_has_its_chain(desk: Desk, kind: str) -> None:
    arguments = [desk.put("file", signed())]
    if kind == "bundle":
        desk.put("trust", (BUNDLES / "enroller.trust").read_bytes())
        arguments = [str(BUNDLES / "second.tar"), "--allow-software-tpm"]
    elif kind == "challenge":
        arguments = [challenge(desk), "--nonce", NONCE.hex()]
    elif kind == "nobody":
        desk.put("trust", b"")
    chain = desk.json(*arguments, "--explain", "--state", str(desk.state))["chain"]
    assert chain["what"].startswith("EK")
    assert {link["word"] for link in links(chain)} >= {"enroller", "you", "TPM"}


def test_standard_input_is_judged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, proof(NODE))
    os.close(write)
    with open(read) as stream:  # noqa: PTH123  it has no path
        monkeypatch.setattr(sys, "stdin", stream)
        assert desk.json("-")["code"] == "VERIFIED"
