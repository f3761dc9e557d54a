# What people type. `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help bench test check engines test-engines test-machines test-docker test-airgap test-site test-collect bench-collect site bench-client bench-sensors peers lock setup
SHELL := /bin/bash

RECIPE ?= smollm2-135m-cpu
PROFILE ?=
ARGS ?=

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  e.g.  make bench RECIPE=mistral-small-4-nvfp4-eagle PROFILE=standard ARGS='--concurrency 1,4'"

bench: setup ## Run a benchmark: RECIPE=name PROFILE=name ARGS='…' (default: the 135M model on this machine's CPU)
	@.venv/bin/harness bench $(RECIPE) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

setup:
	@scripts/setup.sh run

test: ## Run the tests that need nothing but this checkout
	@scripts/setup.sh dev
	@scripts/test.sh $(ARGS)

check: ## Lint, format and type check
	@scripts/setup.sh dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

engines: ## Install real vLLM and SGLang for the CPU into .engines/ (about 13 GB)
	@scripts/engines/install.sh

test-engines: ## Measure real vLLM and SGLang servers (after make engines)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m engines --timeout 1200 $(ARGS)

test-docker: ## Run a server in real containers, by a Docker daemon of the test's own (root; apt install docker.io)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m docker $(ARGS)

test-site: ## Look at the pages with a real Chromium (apt install chromium; npm for axe-core)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m browser $(ARGS)

test-airgap: ## Pack a run here, install and do it in a network namespace without a route (root)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m airgap $(ARGS)

test-machines: ## Cut cables between machines that are network namespaces (needs root, sshd and iproute2)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m machines $(ARGS)

test-collect: ## The collector on a PostgreSQL of the test's own (apt install postgresql)
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -m postgresql $(ARGS)

bench-collect: ## What the collector bears: 50 clients, 1,000 bundles, hostile ones, SIGKILL (10 minutes)
	@scripts/setup.sh dev
	@.venv/bin/python scripts/bench_collect.py $(ARGS)

site: setup ## Build site/ from results/ and the published figures
	@.venv/bin/harness site $(ARGS)

bench-client: setup ## Measure the load client itself: its errors and its cost (2 minutes)
	@.venv/bin/python scripts/bench_client.py

bench-sensors: ## Measure what reading the sensors costs, and whether it moves the figures (2 minutes)
	@scripts/setup.sh dev
	@.venv/bin/python scripts/bench_sensors.py

peers: setup ## Measure other load clients beside ours, into docs/peers.md (installs them first: 15 GB; then 25 minutes)
	@scripts/peers/install.sh; .venv/bin/python scripts/peers/run.py $(ARGS)

lock: ## Write requirements/*.txt anew from pyproject.toml (needs uv)
	@scripts/lock.sh
