# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Every target sets up what it needs, in a separate virtual environment for each version of Python.
# Choose another Python with: make PYTHON=python3.13 test

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := $(CURDIR)/.venv/$(VERSION)
BIN := $(VENV)/bin
BUILD := $(CURDIR)/build/$(VERSION)
COLLECTIONS := $(BUILD)/collections
COPY := $(COLLECTIONS)/ansible_collections/netops/activelogic
PYTEST := $(BIN)/python -m pytest --override-ini cache_dir=$(BUILD)/pytest
MYPY := $(BIN)/mypy --cache-dir $(BUILD)/mypy
WORKERS ?= 4
MUTANTS_STEP ?= 1
TRUTH_STEP ?= 1

export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/tests/ansible.cfg
export ANSIBLE_HOME := $(BUILD)/ansible
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export PYTHONPATH := $(COLLECTIONS)
# Outside the tree and the built collection, because the tests count their files.
export PYTHONPYCACHEPREFIX := $(BUILD)/compiled

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all one check lint typing sanity sanity-all importer docs-lint test-unit test-errors test-contract test-quirks test-mutants \
	test-gateway test-schemathesis test-kills test-end-to-end test-truth test-faults-short test-faults \
	molecule bench bench-gateway openapi errors build clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(VENV)/demo build  ## Back up three embedded systems, break one, and restore it
	$(BIN)/python -m tests.demo.demo

# Run two parts in parallel, so that one works while the other waits. Each part's output is shown when it ends.
# The gateway's tests, which attack it and measure its answers, run beside parts that use one core.
PARTS := $(MAKE) --jobs=2 --output-sync=target --no-print-directory WORKERS=3

test: $(VENV)/test build  ## Run all tests and checks that a change must pass
	$(PARTS) MUTANTS_STEP=6 TRUTH_STEP=12 check test-gateway sanity molecule test-unit test-end-to-end test-contract \
		test-errors test-mutants test-schemathesis test-faults-short test-truth

# Requests that schemathesis generates for each operation; other targets use the test's default.
test-all: export SCHEMATHESIS_EXAMPLES := 200
test-all: $(VENV)/test build  ## Run everything in full, even if a part fails; takes hours, needs 20 GiB of disk
	$(PARTS) --keep-going check sanity-all importer test-unit test-faults test-quirks test-truth test-mutants test-kills \
		test-end-to-end test-gateway test-contract test-errors test-schemathesis molecule

check: lint typing docs-lint  ## Run the linters

lint: $(VENV)/test build
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/yamllint --strict .
	$(BIN)/reuse lint --quiet || $(BIN)/reuse lint
	$(BIN)/python tests/tools/lint_as_newcomer.py .

typing: $(VENV)/test build
	cd $(COLLECTIONS) && $(MYPY) --config-file $(CURDIR)/pyproject.toml ansible_collections/netops/activelogic/plugins
	$(MYPY) gateway/src/activelogic_embedded gateway/src/activelogic_gateway
	MYPYPATH=gateway $(MYPY) gateway/tests
	MYPYPATH=$(CURDIR):$(COLLECTIONS) $(MYPY) tests

docs-lint: $(VENV)/test build
	$(BIN)/antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck --validate-collection-refs self $(COPY)
	$(BIN)/antsibull-changelog lint

sanity: $(VENV)/test build  ## Run ansible-test sanity
	$(BIN)/python tests/tools/run_sanity.py $(COPY) $(BUILD)/home

# The supported versions of ansible-core that run on each version of Python.
CORES_3.11 := 2.16 2.18 2.19
CORES_3.12 := 2.16 2.18 2.19 2.20 2.21
CORES_3.13 := 2.18 2.19 2.20 2.21
CORES_3.14 := 2.20 2.21
CORES ?= $(CORES_$(VERSION))

sanity-all: $(CORES:%=sanity-%)  ## Run ansible-test sanity with every ansible-core that runs on this Python, or with CORES=2.16

sanity-%: build
	@rm -rf $(BUILD)/core-$*/collections
	@test -x $(BUILD)/core-$*/bin/ansible-test || $(PYTHON) -m venv $(BUILD)/core-$*
	$(BUILD)/core-$*/bin/python -m pip install --quiet --disable-pip-version-check 'ansible-core==$*.*' 'requests>=2.25,<3'
	$(BUILD)/core-$*/bin/ansible-galaxy collection install --force --no-deps --offline build/netops-activelogic-*.tar.gz \
		-p $(BUILD)/core-$*/collections
	$(BUILD)/core-$*/bin/python tests/tools/run_sanity.py \
		$(BUILD)/core-$*/collections/ansible_collections/netops/activelogic $(BUILD)/core-$*/home

importer: build  ## Import the artifact as Galaxy does, with galaxy-importer in a separate environment
	@test -x $(BUILD)/importer/bin/ansible-lint || $(PYTHON) -m venv $(BUILD)/importer
	$(BUILD)/importer/bin/python -m pip install --quiet --disable-pip-version-check 'galaxy-importer>=0.4.31,<0.5'
	$(BUILD)/importer/bin/python tests/tools/run_importer.py $(BUILD)/importer build/netops-activelogic-*.tar.gz

TREE := $(BUILD)/tree
TEST ?= tests/unit

one: export ANSIBLE_COLLECTIONS_PATH := $(TREE)
one: export PYTHONPATH := $(TREE)
one: $(VENV)/test  ## Run some tests on the working tree: make one TEST="tests/unit/test_plan.py -k newest"
	@mkdir -p $(TREE)/ansible_collections/netops
	@ln -sfn $(CURDIR) $(TREE)/ansible_collections/netops/activelogic
	$(if $(filter gateway/%,$(TEST)),cd gateway && )$(PYTEST) $(TEST:gateway/%=%)

test-unit: $(VENV)/test build  ## Test the pure parts of the collection
	$(PYTEST) -n $(WORKERS) tests/unit

test-errors: $(VENV)/test build  ## Test that every error happens, with the message in docs/errors.md
	$(PYTEST) -n $(WORKERS) tests/errors

test-contract: $(VENV)/test build  ## Test the Backup resource in its four implementations
	$(PYTEST) -n $(WORKERS) tests/contract --ignore tests/contract/mutants
	$(PYTEST) -n $(WORKERS) --standin Contrary $(CONTRARY:%=tests/contract/test_%.py) -k 'not type_error'

# The tests affected by alternative behaviour: not logins, wrong arguments, or tests that set quirks themselves.
# `make test-quirks` runs them all.
CONTRARY := create_new list restore remove stale stale_during download upload privileges real_system
QUIRKY ?= Generation1 Volatile Overwriting Restarting RestartingLate Slow Contrary

test-quirks: $(QUIRKY:%=test-quirks-%)  ## Test the Backup resource on systems with alternative behaviour; or QUIRKY=Volatile

test-quirks-%: $(VENV)/test build
	$(PYTEST) -n $(WORKERS) tests/contract --ignore tests/contract/mutants --ignore tests/contract/test_guard.py --standin $*

test-mutants: $(VENV)/test build  ## Test that the contract tests detect planted defects of the embedded system
	MUTANTS_STEP=$(MUTANTS_STEP) $(PYTEST) -n $(WORKERS) tests/contract/mutants

test-gateway: $(VENV)/test  ## Test the gateway and the embedded system
	cd gateway && $(PYTEST) -n $(WORKERS) --ignore tests/gateway/test_schemathesis.py tests

test-schemathesis: $(VENV)/test  ## Run schemathesis on a live gateway, and on gateways with planted defects
	cd gateway && $(PYTEST) -n $(WORKERS) tests/gateway/test_schemathesis.py

openapi: $(VENV)/demo  ## Write docs/openapi.json, the description of the gateway's HTTP API
	$(BIN)/activelogic-gateway openapi > docs/openapi.json

errors: $(VENV)/demo build  ## Write docs/errors.md, the table of everything that can go wrong
	$(BIN)/python tests/tools/errors_page.py > docs/errors.md

test-kills: $(VENV)/test build  ## Kill the gateway and the modules a hundred times; longer attacks and larger files
	cd gateway && ATTACK_SECONDS=15 $(PYTEST) tests/gateway/test_attacks.py
	cd gateway && GATEWAY_KILLS=100 $(PYTEST) --capture=no tests/gateway/test_killed.py
	cd gateway && GATEWAY_TRANSFER_MIB=256 $(PYTEST) tests/gateway/test_memory.py
	RANDOM_KILLS=13 $(PYTEST) -n $(WORKERS) --dist loadgroup tests/end_to_end/test_killed.py

BENCH_WORKS ?=
BENCH_SCALE ?= 1

bench: $(VENV)/demo build  ## Compare the modules with curl, get_url, uri and a program; takes 20 minutes, needs 10 GiB of disk
	$(BIN)/python -m tests.bench.bench --folder $(BUILD) --scale $(BENCH_SCALE) $(BENCH_WORKS)

bench-gateway: $(VENV)/test  ## Measure speed and memory of the gateway with files of 2 GiB; needs 20 GiB of disk
	cd gateway && GATEWAY_TRANSFER_MIB=2048 $(PYTEST) --capture=no tests/gateway/test_memory.py

test-end-to-end: $(VENV)/test build  ## Test with the real Ansible and the real gateway
	$(PYTEST) -n $(WORKERS) --dist loadgroup tests/end_to_end

test-truth: $(VENV)/test build  ## Test each state against the truth table: check mode, real run, second run, direct and through the gateway
	$(PYTEST) -n $(WORKERS) --step $(TRUTH_STEP) tests/truth

test-faults-short: $(VENV)/test build  ## Test transfers through the most frequent faults
	$(PYTEST) -n $(WORKERS) tests/faults

test-faults: $(VENV)/test build $(BUILD)/urllib3-1  ## Test transfers through all faults with urllib3 2 and 1.26, and all names and sizes; needs 20 GiB of disk
	FAULTS=full FAULT_SEEDS=40 RANDOM_KILLS=10 $(PYTEST) -n $(WORKERS) tests/faults
	FAULTS=full FAULTS_URLLIB3_1=$(BUILD)/urllib3-1 $(PYTEST) -n $(WORKERS) tests/faults
	PYTHONPATH=$(BUILD)/urllib3-1:$(COLLECTIONS) $(PYTEST) -n $(WORKERS) tests/errors -k 'GATEWAY or PROXY'
	FAULTS=full $(PYTEST) -n $(WORKERS) tests/end_to_end/test_names_and_sizes.py

$(BUILD)/urllib3-1: $(VENV)/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $@ 'urllib3<2' 'requests<2.32'
	@touch $@

molecule: $(VENV)/test build  ## Run the Molecule scenario of the role
	$(BIN)/molecule test

build: $(BUILD)/built  ## Build the collection and install it below build/

# Everything that may be in the artifact, including folders, which change when a file is removed.
SOURCES := $(shell find . -mindepth 1 -name __pycache__ -prune -o -path './.*' -prune -o -path ./build -prune -o -path ./gateway -prune -o -print)

$(BUILD)/built: $(VENV)/demo $(SOURCES)
	@rm -rf $(COPY) build/netops-activelogic-*.tar.gz
	@mkdir -p $(BUILD)
	$(BIN)/ansible-galaxy collection build --force --output-path build
	$(BIN)/ansible-galaxy collection install --force --no-deps --offline build/netops-activelogic-*.tar.gz -p $(COLLECTIONS)
	@touch $@

$(VENV)/demo: tests/requirements/demo.txt gateway/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements/demo.txt --editable gateway
	@touch $@

$(VENV)/test: tests/requirements/test.txt $(VENV)/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements/test.txt
	@touch $@

clean:  ## Remove everything that the other targets created
	rm -rf .ansible .demo .ruff_cache .venv build gateway/.ruff_cache gateway/src/*.egg-info
