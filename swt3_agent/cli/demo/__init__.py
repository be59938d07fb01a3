"""``swt3-agent demo``: the whole product on this machine, in a private directory.

Nothing is staged: a real daemon runs, a separate process sends anchors through the socket, and
every line printed comes from what those parts said.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swt3_agent.cli.attest import ATTEST_TIMEOUT_S
from swt3_agent.cli.demo.model import write_model
from swt3_agent.cli.demo.show import Show
from swt3_agent.cli.demo.stage import DemoAgent, check_directory, demo_tpm
from swt3_agent.cli.demo.tamper import flip_one_bit
from swt3_agent.cli.demo.trust import vouch
from swt3_agent.cli.files import make_directory
from swt3_agent.collect.measure import model_digest
from swt3_agent.errors import RemoteError, UsageError

MODEL_NAME = "demo-model"
EXIT_FALSE = 3
_TEMPORARY = "swt3-demo-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--model", type=Path, metavar="PATH", help="hash this model of yours")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where the evidence goes (default: a new one)"
    )
    parser.add_argument(
        "--anchors", type=int, default=1000, metavar="N", help="inference anchors to send (1000)"
    )
    parser.add_argument("--json", action="store_true", help="print what was attested as JSON")


def run(args: argparse.Namespace) -> int:
    """Attest this machine, take anchors, prove one, and show a forgery refused."""
    if args.anchors < 1:
        raise UsageError("BAD_COUNT", "--anchors is under 1", remedy="send at least one")
    # Whatever ends the demo, the daemon and the TPM that it started must end with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _check_model(args.model)
    directory = _private_directory(args.directory)
    show = Show(to_stderr=args.json)
    show.say(f"swt3-agent demo: everything it makes stays below {directory}\n")
    with show.step("A model to serve") as facts:
        settings = _settings(args.model, directory, facts)
    with demo_tpm(directory / "tpm") as tpm:
        agent = DemoAgent(directory, tpm.tcti, settings)
        with agent.running():
            _accept_boot(show, agent)
            rows = _attest(show, agent, tpm.why)
            proof = _relay_and_prove(show, agent, args.anchors)
            status = agent.verb("status")
        _verify(show, agent, proof, status)
    if args.json:
        print(json.dumps({"schema": "swt3-agent/demo/1", "attested": rows, "status": status}))
    show.say()
    show.attested(rows)
    _what_next(show, agent, status)
    return 0


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _check_model(model: Path | None) -> None:
    if model is not None and not model.exists():
        raise UsageError(
            "NO_SUCH_MODEL",
            f"there is no {model} to hash",
            remedy="name a model file, or a directory with one",
        )


def _private_directory(wanted: Path | None) -> Path:
    if wanted is None:
        check_directory(Path(tempfile.gettempdir(), _TEMPORARY + "12345678"))
        return Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    directory = wanted.resolve()
    check_directory(directory)
    make_directory(directory, mode=0o700)
    if any(directory.iterdir()):
        raise UsageError(
            "DIRECTORY_NOT_EMPTY", f"{wanted} is not empty", remedy="name a new directory"
        )
    return directory


def _settings(model: Path | None, directory: Path, facts: list[str]) -> dict[str, Any]:
    """The demo's own settings. Only the model that the demo wrote itself counts as approved."""
    if model is not None:
        facts.append(f"{model}: yours; nobody approved it here, so it is hashed, not compared")
        entry = {"name": model.resolve().name, "path": str(model.resolve())}
    else:
        path = write_model(directory)
        approved = model_digest(path)
        facts.append(f"{path}: two safetensors shards and a LoRA adapter, written just now")
        facts.append(f"approved with the digest it has now: {approved}")
        entry = {"name": MODEL_NAME, "path": str(path), "approved": approved}
    return {"models": [entry]}


def _accept_boot(show: Show, agent: DemoAgent) -> None:
    """Without reference values nothing can be said of a boot state but that it was quoted."""
    if agent.verb("status")["tpm"]["kind"] == "none":
        return
    with show.step("The daemon is up; accepting the boot state of this machine") as facts:
        reason = "the demo takes the present state for the good one"
        changed = agent.verb("baseline", "accept", "--reason", reason)
        accepted = changed["in_force"]
        facts.append(f"record {changed['record']}, by uid {accepted['by']['uid']}: {reason}")
        facts.append(f"registers as they are: {', '.join(map(str, accepted['pcrs']))}")
        if accepted["values"]:
            facts.append(f"from the boot log: {', '.join(accepted['values'])}")


def _attest(show: Show, agent: DemoAgent, tpm: str) -> list[dict[str, Any]]:
    with show.step("Attesting host, TPM, GPUs and model") as facts:
        rows: list[dict[str, Any]] = agent.verb("attest", timeout_s=ATTEST_TIMEOUT_S)
        facts.append(f"TPM: {tpm}")
        signer = agent.verb("status")["tpm"]
        if signer["kind"] == "none":
            facts.append(f"NO TPM signs the log: {signer.get('detail', 'none was reached')}")
        facts += [f"{row['verdict']:<12} {row['procedure_id'] or row['collector']}" for row in rows]
    return rows


def _relay_and_prove(show: Show, agent: DemoAgent, anchors: int) -> Path:
    with show.step("An inference process sends its anchors through the socket") as facts:
        done = agent.run_module("swt3_agent.cli.demo.inference", str(anchors))
        if done.returncode != 0:
            raise RemoteError(
                "DEMO_CLIENT",
                f"the client failed: {done.stderr or done.stdout}",
                remedy="report it",
            )
        sent = json.loads(done.stdout)
        facts.append(f"pid {sent['pid']}: {sent['delivered']} of {sent['emitted']} acknowledged")
        facts.append("acknowledged means: on disk, and fdatasync has returned")
    with show.step("Proving the last of them by a head of the log") as facts:
        relayed = _last_relayed(agent)
        proof = agent.directory / "proof.json"
        answer = agent.verb("prove", str(relayed), "-o", str(proof))
        signer = "a TPM quote" if answer["signed"] else "NOTHING: no TPM"
        facts.append(f"record {relayed} of {answer['size']}; the head is signed by {signer}")
        facts.append(f"{proof}, {proof.stat().st_size} bytes")
    return proof


def _last_relayed(agent: DemoAgent) -> int:
    done = agent.run("log", "--config", str(agent.config), "--json")
    records = map(json.loads, done.stdout.splitlines())
    relayed = [int(record["seq"]) for record in records if record["kind"] == "relayed"]
    if done.returncode != 0 or not relayed:
        raise RemoteError(
            "DEMO_LOG", f"the log shows no anchor: {done.stderr}", remedy=f"see {agent.log}"
        )
    return relayed[-1]


def _verify(show: Show, agent: DemoAgent, proof: Path, status: dict[str, Any]) -> None:
    """With the daemon gone: the proof and the enroller's word are all that the verifier has."""
    trust = agent.directory / "trust.txt"
    options: list[str] = []
    if vouch(proof, status, trust, time.time_ns() // 1_000_000) is not None:
        options = ["--trust", str(trust)]
        options += [] if status["tpm"]["kind"] == "tpm" else ["--allow-software-tpm"]
    with show.step("Verifying it offline: the daemon is stopped") as facts:
        done = agent.run("verify", str(proof), *options)
        facts += [*done.stdout.splitlines(), f"exit code {done.returncode}"]
    with show.step("The same after one bit of a copy is flipped") as facts:
        forged = agent.directory / "forged.json"
        facts.append(flip_one_bit(proof, forged))
        refused = agent.run("verify", str(forged), *options)
        facts += [*refused.stdout.splitlines()[:3], f"exit code {refused.returncode}"]
    if options and done.returncode != 0:
        raise RemoteError("DEMO_PROOF", "a good proof was not verified", remedy="report it")
    if refused.returncode != EXIT_FALSE:
        raise RemoteError("DEMO_FORGERY", "a forged proof was not refused", remedy="report it")


def _what_next(show: Show, agent: DemoAgent, status: dict[str, Any]) -> None:
    """Commands that work as they stand, from the directory that the demo was started in."""
    program = _program()
    config = f"--config {shlex.quote(str(agent.config))}"
    proof = shlex.quote(str(agent.directory / "proof.json"))
    show.say(f"\nThe evidence lies in {agent.directory}. Try next:")
    for purpose, command in (
        (f"the last of its {status['log']['tree_size']} records", f"log {config} | tail -3"),
        ("every byte of the log", f"fsck {config}"),
        ("the proof, without an enroller's word: exit code 4", f"verify {proof}"),
        ("the daemon itself: as root, with its log in /var/lib/swt3-agent", "run"),
    ):
        show.say(f"  # {purpose}")
        show.command(f"  {program} {command}")


def _program() -> str:
    """How this very program is called from here: the name alone, or its path."""
    own = Path(sys.prefix, "bin", "swt3-agent")
    found = shutil.which(own.name)
    if found is not None and (not own.exists() or Path(found).resolve() == own.resolve()):
        return own.name
    with contextlib.suppress(ValueError):
        own = own.relative_to(Path.cwd())
    return shlex.quote(str(own))
