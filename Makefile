# Two targets do everything on a machine that has nothing but Python 3.11 or later:
#   make niah    sets up .venv and runs the needle grid on the embedded model
#   make test    sets up .venv and runs every check that CI runs
# Another interpreter: make niah PYTHON=python3.12. Options of the run: make niah ARGS="--lengths 4k --samples 2".

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
JOBS   ?= 2
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup niah test check lint format-check format types imports unit clean

help:
	@echo "make niah    set up and run the needle grid on the embedded model (ARGS=... for its options)"
	@echo "make test    set up and run all checks: lint, format-check, types, imports, unit"
	@echo "make setup   only set up $(VENV); PYTHON=python3.12 chooses the interpreter"
	@echo "make format  format the sources"
	@echo "make clean   remove $(VENV) and caches; results stay"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is not Python 3.11 or later - name one that is: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; \
	  exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)

niah: $(READY)
	$(BIN)/hisa-eval niah $(ARGS)

test: lint format-check types imports unit

check: test

lint: $(READY)
	$(BIN)/ruff check .

format-check: $(READY)
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

# One thread a worker: more threads than cores slow every one of them down.
unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage build dist
