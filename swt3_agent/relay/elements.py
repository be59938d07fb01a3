"""The elements of a JSON list, without more of them in memory than may be there."""

from collections.abc import Callable
from functools import lru_cache

import msgspec


@lru_cache(maxsize=8)
def bounded_list(most: int) -> type[msgspec.Struct]:
    """A type that a list decodes as: ``most`` elements and one more to tell by; :func:`elements`
    has them. What follows is passed over, and costs no memory.

    A plain list is complete before its length can be looked at: four megabytes of ``0,0,0`` make
    two million objects, and take a quarter of a second in which nothing else runs.
    """
    fields = [(f"_{place}", msgspec.Raw, None) for place in range(most + 1)]
    return msgspec.defstruct(f"UpTo{most}", fields, array_like=True)


def elements(decoded: msgspec.Struct) -> list[bytes]:
    """What a ``bounded_list`` holds."""
    found = msgspec.structs.astuple(decoded)
    return list(map(bytes, found[: found.index(None)] if found[-1] is None else found))


@lru_cache(maxsize=8)
def list_decoder(most: int) -> Callable[[bytes | msgspec.Raw], list[bytes]]:
    """Decodes a list; what it returns has more than ``most`` elements where the list has."""
    decode = msgspec.json.Decoder(bounded_list(most)).decode
    return lambda text: elements(decode(text))
