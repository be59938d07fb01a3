"""Judging one bundle: what was brought to light so far."""

from dataclasses import dataclass, field

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.verify.bundle.boot_state import BootState
from swt3_agent.verify.bundle.contents import Contents
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.course import Course
from swt3_agent.verify.report import Report


@dataclass(slots=True)
class Examination(Course):
    """The course of judging a bundle, and what it brought to light.

    ``hashes`` are hex SHA-256 by member, ``closing`` the report on ``proof.json``; ``reference``:
    the boots were held against reference values; ``roots``: of the log, by size.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    manifest: Manifest | None = None
    closing: Report | None = None
    contents: Contents | None = None
    history: History | None = None
    boots: list[BootState] = field(default_factory=list)
    reference: bool = False
