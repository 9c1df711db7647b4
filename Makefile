# Two commands do everything from nothing: `make demo` (the main job) and `make test` (the quick tests).
# Each makes its own virtual environment in .venv; PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Also inside pip's own build environments: nothing is fetched that is not pinned.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo test test-all lint format recipes bench sanitize soak audit clean help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bptt needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	@echo "Installing bptt into $(VENV) …"
	$(PIP) install --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the development tools into $(VENV) …"
	$(PIP) install --editable '.[dev]'
	touch $@

demo: $(VENV)/installed ## train a character GRU on Python's documentation, write runs/demo/report.html
	$(BIN)/bptt train --config recipes/demo.yaml --out runs/demo --overwrite
	$(BIN)/bptt generate runs/demo "The " --length 400 --temperature 0.7 --seed 1

# A worker per core, each with one thread: tests that need more say so themselves.
test: lint ## lint, types, and the quick tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

test-all: lint ## everything, also what takes long
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev ## put the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

recipes: $(VENV)/installed ## every recipe, each into runs/NAME (long)
	for recipe in recipes/*.yaml; do $(BIN)/bptt train --config $$recipe --out runs/$$(basename $$recipe .yaml) --overwrite || exit 1; done
	for recipe in recipes/forecast/*.yaml; do $(BIN)/bptt forecast --config $$recipe --out runs/$$(basename $$recipe .yaml) --overwrite || exit 1; done

bench: $(VENV)/installed ## speed and memory, each checked for correctness first (long)
	for program in benchmarks/layers benchmarks/*.py; do $(BIN)/python $$program || exit 1; done

sanitize: $(VENV)/installed-dev ## the compiled kernels under AddressSanitizer and UBSan
	cmake -S . -B build/sanitize -DCMAKE_BUILD_TYPE=None -DBPTT_SANITIZE=address,undefined
	cmake --build build/sanitize
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
	BPTT_KERNEL_LIBRARY=$(CURDIR)/build/sanitize/libbptt_kernels.so $(BIN)/python -m pytest -s tests/kernels -m "not slow" \
	-k "not operator and not environment and not forked"

soak: $(VENV)/installed-dev ## every promise of docs/reliability.md at full size (long; goes on where it was interrupted)
	OMP_NUM_THREADS=1 $(BIN)/python tests/reliability/soak.py --report docs/reliability.md

# In an environment of its own: pip-audit's dependencies are none of the project's.
audit: ## known weaknesses of the pinned dependencies, where the service of pip-audit is reachable
	$(PYTHON) -m venv build/audit
	PIP_CONSTRAINT= build/audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit==2.10.1
	$(PYTHON) tests/reliability/audit.py build/audit/bin/pip-audit

clean: ## forget the virtual environment and every cache; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
