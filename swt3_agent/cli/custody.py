"""``swt3-agent custody``: what clearing removed, for those who may read it.

``open`` and ``keygen`` are for a custodian's own machine: they need neither agent nor state.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verbs and their options."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    verbs = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = verbs.add_parser(
        "status", help="where it is kept, for whom, and what hinders it", allow_abbrev=False
    )
    _add_config(status)
    reading = verbs.add_parser(
        "open", help="read custody files with a custodian's key, anywhere", allow_abbrev=False
    )
    reading.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE|DIR", help="custody files, or where they lie"
    )
    reading.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="the custodian's private key"
    )
    reading.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write a handoff file for each record there (else: one JSON document a line)",
    )
    reading.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="what `swt3-agent log --json` printed: check that every record which lost something"
        " has its entry, and that each entry is of a record",
    )
    export = verbs.add_parser("export", help="copy custody out of this node", allow_abbrev=False)
    _add_config(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    export.add_argument(
        "--handoff",
        action="store_true",
        help="open what only this node's own key opens, and write handoff files",
    )
    export.add_argument(
        "--evidence", action="store_true", help="copy the raw evidence of collectors too"
    )
    keygen = verbs.add_parser("keygen", help="make a custodian's key pair", allow_abbrev=False)
    keygen.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="NAME",
        help="NAME.key is the private key, NAME.pub the one for agent.custody.recipients",
    )
    keygen.add_argument(
        "--hybrid",
        action="store_true",
        help="X25519 and ML-KEM-768 together, against who records now and decrypts in decades",
    )
    for verb in (status, reading, export, keygen):
        verb.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; exit code 3 where a file is damaged."""
    # Here, because `open` and `keygen` must run where the agent's dependencies are not installed.
    if args.action in ("open", "keygen"):
        from swt3_agent.cli import custody_open

        return custody_open.keygen(args) if args.action == "keygen" else custody_open.run(args)
    from swt3_agent.cli import custody_node

    return custody_node.status(args) if args.action == "status" else custody_node.export(args)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="agent.yaml to read (default: /etc/swt3-agent/agent.yaml where it exists)",
    )
