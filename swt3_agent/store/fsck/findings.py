"""What a check can find, and what to do about each."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

_RESTORE = "restore the file from a backup; what can still be read stays readable"

REMEDIES = {
    "STATE_VERSION": "run the version of swt3-agent that wrote the directory, or a newer one",
    "SEGMENT_MISSING": _RESTORE,
    "SEGMENT_UNREADABLE": "make it readable for the user who checks; if the disk fails, restore it",
    "SEGMENT_SHORT": _RESTORE,
    "SEALED_DAMAGED": _RESTORE,
    "SEALED_ROOT": "restore the file and its segment's key from a backup, or tell an assessor:"
    " records were changed",
    "FRAME_DAMAGED": _RESTORE,
    "SEQ_GAP": _RESTORE,
    "WRONG_SEGMENT": "put the file back under the name that its records ask for",
    "COMMIT_MARKS": "tell an assessor: the records were not written by this journal",
    "TORN_TAIL": "none where the system was interrupted: the next start cuts it and says so",
    "JOURNAL_SHORTER": "restore journal/ and keys/ from a backup; if the records are lost for good,"
    " keep the directory for an assessor and begin a new log in another",
    "HIGH_WATER_UNREADABLE": "none: the running agent writes it again; until then a lost end of the"
    " journal is not noticed",
    "SEGMENT_KEY_UNUSED": "none where the system was interrupted or the disk was full: the segment"
    " comes with the next record; else restore the segment from a backup",
    "SEGMENT_KEY_MISSING": "restore the key: without it its segment's records cannot be proved",
    "SEGMENT_KEY_DAMAGED": "restore the key: without it its segment's records cannot be proved",
    "PROVENANCE_NOT_CANONICAL": "tell an assessor: the record was not written by this agent",
    "NOTE_UNREADABLE": "tell an assessor: the checkpoint was not written by this agent",
    "NOTE_ROOT": "restore journal/ and keys/ from one backup, else tell an assessor: records before"
    " the checkpoint, or the key of their segment, were changed",
    "NOTE_SIZE": "tell an assessor: the checkpoint does not fit the log",
    "NOTE_PREVIOUS": "tell an assessor: a checkpoint is missing or was replaced",
    "NOTE_ORIGIN": "tell an assessor: the checkpoint is of another log",
    "QUOTE_UNREADABLE": "tell an assessor: the quote was not written by this agent",
    "QUOTE_NOTE": "tell an assessor: the quote is not over the note that it names",
    "QUOTE_NOT_EXTENDED": "tell an assessor: the head was quoted and never extended",
    "LOG_PCR_REPLAY": "tell an assessor: another head, or something else, extended the log PCR",
    "EVIDENCE_MISSING": _RESTORE,
    "EVIDENCE_CHANGED": _RESTORE,
    "STATE_MODE": "take the permissions of group and others away, and ask who had use of them",
    "AK_MISSING": "restore keys/ak.json from a backup: without it no head can be signed",
    "AK_DIFFERS": "restore keys/ak.json from a backup: the log is signed with another key",
    "CATALOGUE_UNREADABLE": "none: the next start fills it anew; where it does not, delete"
    " catalogue.db",
    "CATALOGUE_OTHER_LOG": "none: the next start fills it anew",
    "CATALOGUE_DIFFERS": "stop the agent and delete catalogue.db: it is filled anew",
}


_NOTICES = frozenset(
    {
        "TORN_TAIL",
        "HIGH_WATER_UNREADABLE",
        "SEGMENT_KEY_UNUSED",
        "CATALOGUE_UNREADABLE",
        "CATALOGUE_OTHER_LOG",
    }
)


class Severity(Enum):
    """``NOTICE``: the next start mends it; nothing known to have been acknowledged is lost."""

    DAMAGE = "damage"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: stable ``code``, ``where`` it is, in words, and what to do."""

    code: str
    where: str
    detail: str
    remedy: str
    severity: Severity


Report = Callable[[str, str, str], None]
"""Takes code, where and detail."""


def finding(code: str, where: str, detail: str) -> Finding:
    """A finding with the remedy and the severity of its code."""
    severity = Severity.NOTICE if code in _NOTICES else Severity.DAMAGE
    return Finding(code, where, detail, REMEDIES[code], severity)
