# `make demo` and `make test` each work as the first command on a fresh machine: they make .venv, install what is
# pinned, and run. OFFLINE=1 installs from ./wheelhouse alone, which `make wheelhouse` fills where there is an index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NOTEBOOKS := $(VENV)/.notebooks
LOAD := $(VENV)/.load
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ifdef OFFLINE
PIP_FROM := --no-index --find-links wheelhouse
endif

.PHONY: demo test check notebooks load bench chaos fuzz clients contracts slither anvil wheelhouse lock clean

demo: $(STAMP)
	$(BIN)/zjops demo $(ARGS)

CLIENTS := tests/contract/clients

test: $(STAMP) clients $(NOTEBOOKS) $(LOAD)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and \
	  "error: Python 3.11 to 3.14 is needed, and %s is %d.%d; name another: make PYTHON=..." % \
	  (sys.executable, *sys.version_info[:2]))'
	@[ -x $(BIN)/pip ] || .ci/venv $(PYTHON) $(VENV)
	$(PIP) install $(PIP_FROM) --require-hashes -r requirements.txt
	$(PIP) install $(PIP_FROM) --no-deps --no-build-isolation -e .
	@# pip compiles what it copies, and an editable project is not copied; where PYTHONDONTWRITEBYTECODE is set, every
	@# start of every command would compile it all anew.
	@$(BIN)/python -m compileall -q zjops simulator loadtests
	@touch $(STAMP)

# JupyterLab, charts and what runs notebooks: not needed for the platform, so not in the way of `make demo`.
$(NOTEBOOKS): $(STAMP) requirements-notebooks.txt
	$(PIP) install $(PIP_FROM) --require-hashes -r requirements-notebooks.txt
	@touch $(NOTEBOOKS)

notebooks: $(NOTEBOOKS)

# Locust and Chaos Toolkit, which run as programs of their own.
$(LOAD): $(STAMP) requirements-load.txt
	$(PIP) install $(PIP_FROM) --require-hashes -r requirements-load.txt
	@touch $(LOAD)

load: $(LOAD)

bench: $(LOAD)
	$(BIN)/python -m tests.bench.accept_path $(ARGS)
	$(BIN)/python -m tests.bench.finality
	$(BIN)/python -m tests.bench.invoices
	$(BIN)/python -m tests.bench.terminal
	$(BIN)/python -m tests.bench.load

# Every experiment under load, on a platform of its own; the design's in full length; then each with its controller
# killed half way: an hour and a quarter.
chaos: $(LOAD)
	$(BIN)/zjops chaos suite --fresh $(ARGS)
	$(BIN)/zjops chaos suite --fresh --full --tag design $(ARGS)
	ZJOPS_LONG=1 $(BIN)/python -m pytest -q --timeout 300 tests/acceptance/test_chaos.py

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz.run $(ARGS)

# Generators of API clients. They need node and an environment of their own; without either, their tests say so and
# are skipped.
clients: $(STAMP)
	@[ -n "$(OFFLINE)" ] || [ -x $(CLIENTS)/.venv/bin/openapi-python-client ] || { \
	  .ci/venv $(PYTHON) $(CLIENTS)/.venv && \
	  $(CLIENTS)/.venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
	    -r $(CLIENTS)/requirements.txt; }
	@[ -n "$(OFFLINE)" ] || ! command -v npm > /dev/null || [ -d $(CLIENTS)/node_modules ] || \
	  npm --prefix $(CLIENTS) install --no-package-lock --no-audit --no-fund --silent

# Foundry's development chain, for `zjops up --chain anvil` and the tests of it.
anvil:
	mkdir -p .anvil
	npm --prefix .anvil install @foundry-rs/anvil@1.7.1 --no-package-lock --no-audit --no-fund --silent

# Compiles the contracts anew; compiler, OpenZeppelin and the oracle of proofs come by npm into contracts/.build.
contracts: $(STAMP)
	$(BIN)/python -m contracts.build --install

# Looks for known weaknesses in the contract. It wants another web3 than the platform, hence an environment of its own.
SLITHER := contracts/.build/slither

slither: contracts
	@[ -x $(SLITHER)/bin/slither ] || { \
	  .ci/venv $(PYTHON) $(SLITHER) && \
	  $(SLITHER)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r contracts/slither.txt; }
	$(BIN)/python -m contracts.analysis

wheelhouse: $(STAMP)
	$(BIN)/python -m pip --disable-pip-version-check download --require-hashes -r requirements.txt -d wheelhouse
	$(BIN)/python -m pip --disable-pip-version-check download --require-hashes -r requirements-notebooks.txt -d wheelhouse
	$(BIN)/python -m pip --disable-pip-version-check download --require-hashes -r requirements-load.txt -d wheelhouse

lock:
	$(BIN)/python -m pip install --quiet uv
	printf 'hatchling\neditables\n' > $(VENV)/build.in
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --prerelease=if-necessary --python-version 3.11 --extra dev pyproject.toml $(VENV)/build.in \
	  -o requirements.txt > /dev/null
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --prerelease=if-necessary --python-version 3.11 --extra notebooks -c requirements.txt pyproject.toml \
	  -o requirements-notebooks.txt > /dev/null
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --prerelease=if-necessary --python-version 3.11 --extra load -c requirements.txt -c requirements-notebooks.txt pyproject.toml \
	  -o requirements-load.txt > /dev/null

clean:
	rm -rf $(VENV)
