"""Judging a bundle offline (docs/formats.md, "Bundle").

``archive`` reads the file within bounds, ``contents`` goes through its records, ``heads`` follows
the chain of heads, ``judge`` brings them together, ``report`` says what was found.
"""
