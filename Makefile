# `make` lists the verbs. Each of them first makes .venv, or brings it up to date, where it needs one.
# PYTHON=python3.12 picks the interpreter that .venv is made with; ARGS="…" goes to the sandbox, the demo, the matrix, the benchmarks and the torture.

PYTHON ?=
ARGS ?=
VENV_PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help prepare test lint unit format api dist matrix audit demo bench torture torture-full sandbox screenshots clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s  %s\n", $$1, $$2 }' Makefile

prepare: ## make .venv, or bring it up to date (every other verb does so by itself)
	@PYTHON="$(PYTHON)" sh scripts/prepare.sh

test: prepare ## everything that CI runs: lint, and all tests
	@$(VENV_PYTHON) scripts/run_checks.py test

lint: prepare ## ruff (rules and formatting) and mypy --strict
	@$(VENV_PYTHON) scripts/run_checks.py lint

unit: prepare ## the fast part of the tests
	@$(VENV_PYTHON) scripts/run_checks.py unit

format: prepare ## let ruff sort imports, mend what it can and format
	@$(VENV_PYTHON) -m ruff check --quiet --fix-only .
	@$(VENV_PYTHON) -m ruff format --quiet .

matrix: prepare ## run the tests in every supported Airflow and Python, and print one table (ARGS="--airflow 3.0.6"; ARGS=--help)
	@$(VENV_PYTHON) -m compatibility $(ARGS)

audit: prepare ## look for known vulnerabilities of what is installed; needs a service that knows them
	@$(VENV_PYTHON) -m nox --session audit

api: prepare ## accept that what users rely on has changed: write it into docs/api.md anew
	@$(VENV_PYTHON) scripts/public_api.py --write 2>.cache/api.log || { cat .cache/api.log; exit 1; }

dist: prepare ## build the sdist and the wheel into dist/, and check them
	@rm -rf dist
	@$(VENV_PYTHON) -m build --no-isolation --outdir dist . >.cache/dist.log 2>&1 || { cat .cache/dist.log; exit 1; }
	@$(VENV_PYTHON) -m twine check --strict dist/*
	@$(VENV_PYTHON) -m check_wheel_contents dist/*.whl

demo: prepare ## a real Airflow cancels a campaign of 2,000 messages at the sandbox
	@$(VENV_PYTHON) scripts/demo.py $(ARGS)

bench: prepare ## measure what docs/performance.md and docs/scaling.md say (ARGS="--only engine"; ARGS=--help)
	@$(VENV_PYTHON) -m benchmarks $(ARGS)

torture: prepare ## attack the package with faults, floods and noise, and count what is lost (about seven minutes)
	@$(VENV_PYTHON) -m torture $(ARGS)

torture-full: prepare ## the same with ten times the messages and three seeds: as long as it takes
	@$(VENV_PYTHON) -m torture --full $(ARGS)

sandbox: prepare ## run both gateways on loopback (ARGS="--port 8100 --latency 0.05")
	@$(VENV_PYTHON) -m airflow_provider_smscancel.sandbox $(ARGS)

screenshots: prepare ## take the pictures of the docs anew, from a real Airflow in a real browser
	@$(VENV_PYTHON) scripts/take_pictures.py $(ARGS)

clean: ## remove .venv, caches and built files: the state of a fresh clone
	@rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info
	@find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
