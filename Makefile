# What there is to do with this project: `make` lists it. It needs Python 3.10 or newer and make.
#
#   PYTHON=python3.12     the interpreter that .venv is made from
#   PORT=8000             where `make demo` listens, on 127.0.0.1
#   ARGS="-k inputs"      more arguments for pytest; ARGS="-n 0" runs the tests in one process.
#                         make fuzz and make load take theirs, as --write docs/reliability.json
#   PIP_FLAGS=...         more arguments for pip. torch of the default index brings CUDA, several GB;
#                         point pip at PyTorch's index of CPU wheels to get it without.

PYTHON ?= python3
MIN_PYTHON ?= python3.10
PORT ?= 7860
ARGS ?=
PIP_FLAGS ?=

ENV := .venv
MIN_ENV := .venv-min
RUN := $(ENV)/bin/python
FULL_GB := 8
# Tests run in a process a core; one that is done takes some of what another has still to do.
PYTEST := -m pytest -rfEs -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo test test-full test-min browser-test check fuzz load format docs clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

install: $(ENV)/.dev-installed ## install what the app and its tests need

demo: $(ENV)/.app-installed ## install what is missing, then start the app on 127.0.0.1
	GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$(PORT) $(RUN) app.py

test: $(ENV)/.dev-installed ## the tests that need no browser and little time; says what it skips
	$(RUN) $(PYTEST) $(ARGS)

test-full: $(ENV)/.dev-installed ## all tests, with the slow, the large and all in chromium
	@place="$${TMPDIR:-/tmp}"; \
	free=$$(df -Pk "$$place" | awk 'NR == 2 { print int($$4 / 1048576) }'); \
	if [ "$$free" -lt $(FULL_GB) ]; then \
		echo "make test-full needs $(FULL_GB) GB free in $$place, here are $$free GB."; exit 1; \
	fi
	$(RUN) $(PYTEST) --slow --browser $(ARGS)

test-min: $(MIN_ENV)/.installed ## the tests with the lowest versions, in a .venv-min of their own
	$(MIN_ENV)/bin/python $(PYTEST) $(ARGS)

browser-test: $(ENV)/.dev-installed ## the tests that drive the app in chromium
	$(RUN) $(PYTEST) --browser -m "browser and not slow" $(ARGS)

# Gradio writes a stub beside each module that subclasses a component; mypy would read that instead.
check: $(ENV)/.dev-installed ## lint, format, types and known faults, without changing a file
	@find semerge -name '*.pyi' -delete
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	@$(RUN) -m recipes.audit

fuzz: $(ENV)/.dev-installed ## hand the readers 100,000 damaged files; fewer: ARGS="--cases 2000"
	PYTHONPATH=. $(RUN) tests/fuzz.py $(ARGS)

load: $(ENV)/.dev-installed ## 50 users for 5 minutes; fewer: ARGS="--users 5 --length 20"
	PYTHONPATH=. $(RUN) tests/load.py $(ARGS)

format: $(ENV)/.dev-installed ## put all files into the common format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(ENV)/.dev-installed ## make the figures and pictures of README and docs/ again
	$(RUN) -m recipes.readme
	$(RUN) -m recipes.screenshots

clean: ## remove caches; the environments stay
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .gradio build dist *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove the environments too
	rm -rf $(ENV) $(MIN_ENV)

# The stamps are newer than the requirements they were installed from, so nothing is installed
# twice. An environment that is there already is kept and gets what it lacks.

define make-env # 1: interpreter, 2: folder
	@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(1) is no Python 3.10 or newer; name one: make PYTHON=... MIN_PYTHON=..."; exit 1; }
	@$(1) -m venv $(2) || \
		{ rm -rf $(2); echo "No venv could be made; on Debian: apt-get install python3-venv"; exit 1; }
endef

$(ENV)/bin/python:
	$(call make-env,$(PYTHON),$(ENV))

$(MIN_ENV)/bin/python:
	$(call make-env,$(MIN_PYTHON),$(MIN_ENV))

$(ENV)/.app-installed: requirements.txt | $(ENV)/bin/python
	$(RUN) -m pip install $(PIP_FLAGS) -r requirements.txt
	@touch $@

$(ENV)/.dev-installed: requirements-dev.txt $(ENV)/.app-installed
	$(RUN) -m pip install $(PIP_FLAGS) -r requirements-dev.txt
	@touch $@

$(MIN_ENV)/.installed: requirements-min.txt requirements-dev.txt | $(MIN_ENV)/bin/python
	$(MIN_ENV)/bin/python -m pip install $(PIP_FLAGS) -r requirements-min.txt -r requirements-dev.txt
	@touch $@
