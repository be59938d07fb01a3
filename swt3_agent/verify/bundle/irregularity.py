"""What a verifier of a bundle notices and does not refuse."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Irregularity:
    """Something in the log that an honest node can have, and that a reader must know of.

    ``decides``: without an explanation the bundle cannot be called true. ``size``: an enrolled log
    of as many records, whose root is compared with this one's, is an explanation; 0 where none is.
    """

    code: str
    detail: str
    decides: bool = False
    size: int = 0
