# Everything runs in a virtual environment of its own, .venv, made from Python 3.11 or newer and a C compiler.
#   make bench            measure, draw, report (bench-results/report.html); ARGS="--full" for more
#   make test             lint, pytest
#   make lint             ruff, mypy, cython-lint; make format mends what it can
#   make test-isa         the kernels' tests at the instruction sets that `make test` does not use here
#   make arm64            the battery and the guard pages on Arm, emulated; ARM64=folder of the Debian tree it makes
#   make docs             the site, docs/_build/index.html: offline, any warning is an error
#   make stress           an hour that looks for what the tests have missed; ARGS="threads --seed 7", ARGS=--quick
#   make sanitize         the kernels' tests on kernels that check every address and every shift
#   make PYTHON=python3.12 ...

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(wildcard fastconv/engines/records/*.py) $(wildcard fastconv/core/*.pyx fastconv/engines/cython_/*.p* fastconv/engines/cython_/*/*.p* fastconv/engines/cython_/*/*.h)
ARGS ?=
# wheels and `pip install .` have every instruction set; here those that this CPU can test
export FASTCONV_BUILD_ISA ?= native

# What computes; the rest does not depend on the width of a vector.
# split_bf16 is not among them: a forced instruction set has no unit for it
KERNELS := $(wildcard $(addprefix tests/algorithms/test_,$(addsuffix .py,battery direct depthwise* fft* pointwise \
	separable winograd*))) tests/images/test_filters.py tests/planning/test_plan_layouts.py \
	$(addprefix tests/operations/test_,elementwise.py normalization.py pooling.py)

.PHONY: bench docs test test-isa arm64 stress sanitize lint format clean

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench run $(ARGS)

docs: $(VENV)/docs.stamp $(VENV)/torch.stamp
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

# Two processes or more share the cores, so idle threads must not spin; a file stays in one process, which compiles its
# kernels once; files of few long tests are not left to the end, as would be the default.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) $(ARGS)

# what starts a process at another instruction set is of `make test`, and would come back to that of `make test` here;
# tuning measures every backend, for which Numba would compile anew
OTHERS = $(shell $(BIN)/python -c 'from tests.battery import instruction_sets; print(*instruction_sets()[1:])')
test-isa: $(VENV)/test.stamp
	$(foreach isa,$(OTHERS),FASTCONV_ISA=$(isa) $(PYTEST) $(KERNELS) -k "not numba and not other_instruction and not tuning" $(ARGS) &&) true

ARM64 ?= build/arm64
arm64: $(VENV)/test.stamp
	PYTHON=$(BIN)/python .ci/arm64 $(ARM64) $(ARGS)

stress: $(VENV)/test.stamp
	OMP_WAIT_POLICY=passive $(BIN)/python -m stress $(ARGS)

# Built beside the package, for GCC, with a copy of the tests, so that nothing else is imported. Reports go to files:
# pytest would keep what a process says before it is ended. NumPy takes memory from malloc, whatever Python does.
CHECKED := build/sanitize/lib
ISA ?= $(shell $(BIN)/python -c 'from tests.battery import instruction_sets; print(*instruction_sets()[:1])')
sanitize: $(VENV)/test.stamp
	FASTCONV_SANITIZE=address,undefined FASTCONV_BUILD_ISA=$(ISA) \
		$(BIN)/python setup.py -q build --build-base build/sanitize --build-lib $(CHECKED)
	rm -rf $(CHECKED)/tests build/sanitize/report* && cp -r tests pyproject.toml $(CHECKED)
	cd $(CHECKED) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0:malloc_context_size=2:log_path=$(CURDIR)/build/sanitize/report \
		UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=$(CURDIR)/$(CHECKED) \
		$(subst $(BIN),$(CURDIR)/$(BIN),$(PYTEST)) -q -k "cython" $(KERNELS) $(ARGS) || { cat ../report* 2>/dev/null; false; }

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(CURDIR)/$(BIN):$$PATH cython-lint fastconv  # it calls pycodestyle

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fastconv needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An extra's stamp is renewed, and the kernels are built again, when a source of the build changes.
$(VENV)/%.stamp: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build dist bench-results docs/_build docs/auto_gallery *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find fastconv bench tests -name __pycache__ -prune -exec rm -rf {} +
	find fastconv \( -name '*.so' -o -name '*.pyd' \) -delete
