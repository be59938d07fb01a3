"""Makes the vectors of everything that a verifier must refuse: ``python -m tests.refusals``.

One case for each refusal, as files that another implementation can be run on: see
``tests/vectors/refusals/README.md`` for their form. What is made here is made of paper: structures
built by hand and signed with keys that lie in this repository, the same bytes each time.
"""
