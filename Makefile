# Needs Python 3.11+ and Node 20+; everything else is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODULES := demo/legacy/node_modules/.installed
PEERS := bench/peers/node_modules/.installed

# Store compiled modules: otherwise each of the many processes compiles all of them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage lint validate audit pin-images check-images image format fuzz bench bench-quick figures lock clean help
.DEFAULT_GOAL := run

run: $(STAMP) $(MODULES)  ## run everything: gateway :8000, ops :8001, legacy :4500, frontend :3000; ARGS=--traffic simulates days
	$(BIN)/scribe-proxy demo $(ARGS)

SELECTED := -m "not slow"
PROFILE := quick

test: $(STAMP) $(MODULES)  ## run the tests of every behaviour, except those marked slow
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-$(PROFILE)} $(BIN)/pytest -n 4 --durations=25 $(SELECTED) $(MEASURED)

coverage: SELECTED :=
coverage: PROFILE := usual
coverage: MEASURED := --cov --cov-report=term --cov-fail-under=95
coverage: test  ## run all tests, also slow ones, with line and branch coverage

lint: $(STAMP)  ## run the checks of CI except the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/scribe-proxy check routing.yaml
	$(MAKE) --no-print-directory validate

validate: $(STAMP)  ## validate the files of deploy/; uses promtool if it is installed
	$(BIN)/hadolint Dockerfile demo/legacy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.renovate renovate.json
	$(BIN)/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
	if command -v kubectl >/dev/null; then kubectl kustomize deploy/kubernetes | $(BIN)/kubernetes-validate --strict --quiet -; fi
	if command -v promtool >/dev/null; then promtool check rules deploy/prometheus/alerts.yaml; fi

audit:  ## list known vulnerabilities of the locked packages
	PYTHON=$(PYTHON) .ci/audit

pin-images:  ## pin the images of compose.yaml and the Dockerfiles by digest; needs a registry and crane, skopeo or docker
	sh deploy/pin-images

check-images:  ## fail if an image is not pinned although a registry can be reached
	sh deploy/pin-images --check

image: export PINS_REQUIRED := 1
image: check-images  ## build IMAGE=REGISTRY/scribe-proxy:VERSION; refused unless all base images are pinned
	docker build --build-arg IMAGE_REVISION=$$(git rev-parse --short HEAD) --tag $(IMAGE) .

format: $(STAMP)  ## fix and format the sources with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: export RANDOM_SEED := $(or $(RANDOM_SEED),$(shell date +%s))
fuzz: $(STAMP) $(MODULES)  ## search with new random choices; RANDOM_SEED, FUZZ_MINUTES=10 for each of two searches, FUZZ_EXAMPLES=200
	$(BIN)/python -m tests.differential --strict --minutes $${FUZZ_MINUTES:-10} --seed $$RANDOM_SEED
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/pytest -s tests/test_schemathesis.py
	$(BIN)/python -m tests.support.random_search --minutes $${FUZZ_MINUTES:-10}

.PHONY: conformance
conformance: $(STAMP)  ## write docs/conformance.md: every HTTP case through the gateway and nginx; needs nginx
	$(BIN)/python -m tests.conformance

.PHONY: chaos
chaos: $(STAMP) $(MODULES)  ## write docs/chaos.md: attacks with figures and bounds; ATTACKS="WORD …" selects some
	$(BIN)/python -m tests.chaos $(ATTACKS)

.PHONY: pictures
pictures: $(STAMP)  ## take the pictures of the ops pages in docs/; needs a Chromium
	$(BIN)/python -m tests.browser.pictures

bench: $(STAMP) $(MODULES) $(PEERS)  ## measure the gateway beside its peers; needs wrk and nginx
	$(BIN)/python -m bench

bench-quick: $(STAMP) $(MODULES) $(PEERS)  ## measure the required ratios in two minutes; exits with 1 if one is missed
	$(BIN)/python -m bench.quick

figures: $(STAMP) $(MODULES) $(PEERS)  ## measure outdated figures in docs/performance.md; ONLY=idle selects, AGAIN=1 takes all
	$(BIN)/python -m bench.figures --only "$(ONLY)" $(if $(AGAIN),--again)

LOCKER := $(VENV)/lock/bin
LOCK := $(LOCKER)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-annotate \
	--python-version 3.11

lock:  ## write the lock files from pyproject.toml: for production, development, building and the audit
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

%/node_modules/.installed: %/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer is needed (npm was not found)" >&2; exit 1; }
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

clean:  ## remove generated files, including the demo's documents
	rm -rf $(VENV) .data demo/legacy/node_modules .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis

help:  ## show this list
	@echo "make: the same as make run"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
