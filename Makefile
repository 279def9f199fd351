# Every command of the README. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
RUN := .venv/bin

.PHONY: help test check bench parts lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

.venv/ready-%: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.11 make … names one"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "making .venv from the lock file …"
	@test -x $(RUN)/python || $(PYTHON) -m venv .venv
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(if $(findstring dev,$*),requirements-dev.lock,requirements.lock) || { echo "the packages could not be fetched: is PyPI reachable?"; exit 1; }
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

test: .venv/ready-dev ## all tests; parts that are missing are skipped, see `make parts`
	$(RUN)/pytest -q

check: .venv/ready-dev ## style, types, floors, spelling
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/codespell

bench: .venv/ready-dev ## measure the ingester against bare references (needs mosquitto)
	$(RUN)/python -m bench.ingest

parts: ## install mosquitto, chromium and TimescaleDB for the tests (needs root, Debian)
	deploy/parts.sh

lock: .venv/ready-dev ## resolve the lock files anew
	$(RUN)/python -m pip install --quiet uv
	$(RUN)/uv pip compile -q pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	$(RUN)/uv pip compile -q pyproject.toml --extra build --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o requirements-dev.lock

clean: ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
