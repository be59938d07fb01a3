# Two commands do everything on a Debian machine that has only git and make: `make run` and `make test`.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup run test check unit unit-unprivileged bench fuzz refusals lock clean

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

setup:  ## prepare .venv; the other targets do so by themselves (PYTHON=/path/to/python3.x)
	@scripts/setup

run: setup  ## the demo: attest this machine, prove an anchor, verify it (ARGS="--model DIR")
	@$(BIN)/swt3-agent demo $(ARGS)

test: setup check unit unit-unprivileged  ## all that must be green before a change lands

check: setup  ## lint, format, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: setup  ## unit and integration tests (ARGS="-k journal")
	$(BIN)/pytest -q $(ARGS)

unit-unprivileged: setup  ## when root: the tests of permissions again, as an unprivileged user
	scripts/test-unprivileged -q

bench: setup  ## benchmarks, as ratios against a peer in the same run
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: setup  ## look for input that breaks a parser, led by coverage (ARGS="--seconds 600 proof")
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip -q install --only-binary :all: atheris || true
	@$(BIN)/python -m tests.fuzz $(ARGS)

refusals: setup  ## write the vectors of what a verifier must refuse anew
	@$(BIN)/python -m tests.refusals

lock:  ## resolve the dependencies again after a change in pyproject.toml; needs uv
	@command -v uv >/dev/null || { echo "make lock needs uv (python3 -m pip install uv)" >&2; exit 1; }
	uv pip compile --universal --python-version 3.10 --generate-hashes --extra agent --group dev \
	    --no-header --quiet --output-file requirements.lock pyproject.toml

clean:  ## remove everything that was made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
