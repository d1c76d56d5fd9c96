# SPDX-License-Identifier: Apache-2.0
# Works on a fresh machine that has nothing but Python >= 3.10. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help demo protect test lint format docs clean

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
PIP_ARGS ?=
DATA ?=
OUT ?=
ARGS ?=
WORKERS ?= auto

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.core ## see in minutes what protection does, on computed pictures or: make demo DATA=/path/in [OUT=/path/out]
	@$(PY) -m umed demo $(if $(DATA),--data "$(DATA)") --out "$(or $(OUT),runs/demo)" --overwrite $(ARGS)

protect: $(VENV)/.core ## without DATA: make demo; or: make protect DATA=/path/in OUT=/path/out [ARGS="--resume true"]
ifeq ($(DATA),)
	@$(PY) -m umed demo --out "$(or $(OUT),runs/demo)" --overwrite $(ARGS)
else
	@if [ -z "$(OUT)" ]; then \
	  echo "make protect: DATA is set but OUT is not. Say where the protected copy goes: OUT=/path/to/new/folder" >&2; exit 2; fi
	$(PY) -m monai.bundle run protect --config_file monai_bundle/configs/protect.yaml \
	  --dataset_dir "$(DATA)" --output_dir "$(OUT)" $(ARGS)
endif

test: $(VENV)/.dev ## lint, types and the whole test suite, a process per core: up to 4, or WORKERS=n; COV=1 adds coverage
	$(PY) -m ruff check umed tests
	$(PY) -m ruff format --check umed tests
	$(PY) -m mypy
	$(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  $(if $(COV),--cov --cov-report=term:skip-covered) $(ARGS)

lint: $(VENV)/.dev ## ruff and mypy only
	$(PY) -m ruff check umed tests
	$(PY) -m ruff format --check umed tests
	$(PY) -m mypy

format: $(VENV)/.dev ## rewrite the sources in the house format
	$(PY) -m ruff check --fix umed tests
	$(PY) -m ruff format umed tests

docs: $(VENV)/.docs ## build the documentation site into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean: ## remove .venv, caches, runs/ and site/
	rm -rf $(VENV) runs site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov

$(PY):
	@if [ -z "$(PYTHON)" ]; then echo "No Python >= 3.10 found. Install one, or say where it is: make PYTHON=/path/to/python" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)

# The stamps are older than these two files exactly when something must be installed again.
$(VENV)/.core: pyproject.toml constraints.txt | $(PY)
	@echo "make: installing umed and torch into $(VENV); minutes, only the first time" >&2
	@$(PY) -m pip install --quiet -e . -c constraints.txt $(PIP_ARGS)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet -e '.[dev]' -c constraints.txt $(PIP_ARGS)
	@touch $@ $(VENV)/.core $(VENV)/.docs

$(VENV)/.docs: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet -e '.[docs]' -c constraints.txt $(PIP_ARGS)
	@touch $@
