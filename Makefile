# Everything a newcomer needs: Python 3.11+ and Node 20+ are the only requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODULES := demo/legacy/node_modules/.installed

# Compiled modules are kept even where the environment says no: each of the many processes would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage lint validate audit pin-images format fuzz bench bench-quick lock clean help
.DEFAULT_GOAL := run

run: $(STAMP) $(MODULES)  ## the whole thing on embedded defaults: gateway :8000, ops :8001, legacy :4500; ARGS=--traffic plays days
	$(BIN)/scribe-proxy demo $(ARGS)

test: $(STAMP) $(MODULES)  ## all tests
	$(BIN)/pytest -n 4 --durations=25 $(MEASURED)

coverage: MEASURED := --cov --cov-report=term --cov-fail-under=95
coverage: test  ## all tests, and what of the lines and branches they run: half as long again

lint: $(STAMP)  ## what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/scribe-proxy check routing.yaml
	$(MAKE) --no-print-directory validate

validate: $(STAMP)  ## what deploy/ holds, by the validators of its formats; promtool where it is installed
	$(BIN)/hadolint Dockerfile demo/legacy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
	if command -v promtool >/dev/null; then promtool check rules deploy/prometheus/alerts.yaml; fi

audit:  ## known vulnerabilities of what the lock files pin; says so where the advisories cannot be reached
	PYTHON=$(PYTHON) .ci/audit

pin-images:  ## pin the images of compose.yaml and the Dockerfiles by digest; needs a registry, and crane, skopeo or docker
	sh deploy/pin-images

format: $(STAMP)  ## have ruff mend and format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: $(STAMP) $(MODULES)  ## random requests at length: FUZZ_MINUTES (10) between the stand-in and native, FUZZ_EXAMPLES (200 an operation) on each surface, FUZZ_SEED (the time)
	$(BIN)/python -m tests.differential --minutes $${FUZZ_MINUTES:-10} --seed $${FUZZ_SEED:-$$(date +%s)}
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} $(BIN)/pytest -s tests/test_schemathesis.py

.PHONY: conformance
conformance: $(STAMP)  ## docs/conformance.md: every case at full depth through the gateway and nginx; needs nginx
	$(BIN)/python -m tests.conformance

.PHONY: chaos
chaos: $(STAMP) $(MODULES)  ## attacks on real parts, figure by figure with its bound; ATTACKS="WORD …" plays some of them
	$(BIN)/python -m tests.chaos $(ATTACKS)

bench: $(STAMP) $(MODULES)  ## ratios against peers in one run; needs wrk and nginx
	$(BIN)/python -m bench

bench-quick: $(STAMP) $(MODULES)  ## the ratios that must hold, in under two minutes; exits 1 where one does not
	$(BIN)/python -m bench.quick

LOCKER := $(VENV)/lock/bin
LOCK := $(LOCKER)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-annotate \
	--python-version 3.11

lock:  ## write the lock files anew from pyproject.toml: for production, for here, for building, for the audit
	$(PYTHON) -m venv $(VENV)/lock
	$(LOCKER)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) pyproject.toml --output-file requirements.lock
	$(LOCK) pyproject.toml --group build --extra dev --extra embedded --extra tracing --constraint requirements.lock \
		--output-file requirements-dev.lock
	$(LOCK) --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	$(LOCK) --group audit --constraint requirements-dev.lock --output-file requirements-audit.lock

$(STAMP): pyproject.toml requirements-dev.lock deploy/install-locked
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	sh deploy/install-locked $(BIN)/python requirements-dev.lock --editable .
	@touch $@

$(MODULES): demo/legacy/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer is needed (npm was not found)" >&2; exit 1; }
	cd demo/legacy && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

clean:  ## remove what the other goals made, the demo's documents included
	rm -rf $(VENV) .data demo/legacy/node_modules .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis

help:  ## this list
	@echo "make: the same as make run"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
