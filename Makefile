# Everything from a fresh machine with Python 3.11 and make. `make help` lists the targets.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
PRESS   := .venv/bin/press
WORKERS ?= 2
PROFILE ?= book
SEED    ?= 0
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help setup book test check rerun validate-all new judge status serve environment teach

help:            ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F'\t' '{printf "make %-13s %s\n", $$1, $$2}'

setup: .venv/ready  ## install .venv from requirements.lock (done by every other target)

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Encore needs Python 3.11, this is {v[0]}.{v[1]}; install it and run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	UV_FIND_LINKS="$$(.venv/bin/pip config get global.find-links 2>/dev/null)" .venv/bin/uv pip install --quiet --compile-bytecode -r requirements.lock
	.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

book: setup      ## run what is stale, then render the book into _build/html
	$(PRESS) book --workers $(WORKERS)

test: setup      ## everything CI runs: linter, tests, every page in smoke, all pages validated, the book in a browser
	.venv/bin/ruff check lib tests notebooks
	.venv/bin/python -m pytest

check: setup     ## register, contract, keys, citations, licences; runs no page
	$(PRESS) check

rerun: setup     ## execute again: PAPER=chapter/slug, CHAPTER=chapter or ALL=1 [PROFILE=smoke|book|paper SEED=0 WORKERS=2 SCHEDULER=tcp://...]
	$(PRESS) run $(PAPER) $(if $(CHAPTER),--chapter $(CHAPTER)) $(if $(PAPER)$(CHAPTER)$(ALL),--force) \
	  --profile $(PROFILE) --seed $(SEED) --workers $(WORKERS) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

validate-all: setup  ## re-execute every page with nbval and compare with what is stored
	$(PRESS) validate --workers $(WORKERS)

new: setup       ## PAPER=chapter/slug: write the skeleton of a page from its register entry
	$(PRESS) new $(PAPER)

judge: setup     ## verdicts again from stored samples, where claims or the judging code changed
	$(PRESS) judge

status: setup    ## what has been run, when, for how long, and what is stale
	$(PRESS) status

serve: setup     ## look at the rendered book at http://127.0.0.1:8000
	.venv/bin/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

environment: setup  ## write environment.yml from requirements.lock
	$(PRESS) environment

teach: setup      ## every course of data/courses for students and for whoever teaches it, as folders and zips in _build/teach
	$(PRESS) teach
