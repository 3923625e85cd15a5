# Everything runs in a virtual environment of its own, .venv, made from Python 3.11 or newer and a C compiler.
#   make bench            measure, draw, report (bench-results/report.html); ARGS="--full" for more
#   make test             ruff, mypy, pytest
#   make PYTHON=python3.12 ...

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml fastconv/engines/records.py $(wildcard fastconv/engines/cython_/*.p* fastconv/engines/cython_/*/*.p* fastconv/engines/cython_/*/*.h)
ARGS ?=

.PHONY: bench test lint clean

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench run $(ARGS)

# Two processes or more share the cores, so idle threads must not spin; a file stays in one process, which compiles its
# kernels once.
test: lint
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fastconv needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An extra's stamp is renewed, and the kernels are built again, when a source of the build changes.
$(VENV)/%.stamp: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build dist bench-results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find fastconv bench tests -name __pycache__ -prune -exec rm -rf {} +
	find fastconv \( -name '*.so' -o -name '*.pyd' \) -delete
