# Every command of the README. `make help` lists them.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
PYTHON ?= python3
RUN := .venv/bin
PIP = $(RUN)/python -m pip install --disable-pip-version-check
LOCK = $(if $(findstring dev,$*),requirements-dev.lock,requirements.lock)

.PHONY: help demo test check truth bench client pictures parts lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

.venv/ready-%: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.11 make … names one"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "making .venv from $(LOCK) …"
	@test -x $(RUN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --no-deps --require-hashes -r $(LOCK) >.venv/install.log 2>&1 & pip=$$!; all=$$(grep -c '==' $(LOCK)); \
	while kill -0 $$pip 2>/dev/null; do \
	  sleep 3; echo "  $$(grep -c '^Collecting' .venv/install.log) of at most $$all packages"; \
	done; \
	wait $$pip || { tail -5 .venv/install.log; echo "the packages could not be installed, see above and .venv/install.log; is PyPI reachable?"; exit 1; }
	@$(PIP) --no-build-isolation --no-deps -e . >>.venv/install.log 2>&1 || { tail -5 .venv/install.log; exit 1; }
	@touch $@

demo: .venv/ready-run ## everything on this machine: simulated chargers and people, pages, no root
	@$(RUN)/pilewatch demo

test: .venv/ready-dev ## all tests; parts that are missing are skipped, see `make parts`
	$(RUN)/pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/ready-dev ## style, types, floors, spelling and links of the docs
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/codespell
	$(RUN)/pytest -q tests/test_docs.py

truth: .venv/ready-dev ## the truth suite: does every simulated fault get its one ticket? `SEEDS=1-20`
	$(RUN)/python -m bench.truth --seeds $(or $(SEEDS),1-20)

bench: .venv/ready-dev ## measure ingester and API against bare references (needs mosquitto)
	$(RUN)/python -m bench.ingest
	$(RUN)/python -m bench.makes --count 10000
	$(RUN)/python -m bench.ocpp --stations 500
	$(RUN)/python -m bench.uptime
	$(RUN)/python -m bench.availability
	$(RUN)/python -m bench.ledger
	$(RUN)/python -m bench.growth
	$(RUN)/python -m bench.pages
	$(RUN)/python -m bench.console
	$(RUN)/python -m bench.ways

client: .venv/ready-dev ## make a typed Python client of the API in build/client
	$(RUN)/pilewatch openapi --out build/openapi.json
	$(RUN)/openapi-python-client generate --meta none --overwrite --config deploy/client.yaml --path build/openapi.json --output-path build/client/pilewatch_client

pictures: .venv/ready-dev ## run the demo and take the pictures of README and docs anew
	$(RUN)/python -m deploy.pictures

parts: ## install mosquitto, chromium and TimescaleDB for the tests (needs root, Debian)
	deploy/parts.sh

lock: .venv/ready-dev ## resolve the lock files anew
	$(RUN)/python -m pip install --quiet uv
	$(RUN)/uv pip compile -q pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	$(RUN)/uv pip compile -q pyproject.toml --extra build --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o requirements-dev.lock

clean: ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
