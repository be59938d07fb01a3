"""Judging a bundle offline (docs/formats.md, "Bundle").

judge          the checks, in their order
  examination  what they brought to light so far
  archive      the file, within bounds
  closing      what ties its manifest to the log
  contents     its records, one by one, and the tree over them
    heads      the chain of heads
  limits       what none of that proves
  report       what was found
source         the records of a bundle that was judged, for an importer
"""
