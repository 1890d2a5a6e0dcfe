# Everything is run from here; CI calls these targets and nothing else. `make` alone lists them.
# ARGS goes to the command underneath: make demo ARGS=--once, make test ARGS="-k withdrawn".

PYTHON ?= python3
UV     ?= uv
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A release younger than a week is not locked: a poisoned one is usually found within days.
COOLED := $(shell $(PYTHON) -c "import datetime as d; print(d.date.today() - d.timedelta(7))")
LOCK   := $(UV) pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
          --exclude-newer $(COOLED) --extra build

# Bytecode is kept, whatever the shell says: else every process of the suite, and each one that a test starts, compiles all anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo run migrate test check measured drill drill-restore bench bench-audit docs openapi vectors policy-released lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/test.stamp  ## make the environment for work on the code

demo: $(VENV)/run.stamp  ## a vault with invented customers (ARGS=--once: one masked read, then stop)
	@$(BIN)/riserbo demo $(ARGS)

run: $(VENV)/run.stamp  ## serve the vault the settings describe
	@$(BIN)/riserbo serve $(ARGS)

migrate: $(VENV)/run.stamp  ## bring the database to this version
	@$(BIN)/riserbo migrate $(ARGS)

test: $(VENV)/test.stamp  ## the suite, on a real PostgreSQL for each of three processes
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/test.stamp  ## what CI runs: form, layers, types, suite, coverage
	@$(BIN)/python -m tests.gates

measured: $(VENV)/test.stamp  ## find anew which tests coverage need not watch (ten minutes)
	@$(BIN)/python -m tests.measuring

drill: $(VENV)/test.stamp  ## the long and large tests: timing, tables, replay, guesses (about an hour; ARGS="-k verification")
	@$(BIN)/python -m pytest -m drill $(ARGS)

drill-restore: $(VENV)/test.stamp  ## dump, erase, restore, replay, gone: twenty times (ROUNDS=200 for more)
	@$(BIN)/python -m tests.drills.restoring $(if $(ROUNDS),--rounds $(ROUNDS))

bench: $(VENV)/bench.stamp  ## the masked read and the import against their references (needs wrk)
	@command -v wrk >/dev/null || { echo "make bench needs wrk, the load generator (Debian: apt-get install wrk)" >&2; exit 2; }
	@$(BIN)/python -m benchmarks $(ARGS)

bench-audit: $(VENV)/bench.stamp  ## a trail of ten million entries: pages, proofs, verification (ENTRIES=1000000 for less; 2.6 kB each)
	@$(BIN)/python -m benchmarks.trail $(if $(ENTRIES),--entries $(ENTRIES)) $(ARGS)

openapi: $(VENV)/run.stamp  ## write docs/openapi.json anew from the code
	@$(BIN)/python -m api.openapi docs/openapi.json

docs: openapi $(VENV)/test.stamp  ## generate what is generated, then check every document
	@$(BIN)/python -m pytest tests/test_documents.py $(ARGS)

vectors: $(VENV)/test.stamp  ## write the golden bytes anew; a difference is a format that changed
	@$(BIN)/python -m tests.vectors.make
	@git diff --exit-code -- tests/vectors

policy-released: $(VENV)/test.stamp  ## at a release: the shipped bundle becomes what the next one is planned against
	@$(BIN)/python -m tests.policy.released

lock:  ## choose versions anew, at least a week old, with hashes (needs uv; ARGS=--upgrade moves all)
	$(LOCK) --extra test $(ARGS) --output-file requirements/test.lock
	$(LOCK) --constraints requirements/test.lock --output-file requirements/run.lock
	$(LOCK) --constraints requirements/test.lock --extra bench --output-file requirements/bench.lock

clean:  ## remove the environment and what checks leave behind; never a vault's data
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find api benchmarks migrations policies samples tests vault -name __pycache__ -prune -exec rm -rf {} +

# The environment. Stamps make the second run fast; they depend on the locks, so a changed lock is installed.

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Riserbo needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(BIN)/python requirements/run.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: $(BIN)/python requirements/test.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements/test.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(VENV)/run.stamp $@

$(VENV)/bench.stamp: $(BIN)/python requirements/bench.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements/bench.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(VENV)/run.stamp $@
