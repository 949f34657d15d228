PYTHON ?= python3
# Test processes at once. `make test T=...` uses one.
WORKERS ?= 2

VENV := .venv
PY := $(VENV)/bin/python

.PHONY: help setup run test bench storm lint lock clean

help:
	@echo "make run      the portal with a sandbox EHR at http://localhost:8000 (PORT=, SANDBOX_PORT=, EHR=medplum or r4)"
	@echo "make test     all tests, or some: T=tests/scheduling, T='-k licenses'"
	@echo "make bench    what things cost, as a table and as JSON in var/ (B=--quick, B='--only warm,cold --sizes 200')"
	@echo "make storm    crashes, faults and races in their long form, reported in var/ (S='--only kills,ehr --each 3')"
	@echo "make lint     style and types"
	@echo "make setup    the virtual environment in $(VENV) (PYTHON=python3.13)"
	@echo "make lock     requirements/*.txt anew from *.in (UPGRADE=1 for newer versions)"
	@echo "make clean    removes what runs and tests left, the demo's data too"

setup: $(VENV)/.base $(VENV)/.dev

$(VENV)/.base: requirements/base.txt
	@scripts/setup.sh "$(PYTHON)" $(VENV) $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@scripts/setup.sh "$(PYTHON)" $(VENV) $<
	@touch $@

run: $(VENV)/.base
	@$(PY) -m scripts.run_demo

test: $(VENV)/.dev
	@PYTHON="$(PYTHON)" scripts/install_test_servers.sh
ifdef T
	@$(PY) -m pytest $(T)
else
# The storms start a whole deployment each and are about what happens in time: nothing runs beside them.
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --ignore tests/storm; rest=$$?; $(PY) -m pytest tests/storm && exit $$rest
endif

bench: $(VENV)/.dev
	@mkdir -p var
	@PYTHON="$(PYTHON)" scripts/install_test_servers.sh
	@$(PY) -m tests.bench.client_cost --json var/bench-client-cost.json
	@$(PY) -m tests.bench --json var/bench.json $(B)

storm: $(VENV)/.dev
	@PYTHON="$(PYTHON)" scripts/install_test_servers.sh
	@PORTAL_MODE=test $(PY) -m tests.storm $(S)

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@PORTAL_MODE=test $(PY) -m mypy
	@$(PY) -m djlint templates --lint --quiet

lock: $(VENV)/.base
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean:
	@rm -rf var staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
