# Two commands matter: `make demo` and `make test`. `make check` is the fast loop.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help check format lock

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

check:  ## format, lint, types, imports, unit tests: under two minutes
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -m "not real and not slow" tests/house tests/filterd tests/trainer tests/contract

format:  ## rewrite the code in the house style
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --quiet

lock:  ## resolve requirements/*.lock again
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --all-extras --group dev -o requirements/all.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -c requirements/all.lock -o requirements/daemon.lock
