# Every target does the set-up it needs, and `make` alone says what there is.
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses=8 --dist=worksteal
SETUP := @scripts/setup
# What Python compiled is kept, whatever the shell says: else each process of each test compiles it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-long kills demo bench-data bench-cycle bench-idle bench-rpo bench-rto bench-vault bench-api lock clean

help: ## Show this list
	@echo "Bascule: site recovery on your own machines. What make can do here:"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "New here? 'make demo' shows what it does, README.md is a tour, CONTRIBUTING.md takes ten minutes."

setup: ## Install all that the other targets need (they do it themselves when asked)
	$(SETUP)
	@echo "Ready. '$(BIN)/bascule --help' is the command line."

check: ## Before every commit: format, lint, types, imports, house rules, fast tests (about two minutes)
	$(SETUP) python
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# Many of these wait for processes and clocks of their own: one and a half to a core keep all cores busy.
	PYTEST_XDIST_AUTO_NUM_WORKERS=$$(( ($$(nproc) * 3 + 1) / 2 )) $(PYTEST) --brief -m "not lab and not slow and not long"

format: ## Let ruff put the code in shape
	$(SETUP) python
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: ## All tests but the soaks, with real servers and guests (under 20 minutes on two cores)
	$(SETUP)
	$(PYTEST) -m "not long" --rerun-show-tracebacks

test-long: ## The soaks and thousand-fold repeats, and each property with other examples
	$(SETUP)
	$(PYTEST) -m long --timeout=7200
	$(PYTEST) -m "hypothesis and not lab" --examples=2000 --timeout=7200

kills: ## Kill whatever there is at every step of every verb of recovery; hours, and gone on with when interrupted
	$(SETUP) system python guest
	@$(BIN)/python -m tests.lab.sides.matrix .cache/kills.jsonl

demo: ## A machine goes over to another site when its own is lost, and comes home with only what changed
	$(SETUP) system python guest
	@$(BIN)/python -m lab.demo

bench-data: ## Measure the data plane beside its peers: one JSON line per figure on stdout
	$(SETUP) system python azurite
	@$(BIN)/python -m benchmarks.data

bench-cycle: ## Measure the cycles of a replicated QEMU machine: one JSON line per figure on stdout
	$(SETUP) system python guest
	@$(BIN)/python -m benchmarks.cycle

bench-rpo: ## Measure what a power cut costs a replicated machine, and what replication costs its writes
	$(SETUP) system python guest
	@$(BIN)/python -m benchmarks.rpo

bench-idle: ## Measure a provider of a hundred machines that write nothing, and of six that are copied at once
	$(SETUP) system python
	@$(BIN)/python -m benchmarks.idle

bench-vault: ## Measure a server of vaults: items, events, clients and hosts by the thousand, and jobs
	$(SETUP) python
	@$(BIN)/python -m benchmarks.vault

bench-api: ## Measure the API beside a bare handler with the same bytes, and how fast a command starts
	$(SETUP) python
	@$(BIN)/python -m benchmarks.api

bench-rto: ## Measure how long it takes until a machine's service is up on the other side
	$(SETUP) system python guest
	@$(BIN)/python -m benchmarks.rto

lock: ## Renew requirements.lock, from pyproject.toml, and those of what is installed apart
	$(SETUP) python
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --upgrade \
		--extra dev pyproject.toml -o requirements.lock
	echo libvirt-python | $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate \
		--upgrade - -o requirements-libvirt.lock
	printf '%s\n' azure-cli azure-mgmt-recoveryservicessiterecovery==1.3.0 | $(BIN)/uv pip compile -q --universal \
		--generate-hashes --no-header --no-annotate --upgrade - -o requirements-azcli.lock

clean: ## Remove everything that is made: .venv, .cache, the tools' caches
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
