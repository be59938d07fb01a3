"""What is fuzzed: a parser, and true inputs of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """``parse`` may raise FormatError and nothing else; ``seeds`` it takes without."""

    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]
