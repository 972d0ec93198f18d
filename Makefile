# make          set up the environment in .venv, then run the main job: ends with the report's path
# make test     set up the environment if need be, then run every check and test
# make setup    the environment alone
# make docs     after make: draw docs/graph.svg and write docs/steps.md anew
# make format   let the formatters have their way

PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two busy cores: OpenMP threads that spin while they wait make each other four times slower.
export OMP_WAIT_POLICY ?= passive

.PHONY: all setup test docs format

all: setup
	snakemake --cores all
	@echo
	@echo "The report: $(CURDIR)/reports/index.html"

setup: .venv/ready

.venv/ready: requirements.lock requirements-uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "Error: $(PYTHON) is not here; install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Error: $(PYTHON) is not Python 3.11, for which requirements.lock was made"; exit 1; }
	@echo "Setting up .venv (about 6 GB, mostly torch; 1 to 5 minutes)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --requirement requirements.lock
	touch $@

test: setup
	ruff format --check scripts tests benchmarks
	ruff check scripts tests benchmarks
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint
	pytest

docs: setup
	python scripts/draw_docs.py

format: setup
	ruff check --fix scripts tests benchmarks
	ruff format scripts tests benchmarks
	snakefmt Snakefile rules
