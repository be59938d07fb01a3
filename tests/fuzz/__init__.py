"""Every parser of what a stranger hands over, fuzzed: nothing but its own refusal may come out.

``targets`` names them with seeds to begin from. The unit tests mutate the seeds with hypothesis for
a moment; ``python -m tests.fuzz`` does so for as long as it is told, led by coverage (atheris).
"""
