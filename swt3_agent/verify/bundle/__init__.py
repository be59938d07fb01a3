"""Judging a bundle offline (docs/formats.md, "Bundle").

judge          the checks, in their order
  examination  what they brought to light so far
  archive      the file, within bounds
  closing      what ties its manifest to the log
  contents     its records, one by one, and the tree over them
    baselines  who accepted the state that verdicts were held against
  earlier_records  those before the range that something in it rests on
  history      what the log says of itself, in order, handed to
    heads      the chain of heads; ``signers``: whose; ``clocks``: by which counts and clocks
    counter    the steps of the NV counter; ``counter_records``: each held against its head
    windows    what each reset leaves open
    boots      which records tell of which boot
    times      when heads were made, and so when records came
    irregularity  what is said and not refused
  standing     whose keys signed, which doubts remain, how each boot came to be
  boot_state   quotes and logs of each boot; ``evidence``: the records that name them
  limits       what none of that proves
  report       what was found; ``boot_lines``: of boots and resets
records        every record with its time
source         the records of a bundle that was judged, for an importer
"""
