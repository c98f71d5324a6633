# Every target first makes .venv fit the lock files. `make help` lists the targets.

VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
# Apart from what they look at.
AUDIT := $(VENV)/audit
MUTATION := $(VENV)/mutation

# How many test processes. Many tests wait for a deadline or a lock, so there are more than cores. One with real
# clusters takes about 1.2 GB: etcd and three API servers.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(-(-(os.cpu_count() or 1) * 3 // 2))')
INTEGRATION_WORKERS ?= 2
# The oldest that is supported, and it beside the newest, which `make test` has alone.
VERSIONS ?= 1.33.13 1.33.13,1.37.2
export INTEGRATION_WORKERS

# Where it is set, each test that starts the command would compile it anew.
unexport PYTHONDONTWRITEBYTECODE

# Where Go's own installer puts it, which not every shell knows.
export PATH := $(PATH):/usr/local/go/bin

# The first Python that is new enough and able to make a virtual environment.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		>/dev/null 2>&1; then echo $$name; break; fi; done)

# The lock files are complete. Left to resolve, pip would ask for the newest of what is wanted with an
# extra (coverage[toml]), and then refuse it for its missing hash.
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
INSTALL_SELF := $(PY) -m pip install --quiet --disable-pip-version-check \
	--no-deps --no-build-isolation --editable .
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock" $(UPGRADE)

.DEFAULT_GOAL := help
.PHONY: help demo test check unit integration skew bench faults soak soak-watching mutation lock controlplane audit sbom clean format venv

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## The whole story on three simulated clusters, in seconds
	@$(PY) -m reconciler.cli demo

test: check ## All that CI runs: check, unit, integration
	@sh scripts/test.sh

check: $(VENV)/.development ## Lint, formatting, types: a few seconds
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy

format: $(VENV)/.development ## Format, and mend what the linter can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

# Or whoever starts the command first would wait for that, and some tests give it two seconds.
unit: $(VENV)/.development ## The tests that need no API server
	@$(PY) -m compileall -q kubesim reconciler
	@$(PYTEST) -m "not integration" -n $(WORKERS) --dist worksteal

integration: $(VENV)/.development controlplane ## The tests on real API servers
	@$(PYTEST) -m integration -n $(INTEGRATION_WORKERS) --dist loadfile

# The contract compares the simulated API with one version, byte for byte.
skew: $(VENV)/.development ## Those on the oldest Kubernetes, and on a fleet of old and new; VERSIONS="1.33.13 1.33.13,1.37.2"
	@failed=; for versions in $(VERSIONS); do \
		echo "Kubernetes $$versions"; \
		KUBERNETES=$$versions $(PY) tests/controlplane/build.py && \
		KUBERNETES=$$versions $(PYTEST) -m integration -n $(INTEGRATION_WORKERS) --dist loadfile \
			--ignore tests/contract || failed="$$failed $$versions"; \
	done; test -z "$$failed" || { echo "Failed with:$$failed" >&2; exit 1; }

controlplane: $(VENV)/.development ## Build etcd, kube-apiserver, ... from Go modules (cached)
	@$(PY) tests/controlplane/build.py || test $$? -eq 3

bench: $(VENV)/.development controlplane ## Time this tool, beside kubectl; QUICK=1 for a look
	@$(PY) -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

faults: $(VENV)/.development controlplane ## All that can break, times all scenarios, also on real servers
	@RECONCILER_FAULTS=all RECONCILER_RANDOM_FLEETS=$(or $(FLEETS),200) \
		$(PYTEST) tests/chaos -n $(INTEGRATION_WORKERS) --dist worksteal
	@RECONCILER_FAULTS=all $(PYTEST) tests/scenarios/test_rollout.py \
		tests/scenarios/test_rollouts_at_random.py tests/e2e/rollout -k "killed or never"

soak: $(VENV)/.development ## RUNS=500 runs in one simulated fleet, each with something broken; SEED=1
	@RECONCILER_SOAK_RUNS=$(or $(RUNS),500) RECONCILER_SOAK_SEED=$(or $(SEED),1) \
		$(PYTEST) tests/chaos/test_soak.py

soak-watching: $(VENV)/.development controlplane ## One process that watches for an hour, while all sorts of things break; SECONDS=3600
	@RECONCILER_SOAK_SECONDS=$(or $(SECONDS),3600) RECONCILER_SOAK_SEED=$(or $(SEED),1) \
		$(PYTEST) tests/chaos/test_watching_for_long.py
	@RECONCILER_WATCH_MOMENTS=100 RECONCILER_WATCH_SEED=$(or $(SEED),1) \
		$(PYTEST) tests/e2e/servers/test_watches.py

mutation: $(VENV)/.development $(MUTATION)/.installed ## Change what deletes and overwrites, to see a test fail; MODULES="plan/guards"
	@sh scripts/mutation.sh $(MUTATION)/bin $(MODULES)

lock: $(VENV)/bin/python ## Renew the lock files; UPGRADE=--upgrade takes newer versions
	@$(PY) -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	@$(COMPILE) pyproject.toml --extra cloud --extra dns --output-file requirements-runtime.lock
	@$(COMPILE) pyproject.toml --extra cloud --extra dns --group dev --constraints requirements-runtime.lock \
		--output-file requirements.lock
	@$(COMPILE) --group build --constraints requirements.lock --output-file requirements-build.lock
	@$(COMPILE) --group audit --output-file requirements-audit.lock
	@$(COMPILE) --group mutation --output-file requirements-mutation.lock

audit: $(AUDIT)/.installed ## Known vulnerabilities in what is locked, by PyPI's advisories
	@for lock in requirements-runtime.lock requirements-build.lock requirements.lock; do \
		echo "$$lock"; \
		$(AUDIT)/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes \
			--requirement $$lock || exit 1; \
	done

sbom: $(AUDIT)/.installed ## A software bill of materials of the tool, in dist/ (CycloneDX)
	@mkdir -p dist
	@$(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file dist/sbom.cdx.json requirements-runtime.lock
	@echo dist/sbom.cdx.json

venv: $(VENV)/.development ## Only make .venv fit the lock files

clean: ## Remove the virtual environment, caches and build output
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the virtual environment -----------------------------------------------------------------

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "There is no Python >= 3.11 with the modules venv and" \
		"ensurepip (on Debian: apt install python3-venv). Or say: make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.pip: | $(VENV)/bin/python
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@touch $@

$(VENV)/.runtime: requirements-runtime.lock requirements-build.lock pyproject.toml | $(VENV)/.pip
	@echo "Installing what is locked in requirements-runtime.lock"
	@$(INSTALL) -r requirements-build.lock -r requirements-runtime.lock
	@$(INSTALL_SELF)
	@$(PY) -m compileall -q kubesim reconciler
	@touch $@

$(VENV)/.development: requirements.lock requirements-build.lock pyproject.toml | $(VENV)/.pip
	@echo "Installing what is locked in requirements.lock"
	@$(INSTALL) -r requirements-build.lock -r requirements.lock
	@$(INSTALL_SELF)
	@$(PY) -m compileall -q kubesim reconciler
	@touch $(VENV)/.runtime $@

$(AUDIT)/.installed $(MUTATION)/.installed: $(VENV)/%/.installed: requirements-%.lock | $(VENV)/.pip
	@echo "Installing what is locked in $<"
	@$(PY) -m venv --clear $(VENV)/$*
	@$(VENV)/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-deps -r $<
	@touch $@
