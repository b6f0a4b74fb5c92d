# Verbs around the command line; they add nothing to it. `make help` lists them.
PYTHON ?= python3
PAPER ?= fasterpose
ARGS ?=
LIMIT ?= 540
POCKET ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup reproduce ablate compare profile gpu leaderboard notebook picture bench lint test browser torture truth clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hpe-bench needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/ready

setup: .venv/ready ## make .venv with everything pinned in constraints.txt

reproduce: setup ## measure, train and judge a paper: make reproduce PAPER=fasterpose [ARGS="--seeds 1"]
	$(BIN)/hpe-bench reproduce $(PAPER) $(ARGS)

ablate: setup ## all studies of a paper: make ablate PAPER=fasterpose
	$(BIN)/hpe-bench ablate $(PAPER) $(ARGS)

compare: setup ## papers side by side: make compare PAPERS="simple_baseline fasterpose"
	$(BIN)/hpe-bench compare $(PAPERS) $(ARGS)

profile: setup ## cost of a paper's models: make profile PAPER=fasterpose
	$(BIN)/hpe-bench profile $(PAPER) $(ARGS)

gpu: ## all that a machine with one CUDA GPU can tell, without installation: make gpu DATA=folder OUT=folder [LIMIT=540] [POCKET="headline:fasterpose:lsp:0-2"]
	PYTHONPATH=. $(PYTHON) -m benchmarks.gpu --data "$(DATA)" --out "$(OUT)" --limit $(LIMIT) --pocket "$(POCKET)" $(ARGS)

leaderboard: setup ## reports/index.html, every page, the README's verdicts and the tables in docs/, from results/
	$(BIN)/hpe-bench leaderboard --readme README.md $(ARGS)
	$(BIN)/python -m docs.tables

notebook: setup ## examples/results.ipynb with fresh output, from results/
	$(BIN)/python -m examples.execute

picture: setup ## docs/leaderboard.png: the leaderboard's top, taken in Chromium
	$(BIN)/python -m docs.picture

bench: setup ## speed of our own hot paths beside plain references
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-only $(ARGS)

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup ## every test but those of the next two, in two processes
	$(BIN)/pytest -m "not torture and not browser" --numprocesses 2 --dist loadfile $(ARGS)

browser: setup ## the committed pages in Chromium: tables, plots, keyboard, axe, phone, print
	$(BIN)/pytest -m "browser and not torture" --numprocesses 2 $(ARGS)

torture: setup ## long runs: kills, mutated files (docs/reliability.md), slow exports
	$(BIN)/pytest -m torture -s $(ARGS)

truth: setup ## what the statistical rules cover and miss, on worlds whose truth is known: docs/statistics.md
	$(BIN)/python -m hpe_bench.truth

clean: ## remove what was built, trained and cached here; records and pages stay
	rm -rf .venv build dist *.egg-info runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
