# Every target makes the virtual environment it needs, so a fresh clone needs only make and Python 3.11 or newer.

VENV := .venv
PORT := 4000
# More arguments for pytest: make test ARGS="-k supervisor".
ARGS :=
# The extra of setup.cfg that the tests need.
EXTRA := test

supported := import sys; sys.exit(sys.version_info < (3, 11))
candidates := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(candidates); do $$p -c '$(supported)' 2>/dev/null && command -v $$p && break; done)
PYTHON_FT ?= $(shell command -v python3.14t || command -v python3.13t)

python := $(VENV)/bin/python
install := $(python) -m pip --disable-pip-version-check install --quiet --prefer-binary --editable

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two targets must not install into one environment at a time.
.NOTPARALLEL:
.PHONY: help serve test check lint types format coverage bench bench-quick soak cost test-free-threaded chaos clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

serve: $(VENV)/.package ## run an echo server on port 4000 (PORT=…) until Ctrl-C drains it
	@$(python) -m thousand_island examples.echo:Echo --port $(PORT) --num-acceptors 10 --log-level debug

test: $(VENV)/.with-$(EXTRA) ## run the tests (ARGS=… goes to pytest)
	$(python) -m pytest $(ARGS)

check: lint types coverage ## everything a change has to pass

lint: $(VENV)/.with-dev ## ruff: rules and format
	$(python) -m ruff check
	$(python) -m ruff format --check

types: $(VENV)/.with-dev ## mypy --strict
	$(python) -m mypy

format: $(VENV)/.with-dev ## let ruff mend and format the code
	$(python) -m ruff check --fix
	$(python) -m ruff format

coverage: $(VENV)/.with-test ## run the tests, doc examples too, and report the branches they miss
	$(python) -m coverage erase
	$(python) -m coverage run -m pytest $(ARGS)
	$(python) -m coverage combine --quiet
	$(python) -m coverage report

bench: $(VENV)/.with-bench ## compare with the peers and write benchmarks/RESULTS.md
	$(python) -m benchmarks

bench-quick: $(VENV)/.with-bench ## the same in under two minutes
	$(python) -m benchmarks --quick

soak: $(VENV)/.package ## a minute of churn (SOAK_SECONDS=…) that fails if memory, descriptors or threads grow
	$(python) -m benchmarks.soak

cost: $(VENV)/.package ## what one request, connection, cast and call cost in calls, locks, system calls and bytes
	$(python) -m benchmarks.cost

test-free-threaded: ## run the tests on a build without the GIL (PYTHON_FT=…)
	@test -n "$(PYTHON_FT)" || \
		{ echo "no python3.14t or python3.13t on PATH; name one: make $@ PYTHON_FT=/path/to/it" >&2; exit 1; }
	@PYTHON_GIL=0 $(MAKE) --no-print-directory test VENV=.venv-free-threaded PYTHON="$(PYTHON_FT)" EXTRA=test-free-threaded

chaos: $(VENV)/.with-test ## kill random actors of a tree for a minute
	CHAOS_SECONDS=60 $(python) -m pytest tests/supervision/test_chaos.py --timeout 180 -o faulthandler_timeout=180

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-free-threaded build dist *.egg-info htmlcov .coverage .coverage.*
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(python):
	@test -n "$(PYTHON)" || \
		{ echo "no Python 3.11 or newer on PATH; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(supported)' || \
		{ echo "$(PYTHON) is older than Python 3.11; name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# An installation is redone when the requirements change.
$(VENV)/.package: setup.cfg pyproject.toml | $(python)
	$(install) .
	@touch $@

$(VENV)/.with-%: setup.cfg pyproject.toml | $(python)
	$(install) '.[$*]'
	@touch $@ $(VENV)/.package
