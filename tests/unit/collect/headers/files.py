"""Reading a header from bytes, as from the file that holds them."""

import os
from collections.abc import Callable

from swt3_agent.collect.headers.header import Header

Parser = Callable[[int, int], Header]


def parse(parser: Parser, content: bytes) -> Header:
    descriptor = os.memfd_create("weights")
    try:
        os.write(descriptor, content)
        return parser(descriptor, len(content))
    finally:
        os.close(descriptor)
