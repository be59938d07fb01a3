"""What a weight file says of itself at its beginning: pure, bounded parsers over a descriptor.

Weight files come from strangers. Nothing is allocated by a number that a file claims, nothing is
mapped, and whatever a file holds there is one answer: a :class:`~.header.Header`, or a
``FormatError`` with a stable code.
"""
