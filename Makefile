# `make` alone lists the targets. Every target that needs the environment makes it first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# How many tests run at once: a number, or one for every core up to eight.
WORKERS ?= logical
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup app test test-fast check docs format wheel bench demo-model runs readme screenshots lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it
	@echo "$(VENV) is ready"

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, which '$(PYTHON)' is not; name another:" \
	       "make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

app: $(STAMP) ## Serve the dashboard at http://127.0.0.1:8501
	@$(BIN)/circuit-explorer serve

# From Python 3.12 on coverage costs next to nothing, if it is told to use what is new there.
test: $(STAMP) ## Run the whole test suite, browser tests included, with coverage
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
	  export COVERAGE_CORE=sysmon; fi; \
	$(PYTEST) --cov --cov-report=term

test-fast: $(STAMP) ## Run the tests that are neither slow nor drive a browser
	@$(PYTEST) -m "not slow and not browser"

check: $(STAMP) ## Lint, format check, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## Sort imports and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A warning is an error. Left out: what draws a page as soon as it is imported. From another folder, where
# pdoc finds no second `engine` to ask about. Of `engine` it takes the names in `__all__` alone, if they are
# there already, so these are made to be, and the modules are named. networkx's classes have parameters for
# type checkers alone, which pdoc warns of.
docs: $(STAMP) ## Write the documentation of the code into build/docs/
	@rm -rf build/docs && mkdir -p build
	@cd build && ../$(BIN)/python -c 'import engine; engine.Answer; from pdoc.__main__ import cli; cli()' \
	  --docformat google --output-directory docs \
	  engine $$(cd .. && ls -d engine/[a-z]*/ engine/[a-z]*.py | sed 's|/$$||; s|\.py$$||; s|/|.|') \
	  app '!app\.shell' '!app\..*\.page' 2>docs.log || { cat docs.log >&2; exit 1; }
	@if grep Warn build/docs.log | grep -v "'MultiDiGraph' is not subscriptable" >&2; then exit 1; fi
	@echo "build/docs/index.html is written"

# What an earlier build left in build/lib would come into the wheel too.
wheel: $(STAMP) ## Build a wheel with everything in it into build/dist/
	@rm -rf build/lib build/bdist.* build/dist && mkdir -p build
	@$(BIN)/python -m build --wheel --no-isolation --outdir build/dist . >build/wheel.log 2>&1 \
	  || { cat build/wheel.log >&2; exit 1; }
	@rm -rf build/lib build/bdist.* && ls -sh build/dist

bench: $(STAMP) ## Print the benchmark table
	@$(BIN)/circuit-explorer bench

demo-model: $(STAMP) ## Train the shipped demo model again (about an hour on a CPU)
	$(BIN)/python -m engine.demo.train

runs: $(STAMP) ## Compute the shipped runs in cached_runs/ again
	$(BIN)/python -m engine.demo.runs

readme: $(STAMP) ## Measure the benchmark again and fill the README's tables
	@mkdir -p build
	$(BIN)/circuit-explorer bench --json > build/bench.json && mv build/bench.json assets/bench.json
	$(BIN)/python -m engine.demo.readme

screenshots: $(STAMP) ## Take the README's pictures again (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots

# Exact versions of everything, from a fresh environment. Left out: what torch itself asks for on a
# machine with a GPU, so that the one lock file serves both builds.
lock: ## Resolve pyproject.toml anew into requirements.lock
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check '.[dev]' 'setuptools>=80'
	build/lock/bin/pip freeze --all --exclude circuit-explorer --exclude pip \
	  | sed -E 's/\+(cpu|cu[0-9]+)$$//' | grep -E -v '^(nvidia-|cuda-|triton)' > build/requirements.lock
	@if grep -n -v -E '^[A-Za-z0-9._-]+==[A-Za-z0-9.!]+$$' build/requirements.lock; then \
	  echo "requirements.lock may only hold name==version lines" >&2; exit 1; fi
	mv build/requirements.lock requirements.lock && rm -rf build/lock

clean: ## Remove .venv and every cache
	rm -rf $(VENV) .venv-* build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
