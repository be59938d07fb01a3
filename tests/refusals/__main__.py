"""``python -m tests.refusals``: write ``tests/vectors/refusals`` anew."""

from tests.refusals.vectors import DIRECTORY, every_case, write

if __name__ == "__main__":
    made = every_case()
    write(DIRECTORY, made)
    print(f"{len(made)} cases of {len({case.code for case in made})} codes in {DIRECTORY}")
