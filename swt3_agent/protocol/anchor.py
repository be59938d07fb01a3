"""Anchor tokens: the one-line name of an anchor (docs/protocol.md 2).

    SWT3-{TIER}-{PROVIDER}-{UCT}-{PROCEDURE}-{VERDICT}-{EPOCH}-{FINGERPRINT}

A token proves nothing beyond its fingerprint: turning PASS into FAIL leaves that valid.
"""

import re
from dataclasses import dataclass

from swt3_agent.errors import FormatError
from swt3_agent.protocol.fingerprint import check_procedure
from swt3_agent.protocol.procedures import Verdict

MAX_TOKEN_CHARS = 256

# Read from the right: a provider and a procedure of others may hold the delimiter.
_TOKEN = re.compile(
    r"SWT3-(?P<tier>[ESH])-(?P<middle>.+)"
    r"-(?P<verdict>PASS|FAIL|INHERITED|LAPSED|UNKNOWN)"
    r"-(?P<epoch>[0-9]{1,13})-(?P<fingerprint>[0-9a-f]{12})"
)
_MIDDLE = re.compile(
    r"(?P<provider>[A-Z0-9]+(?:-[A-Z0-9]+)*)-(?P<uct>[A-Z0-9]{2,4})-"
    r"(?P<procedure>[A-Z0-9]+|[A-Z][A-Z0-9]{0,7}-[A-Z0-9]{1,16}\.[0-9]{1,3})"
)
_PROVIDER = re.compile(r"[A-Z0-9]{1,32}")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_MAX_EPOCH = 10**13 - 1


@dataclass(frozen=True, slots=True)
class AnchorToken:
    """A token taken apart.

    ``procedure`` is as the token spells it: ``AIINF1`` for AI-INF.1, or the whole id in tokens
    that were not normalised. ``well_formed`` is False for spellings that are read for verification
    and never minted. ``epoch`` counts seconds.
    """

    tier: str
    provider: str
    uct: str
    procedure: str
    verdict: str
    epoch: int
    fingerprint: str
    well_formed: bool

    def names(self, procedure: str) -> bool:
        """Whether the token is about ``procedure``, a full id such as AI-INF.1."""
        return _normalised(self.procedure) == _normalised(procedure)


def mint_token(
    procedure: str,
    verdict: Verdict,
    epoch: int,
    fingerprint: str,
    *,
    tier: str = "E",
    provider: str = "ONPREM",
) -> str:
    """The token of an anchor that this node minted. ``epoch`` counts seconds.

    Raises FormatError (BAD_FIELD) for parts that a reader could not take apart again, and for
    procedures outside the AI family, whose UCT code no public rule gives.
    """
    family = check_procedure(procedure).split("-")[0]
    faults = {
        "procedure": family != "AI",
        "tier": tier not in ("E", "S", "H"),
        "provider": not _PROVIDER.fullmatch(provider),
        "epoch": type(epoch) is not int or not 0 <= epoch <= _MAX_EPOCH,
        "fingerprint": not _FINGERPRINT.fullmatch(fingerprint),
    }
    for name, faulty in faults.items():
        if faulty:
            raise FormatError(
                "BAD_FIELD",
                f"an anchor token cannot carry this {name}",
                remedy="mint tokens for AI procedures, with an upper-case alphanumeric provider",
            )
    code = _normalised(procedure)
    return f"SWT3-{tier}-{provider}-AI-{code}-{verdict.value}-{epoch}-{fingerprint}"


def parse_token(text: str) -> AnchorToken:
    """Take a token apart, malformed spellings seen in the wild included.

    Raises FormatError (BAD_TOKEN) for text that is no token in any known spelling.
    """
    outer = _TOKEN.fullmatch(text) if len(text) <= MAX_TOKEN_CHARS else None
    middle = _MIDDLE.fullmatch(outer["middle"]) if outer else None
    if outer is None or middle is None:
        raise FormatError(
            "BAD_TOKEN",
            f"{text[:64]!a} is not an SWT3 anchor token",
            remedy="give the whole token, from SWT3- to the 12 hex characters of the fingerprint",
        )
    procedure, uct = middle["procedure"], middle["uct"]
    normalised = procedure == _normalised(procedure)
    return AnchorToken(
        tier=outer["tier"],
        provider=middle["provider"],
        uct=uct,
        procedure=procedure,
        verdict=outer["verdict"],
        epoch=int(outer["epoch"]),
        fingerprint=outer["fingerprint"],
        well_formed=normalised
        and "-" not in middle["provider"]
        and (uct == "AI") == procedure.startswith("AI"),
    )


def _normalised(procedure: str) -> str:
    return re.sub("[-._]", "", procedure)
