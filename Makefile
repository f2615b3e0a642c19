PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo ui test test-slow lint audit benchmark evaluate lock clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)      ## labels -> classifier -> calibration -> routed batch -> budget curve, on simulated data
	$(BIN)/routing-assets demo

ui: $(READY)        ## Dagster's UI on http://127.0.0.1:3000
	$(BIN)/routing-assets ui

test: $(READY)
	$(BIN)/pytest

test-slow: $(READY) ## evaluations and end-to-end runs that take minutes
	$(BIN)/pytest -m slow

benchmark: $(READY) ## speed figures of the README
	$(BIN)/pytest -m benchmark -s tests/benchmarks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)      ## pin what is installed now
	{ echo '# Every direct and indirect dependency, pinned. Regenerate: make lock'; \
	  $(BIN)/pip freeze --exclude-editable --disable-pip-version-check | sed 's/+cpu//'; } > constraints.txt

clean:
	rm -rf $(VENV) .routing
