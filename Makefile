# Two commands matter: `make demo` and `make test`. `make check` is the fast loop.
PYTHON ?= python3
BIN := .venv/bin
TARGETS ?= mail splice milter auth_results dkim smtp_data smtp_reply asked webhook bundle
SECONDS = 60
# What has mail in its hands between the dot and the answer.
CUSTODY = filterd/core/headers.py,filterd/core/milter_message.py,filterd/core/parts.py,filterd/core/smtp_data.py,filterd/core/smtp_reply.py,filterd/edges/milter_answer.py,filterd/pipeline.py,filterd/relay/commands.py,filterd/relay/connection.py,filterd/relay/pool.py,filterd/relay/transaction.py,filterd/release.py,filterd/replies.py,filterd/store/held_rows.py,filterd/store/quarantine.py,filterd/store/split.py,filterd/store/writer.py
# Every tier starts many processes of the same modules: compile them once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo run check lint units test everything interop coverage compare evaluation bench faults long kills power-cuts seeded-bugs hostile xss pictures scale fuzz docs format lock

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup:  ## make .venv with what the daemon needs
	@PYTHON=$(PYTHON) .ci/setup daemon

demo: setup  ## send mail and SMS through the daemon and show what became of each
	@$(BIN)/python -m filterd.demo

run: setup  ## keep the daemon up on embedded defaults; everything it writes is under var/
	@$(BIN)/python -m filterd.demo.run var

test:  ## everything: trainer and test tools, real servers unpacked aside, every test but the long ones
	@tests/servers/fetch.sh & PYTHON=$(PYTHON) .ci/setup all && wait
	@tests/servers/fetch.sh & $(BIN)/pip -qq --disable-pip-version-check install --no-compile --require-hashes -r requirements/deploy.lock && wait $$!
	@$(MAKE) --no-print-directory --jobs 2 lint everything
	$(BIN)/pytest -q -n auto --dist loadfile -m "not long" tests/browser
	@if $(BIN)/pip -qq --disable-pip-version-check install --require-hashes -r requirements/fuzz.lock; \
	then $(MAKE) --no-print-directory fuzz SECONDS=5; else echo "fuzz: left out, atheris does not install here" >&2; fi

# In one run, so that what waits and what computes share the cores; by folder, the many small files of the trainer last.
# The browser's library keeps an event loop that other tests must not meet.
everything:
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not long" tests --ignore=tests/browser

check:  ## format, lint, types, imports, unit tests with fewer drawn examples than make test has: two and a half minutes
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint units

lint:  ## the first half of check
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

units:  ## the other half of check
	$(BIN)/pytest -q -n auto --dist worksteal -m unit --hypothesis-profile=check tests/filterd tests/house tests/hostile

interop:  ## every mail server, client and SMS gateway that filterd is proved with; part of make test
	@PYTHON=$(PYTHON) .ci/setup all
	@tests/servers/fetch.sh
	$(BIN)/pytest -q -n 2 --dist loadfile tests/interop

coverage:  ## branches of the daemon that tests in one process reach, custody code told apart; a quarter of an hour
	$(BIN)/coverage run -m pytest -q -n 0 -m "not real and not long" tests/filterd tests/contract tests/hostile
	$(BIN)/coverage report --skip-covered
	$(BIN)/coverage report --show-missing --include "$(CUSTODY)"

hostile:  ## 5,000 generated hostile messages through a scanner, and the limits on time, memory and sessions; half an hour
	HOSTILE_MESSAGES=5200 $(BIN)/pytest -q -s -n 0 tests/hostile

xss:  ## 500 hostile messages on every page of a real browser; a quarter of an hour
	XSS_MESSAGES=500 $(BIN)/pytest -q -n 0 tests/browser/test_hostile_mail.py

pictures:  ## the pages as they are shown in the documents
	@PATH="$$PATH:$(CURDIR)/.servers/bin" $(BIN)/python -m tests.browser.pictures docs/images

scale:  ## ten million rows, one and two Ray workers, the cost of a row and of idle hosts, and docs/scaling.md of it; half an hour
	@PYTHON=$(PYTHON) .ci/setup all
	@tests/servers/fetch.sh
	$(BIN)/pytest -q -n 0 tests/trainer/test_engines.py
	$(BIN)/python -m tests.bench.scaling --write docs/scaling.md

fuzz:  ## coverage-guided fuzzing, two targets at a time, SECONDS=60 for each, or RUNS=10000000 executions of each
	@PYTHON=$(PYTHON) .ci/setup all
	@$(BIN)/pip -qq --disable-pip-version-check install --require-hashes -r requirements/fuzz.lock
	@printf '%s\n' $(TARGETS) | xargs -P 2 -I target $(BIN)/python -m tests.fuzz.run target --seconds $(if $(RUNS),0,$(SECONDS)) --runs $(or $(RUNS),-1)

compare:  ## the shipped models beside other filters on the same split, for the evaluation; hours, needs the corpora
	@PYTHON=$(PYTHON) .ci/setup all
	@tests/servers/fetch.sh
	$(BIN)/trainer compare --channel sms --bundle filterd/models/sms --out docs/evaluation
	$(BIN)/trainer compare --channel email --bundle filterd/models/email --out docs/evaluation

evaluation: compare  ## the shipped models by every track, after compare, and docs/evaluation.md of it all; hours, needs the corpora
	$(BIN)/trainer evaluate --channel sms --bundle filterd/models/sms --track all --out docs/evaluation
	$(BIN)/trainer evaluate --channel email --bundle filterd/models/email --track all --out docs/evaluation
	$(BIN)/trainer document

bench:  ## filterd beside Postfix, rspamd and SpamAssassin, on a quiet machine; minutes
	@PYTHON=$(PYTHON) .ci/setup all
	@tests/servers/fetch.sh
	$(BIN)/python -m tests.bench --write docs/performance

faults:  ## the whole fault matrix, every failpoint, changes under load; twenty minutes
	$(BIN)/pytest -q tests/faults --ignore=tests/faults/test_kills.py --ignore=tests/faults/test_power_cuts.py

long:  ## what make test leaves out: more of the same everywhere; half an hour
	$(BIN)/pytest -q -n 2 --dist loadfile -m long tests

seeded-bugs:  ## put ten known bugs into a copy of the tree, one by one; the suite must see each; as root
	$(BIN)/python -m tests.faults.seeded_bugs

kills:  ## kill the worker 10,000 times under load, on SQLite and PostgreSQL; hours
	$(BIN)/python -m tests.faults.kills $(or $(N),10000)

power-cuts:  ## cut the power of the disk 1,000 times under load, on SQLite and PostgreSQL; as root; an hour
	$(BIN)/python -m tests.faults.power_cuts $(or $(N),1000)

docs:  ## write the tables and the default configuration again from the code
	$(BIN)/python -m tests.house.reference

format:  ## rewrite the code in the house style
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --quiet

lock:  ## resolve requirements/*.lock again
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --all-extras --group dev --group build -o requirements/all.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --group build -c requirements/all.lock -o requirements/daemon.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --extra postgres --extra s3 --extra dkim --group build -c requirements/all.lock -o requirements/gateway.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --extra postgres --extra s3 --extra dkim --extra train --group build -c requirements/all.lock -o requirements/trainer.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group deploy -c requirements/all.lock -o requirements/deploy.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group fuzz -c requirements/all.lock -o requirements/fuzz.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --universal --group jasmin -o requirements/jasmin.lock
