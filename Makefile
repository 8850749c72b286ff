# Needs GNU make ≥ 3.81 and Python ≥ 3.11; everything is installed into .venv.
# A CPU-only torch, or another package index, is chosen through pip's own settings.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
KERNELS := $(VENV)/.kernels
SOURCES := quire quire_client api worker scheduler migrations training bench chaos tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo up test check format train-text train-english train-chinese train-music bench bench-fairness bench-batches bench-spine chaos clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(KERNELS) ## create .venv, install everything into it, compile the kernels

# The stamp is written last. An install that was interrupted may have left half a package behind, which pip
# would take for a whole one: it begins anew, from what pip has downloaded so far.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Quire needs Python 3.11 or newer; $(PYTHON) is not. Name another: make install PYTHON=python3.12" >&2; exit 1; }
	@if test -e $(VENV)/.installing || ! $(RUN) -c 'import pip' 2>/dev/null; then \
	  rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.installing && $(PYTHON) -m venv $(VENV); fi
	@echo "Installing into $(VENV): minutes the first time, torch is large"
	@rm -f $@ && touch $(VENV)/.installing
	@$(RUN) -m pip install --disable-pip-version-check --quiet -c constraints.txt \
	  -e '.[server,worker,music,local,training,dev]'
	@rm -f $(VENV)/.installing && touch $@

# Without a C compiler the engine runs on torch alone: correct, but several times slower.
$(KERNELS): $(INSTALLED) $(wildcard worker/engine/native/*.[ch] worker/engine/native/*.py)
	@$(RUN) -m worker.engine.native.build && touch $@ || \
	  echo "No C compiler made the kernels (see above): the engine will run slowly, and tests of them fail" >&2

demo: $(KERNELS) ## start everything, write a poem, stop everything
	@$(RUN) -m quire_client.demo

up: $(KERNELS) ## run the whole system on this machine until Ctrl-C
	@$(RUN) -m quire.local

test: $(KERNELS) ## run all tests, in minutes
	$(RUN) -m pytest -n 3 --dist loadscope

check: $(INSTALLED) ## format, lint, types, layers and known vulnerabilities, in seconds
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(RUN) .ci/audit.py

format: $(INSTALLED) ## format the code, fix what can be fixed
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# One thread each: two threads on one small model wait for each other whenever something else runs. Memory is kept:
# a step's buffers of 64 MB would be taken from the system anew, and cleared by it, each time.
train-text: train-english train-chinese ## make both text checkpoints anew, in about three hours with -j2
train-english train-chinese: train-%: $(KERNELS)
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000 OMP_NUM_THREADS=1 nice -n 10 $(RUN) -m training $*

train-music: $(KERNELS) ## make the shipped tune checkpoint anew, in about an hour
	OMP_WAIT_POLICY=PASSIVE nice -n 10 $(RUN) -m training tunes

bench: $(INSTALLED) ## measure the engine beside its peers, in about an hour
	@$(RUN) -c 'import ctranslate2' 2>/dev/null || \
	  $(RUN) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[bench]'
	$(RUN) -m bench.engine all

bench-fairness: $(KERNELS) ## measure fairness, limits and growth, in about 15 minutes
	@$(RUN) -c 'import matplotlib' 2>/dev/null || \
	  $(RUN) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[bench]'
	$(RUN) -m bench.fairness

bench-batches: $(KERNELS) ## measure batches, schedules and webhooks, in about ten minutes
	$(RUN) -m bench.batches

bench-spine: $(KERNELS) ## measure the whole system beside a naive worker
	$(RUN) -m bench.spine
	$(RUN) -m bench.recovery
	$(RUN) -m bench.greedy_equality --model checkpoints/quire-verse --prompts 50

chaos: $(KERNELS) ## thousands of jobs under faults and proof of their ends, in about an hour on two cores
	$(RUN) -m chaos --jobs 20000 --seed 1 2 3 --write
	$(RUN) -m chaos --broken fence --write
	$(RUN) -m chaos --broken idempotency --write
	$(RUN) -m chaos --jobs 1000 --rate 30 --seed 4 --model checkpoints/quire-verse --short --write

clean: ## remove .venv and caches; the data in var/ stays
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
