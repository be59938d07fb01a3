"""One file per verb; this one finds the file, runs it, and turns errors into words and codes.

Only the chosen verb is imported, so that `verify` runs where the agent's dependencies are not
installed, and a verb that lacks one can say which extra brings it.
"""

import argparse
import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from swt3_agent.cli.text import printable, show
from swt3_agent.errors import AgentError, MissingExtraError, UsageError

EXIT_INTERRUPTED = 130
EXIT_CUT_SHORT = 141  # as a shell says it of a program that SIGPIPE ended


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the command line: the file of the same name, with underscores, holds it."""

    name: str
    summary: str
    extra: str  # which extra of the package brings what it imports


VERBS = (
    Verb("run", "run the agent until it is told to stop", "agent"),
    Verb("attest", "collect, judge and record the state of this machine now", "agent"),
    Verb("status", "show the agent, its log and its collectors", "agent"),
    Verb("doctor", "find what keeps the agent from its work, and say what to do", "agent"),
    Verb("log", "print the records of the log", "agent"),
    Verb("queue", "show what waits for the ledger and what it refused", "agent"),
    Verb("prove", "write a proof of one record that can be verified anywhere", "agent"),
    Verb("statement", "write an in-toto statement of a record, signed by the TPM's key", "agent"),
    Verb("merkle", "show the root of a day's anchors, or prove one to be among them", "agent"),
    Verb("history", "show which weights were on which GPUs since when, and what changed", "agent"),
    Verb("verify", "judge a proof, bundle, quote or statement, offline", "verify"),
    Verb("export", "write a range of the log to a file that can be verified anywhere", "agent"),
    Verb("replay", "deliver the anchors of a bundle to a ledger, and sign receipts", "agent"),
    Verb("import-receipts", "settle what an importer signed for", "agent"),
    Verb("custody", "open, export or look after what clearing removed", "verify"),
    Verb("baseline", "say which boot state this node must show, and see what differs", "agent"),
    Verb("boot-log", "show what was measured at boot, and whether a TPM vouches for it", "verify"),
    Verb("quote", "have the TPM sign its state over a challenge", "agent"),
    Verb("enroll", "have a node's key vouched for, over an air gap if there is one", "verify"),
    Verb("keys", "show which keys sign here, or have another one sign", "agent"),
    Verb("fsck", "check every byte of the log and name any damage", "agent"),
    Verb("init", "write a configuration to begin with", "agent"),
    Verb("config", "check the configuration, or show what is in force", "agent"),
    Verb("profiles", "list the profiles, or show what one demands", "agent"),
    Verb("procedures", "print the catalogue of procedures", "agent"),
    Verb("demo", "show the whole of it on this machine in a private directory", "agent"),
    Verb("version", "print the version", ""),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are like all others: words and a remedy, or JSON."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        usage = " ".join(self.format_usage().split())
        raise UsageError("USAGE", message, remedy=f"{usage} (`{self.prog} --help` says more)")


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``swt3-agent``; returns the exit code (docs/formats.md, "Exit codes")."""
    arguments = sys.argv[1:] if argv is None else argv
    as_json = "--json" in arguments
    _replace_closed_streams()
    code = EXIT_CUT_SHORT
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except AgentError as error:
        return _report(error, as_json=as_json)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_output()  # the reader (`| head`) has seen enough; a verdict keeps its code
    except OSError as error:
        code = _report(_os_error(error), as_json=as_json)
        _let_go_of_output()
    return code


def _replace_closed_streams() -> None:
    """Give a caller's `>&-` somewhere to write to; else the next file opened would be 1 or 2."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  open until the end


def _run(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    name = "version" if name == "--version" else name
    verb = next((verb for verb in VERBS if verb.name == name), None)
    if verb is None:
        _top_level_parser().parse_args(arguments)  # prints help and exits, or raises
        return UsageError.exit_code
    module = _load(verb)
    parser = Parser(
        prog=f"swt3-agent {verb.name}",
        description=f"{verb.name}: {verb.summary}",
        allow_abbrev=False,  # `--js` would be JSON for the verb and words for its errors
    )
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(rest))
    return code


def _top_level_parser() -> argparse.ArgumentParser:
    width = max(len(verb.name) for verb in VERBS)
    verbs = "\n".join(f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS)
    parser = Parser(
        prog="swt3-agent",
        description="Evidence of what a GPU node is and does, that a stranger can verify.",
        epilog=f"verbs:\n{verbs}\n\n`swt3-agent VERB --help` says more of each.\n"
        "exit codes: 0 good, 1 error, 2 usage, 3 verified as false, 4 cannot be judged, "
        "78 bad configuration",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="as the verb `version`")
    parser.add_argument("verb", choices=[verb.name for verb in VERBS], metavar="VERB")
    return parser


def _load(verb: Verb) -> ModuleType:
    try:
        return importlib.import_module(f"swt3_agent.cli.{verb.name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("swt3_agent"):
            raise
        raise MissingExtraError(
            "MISSING_EXTRA",
            f"`swt3-agent {verb.name}` needs the Python module {error.name!r}",
            remedy=f"pip install 'swt3-agent[{verb.extra}]'",
        ) from error


def _os_error(error: OSError) -> AgentError:
    """The error for what no part of the agent foresaw: a full disk, a path that cannot be made."""
    where = "" if error.filename is None else f"{error.filename}: "
    return AgentError(
        "SYSTEM",
        f"{where}{error.strerror or error}",
        remedy="check that path, its permissions and the room on its disk",
    )


def _report(error: AgentError, *, as_json: bool) -> int:
    body = {"code": error.code, "message": error.message, "remedy": error.remedy}
    if not (as_json and _print_whole(json.dumps({"error": body}))):
        show(
            f"swt3-agent: {printable(error.message)}\n"
            f"  remedy: {printable(error.remedy)} [{error.code}]",
            sys.stderr,
        )
    return error.exit_code


def _print_whole(line: str) -> bool:
    """Print to standard output; False where that cannot be written to: then it is let go."""
    try:
        print(line, flush=True)
    except OSError:
        _discard_output()
        return False
    return True


def _let_go_of_output() -> None:
    """Where standard output was what failed, what it still holds must not fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """Send what standard output still holds nowhere: Python would complain again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
