# Every command of the project. Settings that `make run` takes: see `make help`.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
PURE := $(wildcard tests/house tests/deploy tests/ingest tests/pipeline tests/report)
CODE := $(wildcard ingest pipeline deploy tests)
# Parts of the line without Kafka, side by side: each has a port and a folder of its own.
PARTS := $(wildcard tests/line tests/manifests tests/fuzz)
# In the order of how soon they tell; these have the machine and its clock to themselves, one after another.
WHOLE := $(wildcard tests/browser tests/e2e tests/chaos) tests/load/test_dataset.py tests/load/test_measure.py tests/load/test_guard.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show every command
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

.PHONY: run
run: $(VENV)/run.stamp ## Kafka, ingest, workers and report, until Ctrl-C (INGEST_PORT=8080 REPORT_PORT=8081 KAFKA_PORT=9092 WORKERS=2 DATA_DIR=./var)
	@exec $(BIN)/python -m deploy.local

.PHONY: players
players: $(VENV)/run.stamp ## Live traffic of simulated players to INGEST_PORT, until Ctrl-C (PLAYERS=200)
	@exec $(BIN)/python -m deploy.players

.PHONY: check
check: $(VENV)/dev.stamp ## Format, lint, strict types, pure tests and house rules: under a minute
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types pure

.PHONY: lint types pure
lint:
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/ruff check --quiet $(CODE)
types:
	@$(BIN)/mypy
pure:
	@EXAMPLES=0.3 $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal $(PURE)

.PHONY: test
test: $(VENV)/dev.stamp ## Everything: check, the line in memory, a browser, real Kafka under faults (installs what it needs)
	@sh deploy/local/test-tools.sh
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target lint types fetched
	@$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal $(PURE)
	@$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal --durations=5 -o faulthandler_timeout=300 $(PARTS)
	@$(BIN)/python -m pytest -vv --durations=15 $(WHOLE)

# What tests take from elsewhere, fetched beside what only computes.
.PHONY: fetched
fetched:
	@$(BIN)/python -c "from deploy.local.kafka import fetch; fetch()"
	@tests/manifests/install-tools

.PHONY: chaos
chaos: $(VENV)/dev.stamp ## Only the faults, drawn by SEED, against the whole line, for MINUTES (MINUTES=6 SEED=1)
	@sh deploy/local/test-tools.sh
	@exec $(BIN)/python -m tests.chaos --minutes $${MINUTES:-6} --seed $${SEED:-1}

.PHONY: fuzz
fuzz: $(VENV)/dev.stamp ## Readers of requests, lines and spool files against bytes found by coverage (FUZZ_SECONDS=20 each, SEED=1)
	@$(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/fuzz

.PHONY: bench
bench: $(VENV)/dev.stamp ## Everything that is claimed of cost, beside its peers, as ratios (BENCH="worker ingest --quick")
	@exec $(BIN)/python -m tests.load $(BENCH)

.PHONY: bench-profile
bench-profile: $(VENV)/dev.stamp ## Where the worker's time goes: build/profile.txt
	@exec $(BIN)/python -m tests.load.profile

.PHONY: lock
lock: ## Renew requirements.lock, requirements-dev.lock and requirements-tracing.lock from pyproject.toml
	@test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv; }
	@build/uv/bin/uv pip compile --quiet $(LOCK) --output-file requirements.lock pyproject.toml
	@build/uv/bin/uv pip compile --quiet $(LOCK) --output-file requirements-dev.lock --constraints requirements.lock --group dev pyproject.toml
	@build/uv/bin/uv pip compile --quiet $(LOCK) --output-file requirements-tracing.lock --constraints requirements-dev.lock --group tracing

LOCK := --upgrade --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-emit-index-url --no-annotate --exclude-newer "7 days" --custom-compile-command "make lock"

.PHONY: clean
clean: ## Remove what was installed and built; DATA_DIR stays
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/run.stamp: requirements.lock
	@$(PYTHON) deploy/local/prerequisites.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.lock into $(VENV)"
	@$(PIP_INSTALL) -r requirements.lock
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing requirements-dev.lock into $(VENV)"
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@
