# The commands of this project. `make demo` and `make test` are all that most people need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export BEDSIDE_CACHE ?= $(CURDIR)/.cache/bedside
export BEDSIDE_DATA ?= $(abspath $(CURDIR)/../shared/data)
RECIPE ?= recipes/clinic-line.yaml
# Programs that the phone line speaks through and that the tests call with.
SYSTEM := espeak-ng baresip-core sip-tester
# Tests compute beside one another, so OpenMP's threads are not to spin while they wait.
# Many tests wait for calls that take as long as calls do, so there are more workers than cores; a file's tests stay in one worker.
PYTEST := GOMP_SPINCOUNT=100 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test fast lint bench clean help

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## Make .venv with every extra and fetch the embedded base model

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/bedside fetch $(RECIPE) --phone
	@missing=; for package in $(SYSTEM); do dpkg -s $$package >/dev/null 2>&1 || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "The phone line also needs:  sudo apt-get install$$missing"; fi
	@touch $@

demo: setup ## Curate, train, evaluate, release, and show the release at work (about half an hour on 2 cores)
	$(BIN)/bedside demo $(RECIPE)

test: setup lint ## All tests, with the real embedded model
	$(PYTEST)

fast: setup ## The tests that need no model: under 2 minutes
	$(PYTEST) -m 'not slow'

lint: setup ## Style, types and floors
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Side-by-side measurements, printed as ratios from one run
	$(BIN)/python -m bench

clean: ## Remove what the other targets made
	rm -rf $(VENV) .cache runs evaluations
