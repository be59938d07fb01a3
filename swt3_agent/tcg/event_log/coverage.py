"""How much of an event its digest covers (docs/formats.md, "Measured boot")."""

import hashlib
from enum import Enum

from swt3_agent.tcg.event_log.content import Command, CommandLine, Content, Separator, Variable
from swt3_agent.tcg.event_log.decode import decode
from swt3_agent.tcg.event_log.events import Event
from swt3_agent.tcg.event_log.log import BANKS


class Coverage(Enum):
    """What of an event is vouched for, once the replay of its PCR is the quoted value.

    The type never is: it says only how the data was read.
    """

    DATA = "data"
    """All of the data was hashed."""
    CONTENT = "content"
    """What the data holds was hashed: a variable's value, a command. Its name is a label."""
    NOTHING = "unverified"
    """The digest is of something else (a file, an image): the data is a label."""
    INFORMATION = "information"
    """Nothing was extended."""


def coverage(event: Event, bank: str = "sha256", content: Content | None = None) -> Coverage:
    """How much of ``event`` the digest in ``bank`` covers. ``content``: decoded before."""
    if not event.extended:
        return Coverage.INFORMATION
    digest = event.digest(BANKS[bank])
    if digest is None:
        return Coverage.NOTHING
    content = decode(event) if content is None else content
    whole = digest == hashlib.new(bank, event.data).digest()
    if whole and not isinstance(content, Command | CommandLine):
        return Coverage.DATA
    hashed = (hashlib.new(bank, part).digest() for part in _hashed_parts(content))
    if digest in hashed:
        return Coverage.DATA if whole else Coverage.CONTENT
    return Coverage.NOTHING


def _hashed_parts(content: Content) -> tuple[bytes, ...]:
    """The parts of the data that were hashed instead of all of it, where that is the rule."""
    match content:
        case Variable(value=value):
            return (value,)  # EV_EFI_VARIABLE_BOOT: the name is not covered
        case Command(text=text) | CommandLine(text=text):
            # Nothing but the text: where a prefix was hashed with it, or bytes that are no text,
            # whoever chose the command has made it read like another one.
            encoded = text.encode(), text.encode("utf-16-le")
            return (*encoded, f"{text}\0".encode(), f"{text}\0".encode("utf-16-le"))
        case Separator(error=True):
            return (b"\x01\x00\x00\x00",)  # TCG PFP 1.06, 10.4.1: the data says which error
    return ()
