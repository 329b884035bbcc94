# make run   sets up and goes from web pages to an evaluated model, on this machine
# make test  sets up and runs every check that fits 12 minutes on 2 cores

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
export RAY_USAGE_STATS_ENABLED := 0
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test lint check-slow lock clean

help:
	@echo "make run         from crawl to evaluated model, about 10 minutes on 2 cores"
	@echo "make test        lint, types and tests, under 12 minutes on 2 cores"
	@echo "make check-slow  the tests that take longer"
	@echo "make setup       only make .venv and fetch the language model"
	@echo "make lock        write constraints.txt anew from what .venv holds"
	@echo "make clean       remove .venv and $(DEMO)"

setup: $(VENV)/ready

# torch comes first and alone: with it in place no other package asks for a build with CUDA.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "tokenmill needs Python 3.11 to 3.13; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	$(BIN)/tokenmill assets fetch
	@touch $@

run: setup
	bash infra/demo/run.sh $(DEMO)

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'not slow'

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

check-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

lock: setup
	{ echo "# Every package of the environment, pinned; written by \`make lock\`."; \
	  $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) $(DEMO)
