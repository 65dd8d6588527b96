# `make help` lists the targets. Each target first installs what it needs: a virtual environment, the locked
# dependencies, CIFAR-10.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SWEEP ?= experiments/quick.yaml
LADDER ?= experiments/ladder-laptop.yaml
ARGS ?=
# One process per core, two in total. Files are distributed in their order: xdist would run the files with few tests
# last, and these are the slow ones.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := true

.PHONY: help setup data sweep ladder best leaderboard report docs docs-reference docs-site ui bench test test-slow test-all cluster-test mutants check format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo '  SWEEP=FILE, LADDER=FILE and ARGS="--set run_cap=48" change what sweep and ladder run.'

setup: $(VENV)/.installed ## Create the virtual environment with the locked dependencies

$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is $$($(PYTHON) --version). Python 3.11 or newer is required. Run: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "Setting up $(VENV). The first time takes some minutes and 6.5 GB, most of it for torch."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint requirements.lock --editable '.[dev]'
	@touch $@

data: setup ## Fetch CIFAR-10 into the user's cache folder
	$(BIN)/sweeps data

sweep: data ## Run SWEEP (default experiments/quick.yaml) and show its leaderboard
	$(BIN)/sweeps run $(SWEEP) $(ARGS)

ladder: data ## Run LADDER (default experiments/ladder-laptop.yaml) and show the gain of each rung
	$(BIN)/sweeps ladder $(LADDER) $(ARGS)

best: data ## Train the best configuration (experiments/best.yaml): three runs on all 50,000 images, two cores each
	$(BIN)/sweeps ladder experiments/best.yaml $(ARGS)

leaderboard: setup ## Show the leaderboard of all sweeps
	$(BIN)/sweeps leaderboard $(ARGS)

report: setup ## Write the report page of SWEEP (or of a ladder: SWEEP=ladder-laptop) to runs/reports
	$(BIN)/sweeps report $(basename $(notdir $(SWEEP))) $(ARGS)

docs: setup ## Update docs/explanation/ladder.md from the ladders recorded under runs/
	$(BIN)/python benchmarks/ladder_page.py

docs-reference: setup ## Write the generated pages of docs/reference from the code
	$(BIN)/python docs/site/reference.py

docs-site: setup ## Build the docs as a site (build/docs/index.html) and check every link
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml

ui: setup ## Open the MLflow UI for the recorded runs
	$(BIN)/sweeps ui $(ARGS)

bench: data ## Measure against other tools; write docs/performance.md (hours; ARGS="--only overhead" for a part)
	$(BIN)/python benchmarks/bench.py $(ARGS)

test: data ## Run all tests except the slow ones
	$(PYTEST) -m 'not slow and not cluster' $(ARGS)

test-slow: data ## Run the slow tests: Ray clusters, a browser, every export format, the notebook
	$(PYTEST) -m 'slow and not cluster' $(ARGS)

test-all: test test-slow cluster-test ## Run every test

cluster-test: data ## Run a sweep on three machines with Ray, S3, PostgreSQL and an MLflow server, with faults in each of them
	$(BIN)/python -m pytest -m cluster -s tests/sweeps/cluster $(ARGS)

mutants: data ## Run mutation tests: about 5,000 small changes of the code (an hour; resumes after an interrupt)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev,mutants]'
	PATH=$(abspath $(BIN)):$$PATH OMP_NUM_THREADS=1 mutmut run
	$(BIN)/python benchmarks/mutants.py

check: docs-site ## Check lint, format, types, import contracts and links of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Write requirements.lock from the installed packages
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | grep -v '^cifar' > requirements.lock

clean: ## Delete the environment and caches, but not runs/ and the data
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
