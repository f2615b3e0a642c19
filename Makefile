PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers

ROUTING_DATA ?= ../shared/data
EVALUATION   ?= .routing/evaluations
WORKERS      ?= 2

.PHONY: demo ui test test-nightly test-slow test-ray hostile million twenty-million hundred-million cost-model label-plan lint wheel docs audit benchmark peers faults evaluate schemas pictures lock clean

$(READY): pyproject.toml constraints.txt
	@echo "installing the packages into $(VENV): 2.4 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)      ## labels -> classifier -> calibration -> routed batch -> budget curve, on simulated data
	$(BIN)/routing-assets demo

ui: $(READY)        ## Dagster's UI on http://127.0.0.1:3000
	$(BIN)/routing-assets ui

test: $(READY)      ## the tests, on $$WORKERS cores
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

test-nightly: $(READY) ## the tests, with twenty times as many random examples of each property
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal --timeout 3600

test-slow: $(READY) ## evaluations and end-to-end runs that take minutes
	$(BIN)/pytest -m slow

test-ray: $(READY)  ## the engine on a simulated Ray cluster, and tables in a real object store; 300 MB to install
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray,s3]' 'moto[server]'
	$(BIN)/pytest -m 'slow or not slow' tests/engine tests/defs/test_same_versions.py tests/storage/test_partitioned.py

evaluate: $(READY)  ## quality figures of the README, on the real tables in $$ROUTING_DATA
	$(BIN)/routing-assets evaluate --labels $(ROUTING_DATA)/routerbench_subset.parquet --method frozen --output $(EVALUATION)/routerbench
	$(BIN)/routing-assets evaluate --labels $(ROUTING_DATA)/llm_uncertainty_bench_emotion \
	  --catalog simulated:llm_uncertainty_bench --output $(EVALUATION)/emotion
	$(BIN)/routing-assets evaluate --labels $(ROUTING_DATA)/llm_uncertainty_bench_emotion --method frozen --second-look \
	  --catalog simulated:llm_uncertainty_bench --output $(EVALUATION)/emotion-second-look
	$(BIN)/routing-assets evaluate --labels simulated:llm_uncertainty_bench --size 3000 --method frozen --output $(EVALUATION)/twin
	$(BIN)/routing-assets evaluate --labels simulated:r1_math --method frozen --output $(EVALUATION)/r1

benchmark: $(READY) ## speed figures of the README
	$(BIN)/pytest -m benchmark -s tests/benchmarks

$(PEERS): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[peers]'
	touch $(PEERS)

peers: $(PEERS)     ## other solvers, tuned kNN, ParetoBandit and sentence-transformers on the same work: docs/results.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.peers.solvers
	$(BIN)/python -m tests.benchmarks.peers.bandit_simulation
	$(BIN)/python -m tests.benchmarks.peers.routers --data $(ROUTING_DATA)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m benchmark -s tests/benchmarks/encoder_test.py

faults: $(READY)    ## table of faults survived: killed runs, full disks, locked databases, changed clocks
	$(BIN)/pytest -m faults -s tests/faults

hostile: $(READY)   ## inputs that must be refused or set aside; the last line counts them
	$(BIN)/pytest tests/hostile

million: $(READY)   ## one batch of a million instructions: seconds per step, peak memory
	$(BIN)/python tests/benchmarks/million_batch.py

twenty-million: $(READY) ## one batch of twenty million by an encoder of no quality: an hour of two cores, 20 GB of disk
	$(BIN)/python tests/benchmarks/million_batch.py --size 20000000 --stub-encoder

label-plan: $(READY) ## what labels under a budget are worth, by how they are chosen: the table of docs/from-nothing.md
	$(BIN)/python -m tests.benchmarks.label_plan --data $(ROUTING_DATA) --output $(EVALUATION)/label-plan

cost-model: $(READY) ## what routing itself costs: the tables of docs/cost-model.md, in half an hour
	$(BIN)/python tests/benchmarks/cost_model.py

hundred-million: $(READY) ## allocation of 100,000,000 x 16 from disk against 10,000,000: seconds, passes, peak memory
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/allocation_by_sweeps.py 100_000_000

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py

wheel:              ## build the wheel and run the demo from it, in an empty environment
	.ci/wheel

docs: $(READY)      ## the documentation as a site in .routing/site; any warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .mkdocs.yml

pictures: $(READY)  ## docs/pictures/*.svg
	$(BIN)/python -m tests.docs.figures

schemas: $(READY)   ## docs/*.schema.json, docs/policy.md and docs/data-dictionary.md
	$(BIN)/python -m routing_assets.cli.schemas docs

lock: $(READY)      ## pin the installed versions in constraints.txt
	{ echo '# Every direct and indirect dependency, pinned. Regenerate: make lock'; \
	  $(BIN)/pip freeze --exclude-editable --disable-pip-version-check | sed 's/+cpu//'; } > constraints.txt

audit: $(READY)     ## list known vulnerabilities of the pinned dependencies
	$(BIN)/python .ci/audit.py

clean:
	rm -rf $(VENV) .routing
