# One door to everything. `make` alone lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Extra words for pip, e.g. to take PyTorch from the place of its CPU builds.
PIP_ARGS ?=
# Extra words for pytest, e.g. ARGS="tests/unit -k plan", for torture, e.g. ARGS="--seed 7", or for
# the load test, e.g. ARGS="--minutes 1".
ARGS ?=

# The environment is rebuilt when its pins change, and only then.
STAMP := $(VENV)/installed-$(shell cat requirements.txt pyproject.toml | sha256sum | cut -c1-16)

# Locust and its gevent have an environment of their own.
LOAD_STAMP := .venv-load/installed-$(shell cat requirements-load.txt | sha256sum | cut -c1-16)

SQL_FILES := include/schema.sql include/sql

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup db model demo drill torture load test check format bench stop clean distclean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' \
		| while IFS="$$(printf '\t')" read -r name text; do printf '  %-11s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## Install everything into .venv (once per change of requirements.txt)

$(STAMP): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/installed-*
	@touch $@

db: setup ## Start the embedded PostgreSQL (unless LEO_DATABASE_URL is set) and apply the schema
	@test -n "$$LEO_DATABASE_URL" || python -m sandbox.postgres start
	@leo db init

model: setup ## Fetch and prepare the model's weights (once, 240 MB)
	@leo model prepare

demo: setup ## From nothing to a finished campaign over two tenants, with services left running
	@python -m demo.run

drill: setup ## Kill scheduler, task, gateway and PostgreSQL during campaigns, and count losses
	@python -m demo.drill

torture: db ## Kill dispatchers and PostgreSQL 220 times while 20,000 messages go out, and compare
	@python -m tests.support.torture $(ARGS)

load: db model $(LOAD_STAMP) ## Offer 5,000 events a minute for ten minutes, then more and more; HTML report
	@python -m benchmarks.load.run $(ARGS)

$(LOAD_STAMP): requirements-load.txt
	@test -x .venv-load/bin/python || $(PYTHON) -m venv .venv-load
	.venv-load/bin/python -m pip install --quiet $(PIP_ARGS) -r requirements-load.txt
	@rm -f .venv-load/installed-*
	@touch $@

test: db model ## Run every test (ARGS="tests/unit -k plan" narrows it)
	@python -m pytest -n 2 --dist loadfile $(ARGS)

check: db ## Format, lint, types, SQL style, dbt parse, structure guards, unit tests
	ruff format --check .
	ruff check .
	mypy
	sqlfluff lint --processes 1 $(SQL_FILES)
	eval "$$(leo db env)" && \
		sqlfluff lint --processes 1 --templater dbt dbt_project/models dbt_project/tests
	dbt parse --quiet --project-dir dbt_project --profiles-dir dbt_project
	python -m pytest -q tests/unit

format: setup ## Put the code into the form that `make check` asks for
	ruff format .
	ruff check --fix .

bench: db ## Run the benchmarks and print their tables
	@for script in benchmarks/bench_*.py; do python -m "benchmarks.$$(basename "$$script" .py)"; done

stop: ## Stop everything that was started, PostgreSQL last
	@test ! -x $(BIN)/python || $(BIN)/python -m demo.services stop
	@! command -v $(PYTHON) >/dev/null || $(PYTHON) -m sandbox.postgres stop

clean: stop ## Delete all local data and logs; keep what was downloaded
	@test ! -d .leo || find .leo -mindepth 1 -maxdepth 1 ! -name postgres ! -name models ! -name data \
		-exec rm -rf {} +
	@rm -rf .leo/postgres/data .leo/postgres/port dbt_project/target dbt_project/logs
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Delete the downloads and the environment too
	@rm -rf .leo $(VENV) .venv-load
