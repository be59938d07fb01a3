# Two commands do everything on a fresh Debian machine: `make run` and `make test`.
.PHONY: run test setup check unit bench lock clean

run: setup
	.venv/bin/swt3-agent demo

test: setup check unit

setup:
	@scripts/setup

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: setup
	.venv/bin/pytest

bench: setup
	.venv/bin/python -m tests.bench

lock:  ## resolve again after a change of dependencies; needs uv
	uv pip compile --universal --python-version 3.10 --generate-hashes --extra agent --group dev \
	    --no-header --quiet --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
