"""Keys of a node: rotated, retired, lost and replaced, and killed in the middle of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swt3_agent.config import Config, load_config
from swt3_agent.daemon import node_keys
from swt3_agent.daemon.caller import caller
from swt3_agent.daemon.keys import keys_view
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import operations
from swt3_agent.errors import TpmError, UsageError
from swt3_agent.protocol.proof import decode_proof
from swt3_agent.protocol.record import Kind
from swt3_agent.store.fsck import check
from swt3_agent.tcg.public import parse_tpmt
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.daemon import key_victim
from tests.support.agent import AgentProcess
from tests.support.bundles import export, judged, trust_in
from tests.support.software_tpm import tpm2

TIMEOUT_S = 60


def environment(room: Path) -> dict[str, str]:
    return {
        "SWT3_STATE_DIR": str(room / "state"),
        "SWT3_AGENT_SOCKET": str(room / "intake.sock"),
        "SWT3_TPM_TCTI": f"swtpm:path={room}/tpm/tpm.sock",
    }


def settings(room: Path) -> Config:
    return load_config(environment(room))


def kill_in(room: Path, change: str, step: str) -> None:
    """Change the key in a process that dies at ``step``."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("SWT3_")}
    done = subprocess.run(
        [sys.executable, key_victim.__file__, change, step],
        env={**known, **environment(room)},
        timeout=TIMEOUT_S,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def events(node: Node) -> list[str]:
    return [
        json.loads(record.payload)["event"]
        for record in node.journal.scan(0)
        if record.kind is Kind.KEY
    ]


def signed(node: Node) -> bool:
    """Whether a head over everything is made."""
    head = node.checkpoint("test", covering=node.journal.size - 1)
    return head is not None and head.signed


def verdict(node: Node, room: Path, trust: bytes, first: int = 0) -> str:
    """What a stranger says of the log from ``first`` on, who trusts this enroller."""
    bundle = export(node, room / f"bundle-{node.journal.size}", first)
    return judged(bundle, trust).code


def test_a_log_has_no_more_keys_than_a_bundle_can_show(
    swtpm: SoftwareTpm, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_keys, "MAX_KEYS", 2)
    with Node(settings(room)) as node:
        node.heads.rotate_key("once", caller())
        with pytest.raises(UsageError) as refused:
            node.heads.rotate_key("again", caller())
        assert refused.value.code == "KEY_LIMIT"
        assert events(node) == ["created", "rotated"]
        assert signed(node)


def present(node: Node) -> bytes:
    assert node.tpm_identity is not None
    return node.tpm_identity.ak_public


def files(room: Path) -> set[str]:
    return {path.name for path in (room / "state" / "keys").glob("ak*")}


@pytest.mark.parametrize(
    ("step", "named", "rotated"),
    [
        ("prepare", ["created"], False),
        ("prepared", ["created"], False),
        ("named", ["created", "rotated"], True),
        ("covered", ["created", "rotated"], True),
        ("adopted", ["created", "rotated"], True),
        ("head", ["created", "rotated"], True),
    ],
)
def test_a_rotation_that_is_killed_is_finished_or_never_began(
    swtpm: SoftwareTpm, room: Path, step: str, named: list[str], rotated: bool
) -> None:
    with Node(settings(room)) as node:
        old, enrolled = present(node), trust_in(node)
        assert signed(node)
    kill_in(room, "rotate", step)
    with Node(settings(room)) as node:
        assert signed(node)
        assert events(node) == named
        assert (present(node) != old) is rotated
        assert verdict(node, room, enrolled) == "VERIFIED"
        assert [finding.code for finding in node.findings] == []
        waiting = present(node)
        again = node.heads.rotate_key("once more", caller())
        assert again.ak_public not in (old, waiting)
        assert signed(node)
    with Node(settings(room)) as node:
        assert present(node) == again.ak_public
        assert signed(node)
        assert verdict(node, room, enrolled) == "VERIFIED"
    assert "ak.next.json" not in files(room)
    assert check(room / "state") == []


@pytest.mark.parametrize("step", ["made", "named", "covered", "adopted"])
def test_a_replacement_that_is_killed_is_finished_or_done_again(
    swtpm: SoftwareTpm, room: Path, step: str
) -> None:
    with Node(settings(room)) as node:
        old, enrolled = present(node), trust_in(node)
        assert signed(node)
    tpm2(swtpm.tcti, "clear", "-c", "p")
    kill_in(room, "replace", step)
    with Node(settings(room)) as node:
        if step == "made":  # the log does not know of it
            assert node.tpm_lack is not None
            assert node.tpm_lack.code == "TPM_KEY_CLEARED"
            node.heads.replace_key("once more", caller())
        assert signed(node)
        assert events(node) == ["created", "replaced"]
        assert present(node) != old
        assert verdict(node, room, enrolled) == "TRUST_AK"
    assert "ak.next.json" not in files(room)
    assert check(room / "state") == []


def lose(swtpm: SoftwareTpm, room: Path, how: str) -> None:
    keys = room / "state" / "keys"
    if how == "cleared":
        tpm2(swtpm.tcti, "clear", "-c", "p")
    elif how == "other":
        swtpm.stop()
        shutil.rmtree(room / "tpm")
    elif how == "auth":
        (keys / "ak.auth").write_bytes(b"\x01" * 32)
    elif how == "damaged":
        content = json.loads((keys / "ak.json").read_bytes())
        content["private"] = content["public"]
        (keys / "ak.json").write_text(json.dumps(content))
    else:
        (keys / "ak.json").unlink()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("cleared", "TPM_KEY_CLEARED"),
        ("other", "TPM_KEY_OTHER_TPM"),
        ("auth", "TPM_KEY_AUTH_LOST"),
        ("damaged", "TPM_KEY_DAMAGED"),
        ("gone", "TPM_KEY_GONE"),
    ],
)
def test_a_lost_key_has_a_reason_of_its_own_and_is_replaced_on_order(
    swtpm: SoftwareTpm, room: Path, how: str, code: str
) -> None:
    with Node(settings(room)) as node:
        old = present(node)
        assert signed(node)
    lose(swtpm, room, how)
    with contextlib.ExitStack() as stack:
        if how == "other":
            stack.enter_context(start_software_tpm(room / "tpm"))
        with Node(settings(room)) as node:
            assert code in [finding.code for finding in node.findings]
            assert node.tpm_lack is not None
            assert "keys rotate --lost" in node.tpm_lack.remedy
            with pytest.raises(TpmError) as caught:
                node.heads.rotate_key("it does not work", caller())
            assert caught.value.code == code
            assert not signed(node)
            view = operations(node)["keys_rotate"](reason="lost", lost=True)
            assert (view["event"], view["signed"]) == ("replaced", True)
            assert present(node) != old
            earlier = keys_view(node)["earlier"][0]
            assert earlier["name"] == parse_tpmt(old).name().hex()
            assert (earlier["ended"]["event"], earlier["ended"]["lost"]) == ("replaced", code)
            assert signed(node)
        with Node(settings(room)) as node:
            assert node.tpm_lack is None
            assert signed(node)
            assert events(node) == ["created", "replaced"]


def test_a_key_that_is_lost_under_a_running_node_is_replaced_without_a_restart(
    swtpm: SoftwareTpm, room: Path
) -> None:
    with Node(settings(room)) as node:
        assert signed(node)
        tpm2(swtpm.tcti, "clear", "-c", "p")
        node.attest(["host"])
        with pytest.raises(TpmError) as caught:
            node.checkpoint("test")
        assert caught.value.code == "TPM_KEY_CLEARED"
        node.heads.replace_key("cleared by mistake", caller())
        assert signed(node)
        assert node.head_lack is None


def test_a_key_that_works_is_not_called_lost(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        before = present(node)
        with pytest.raises(UsageError) as caught:
            node.heads.replace_key("a mistake", caller())
        assert caught.value.code == "KEY_NOT_LOST"
        swtpm.stop()
        with pytest.raises(TpmError) as unreachable:
            node.heads.replace_key("nobody can tell", caller())
        assert unreachable.value.code == "TPM_ABSENT"
        assert (present(node), events(node)) == (before, ["created"])


def test_a_retired_key_can_sign_no_more(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        first = parse_tpmt(present(node)).name()
        second = parse_tpmt(node.heads.rotate_key("yearly", caller()).ak_public).name()
        for named, code in ((second.hex(), "KEY_IN_USE"), ("00" * 34, "NO_SUCH_KEY")):
            with pytest.raises(UsageError) as caught:
                node.heads.retire_key(named, "a mistake", caller())
            assert caught.value.code == code
        blob = room / "state" / "keys" / f"ak.{first.hex()[4:20]}.json"
        kept = blob.read_bytes()
        step = node.heads.retire_key(first.hex()[4:14], "rotated", caller())
        assert step.record.name == first
        assert not blob.exists()
        blob.write_bytes(kept)  # a crash before it was removed
        assert node.heads.retire_key(first.hex(), "again", caller()).seq == step.seq
        assert not blob.exists()
        assert events(node) == ["created", "rotated", "retired"]
        assert signed(node)
        assert node.tpm is not None


def test_proofs_name_the_key_that_signed_their_head(swtpm: SoftwareTpm, room: Path) -> None:
    with Node(settings(room)) as node:
        prove = operations(node)["prove"]
        keys = [present(node)]
        for number in range(2):
            newest = str(node.journal.size - 1)
            proof = decode_proof(prove(record=newest, hide_provenance=False)["proof"].encode())
            assert proof.quote is not None
            assert proof.quote.ak_public == keys[-1]
            assert len(proof.successions) == number
            keys.append(node.heads.rotate_key("often", caller()).ak_public)


def test_the_verb_rotates_shows_and_retires_with_and_without_a_daemon(
    swtpm: SoftwareTpm, room: Path
) -> None:
    with AgentProcess(room, swtpm.tcti) as agent:
        first = agent.json("keys", "show")
        assert (first["schema"], first["running"], first["earlier"]) == (
            "swt3-agent/keys/1",
            True,
            [],
        )
        assert [key["template"] for key in first["endorsement_keys"]] == [
            "rsa2048",
            "ecc256",
            "ecc384",
        ]
        assert first["endorsement_keys"][0]["certificate"]["of_this_key"]
        done = agent.json("keys", "rotate", "--reason", "yearly")
        assert (done["event"], done["signed"]) == ("rotated", True)
        shown = agent.json("keys", "show")
        assert shown["key"]["name"] == done["name"]
        assert shown["key"]["certified_by"] == first["key"]["name"]
        assert shown["key"]["reason"] == "yearly"
        assert shown["key"]["by"]["uid"] == os.geteuid()
        (earlier,) = shown["earlier"]
        assert (earlier["name"], earlier["kept"]) == (first["key"]["name"], True)
        assert earlier["ended"]["event"] == "rotated"
        refused = agent.cli("keys", "rotate", "--lost", "--reason", "no", "--json")
        assert json.loads(refused.stdout)["error"]["code"] == "KEY_NOT_LOST"
        assert refused.returncode == 2
        agent.json("keys", "retire", earlier["name"], "--reason", "rotated")
        text = agent.cli("keys", "show").stdout
        for said in (done["name"], "retired in record", "software TPM", "01c00002", "01800053"):
            assert said in text
        assert agent.cli("keys", "rotate").returncode == 2  # no reason
        agent.stop()
        stopped = agent.json("keys", "show")
        assert (stopped["running"], stopped["endorsement_keys"]) == (False, None)
        assert stopped["key"] == shown["key"]
        again = agent.json("keys", "rotate", "--reason", "without a daemon")
        assert again["name"] != done["name"]
        assert agent.cli("fsck").returncode == 0


def test_a_node_without_a_tpm_has_no_keys(room: Path) -> None:
    config = load_config({**environment(room), "SWT3_TPM_TCTI": "none"})
    with Node(config) as node:
        view = keys_view(node)
        assert (view["key"], view["endorsement_keys"]) == (None, None)
        assert view["endorsement_error"]["code"] == "TPM_ABSENT"
        for lost in (False, True):
            with pytest.raises(TpmError) as caught:
                operations(node)["keys_rotate"](reason="none", lost=lost)
            assert caught.value.code == "TPM_ABSENT"
        with pytest.raises(UsageError):
            operations(node)["keys_retire"](key="00" * 34, reason="none")
