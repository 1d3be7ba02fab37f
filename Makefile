# The two commands are `make run` and `make test`; everything installs itself into .venv from the lock file.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=

.PHONY: run demo test test-long lint bench failover packages lock clean

$(VENV)/.run: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

run: $(VENV)/.run  ## start a relay: no CONFIG needed (simulated Microsoft 365), or CONFIG=relay.yaml
	$(BIN)/relayctl run $(CONFIG)

demo: $(VENV)/.dev  ## three nodes, three etcd members and the simulator on this machine; says what to try
	$(BIN)/relayctl demo

test: $(VENV)/.dev  ## everything that runs in minutes
	$(BIN)/python -m tests.lanes

test-long: $(VENV)/.dev  ## the tests marked long
	$(BIN)/python -m pytest -m long --timeout 1800

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## the table of docs/performance.md; installs Postfix if it may
	$(BIN)/python -m tests.bench

failover: $(VENV)/.dev  ## the figures of docs/failover.md: takeover of a virtual address, beside keepalived's (root, about three hours)
	$(BIN)/python -m tests.failover

packages: $(VENV)/.dev  ## dist/: .deb, .rpm and the offline bundle, the same for the same commit (needs dpkg-deb and rpmbuild)
	$(BIN)/python -m packages

lock: $(VENV)/.dev  ## resolve anew within the ranges of pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-strip-extras --generate-hashes --python-version 3.11 --no-annotate --no-header \
	  pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-strip-extras --generate-hashes --python-version 3.11 --no-annotate --no-header \
	  pyproject.toml --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
