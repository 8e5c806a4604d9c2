# Every target first makes what is missing: Python packages, a message broker, databases. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Images of containers often set it. Every daemon and command that a test starts would then compile the gateway again, and
# every worker the tests.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# Four at a time, for many of them wait (for locks, brokers, daemons); each with a virtual host of its own (setup/broker.py). WORKERS=0 runs all in one process.
SIDE_BY_SIDE = -n $(or $(WORKERS),4)
# What the oldest Python must pass in every run; the same stories must have the same traces on both.
FAST := tests/gateway/kernel tests/gateway/people tests/gateway/payments tests/gateway/statements tests/gateway/pools/test_pools.py tests/gateway/test_app.py \
	tests/protocols/erp tests/protocols/banks/sample tests/protocols/banks/every \
	tests/world/test_clock.py tests/world/test_sim.py tests/world/test_scenes.py
# Of those, what another Python cannot change: every state the pure table can reach, statements judged by a dialect,
# mistakes that a simulated bank's tables name, and new seeds beside those whose traces are compared.
SAME_ON_ANY := --ignore=tests/gateway/kernel/core/test_model.py --ignore=tests/gateway/kernel/test_oracle.py \
	--ignore=tests/protocols/banks/every/test_client_mistakes.py \
	--deselect=tests/world/test_sim.py::test_the_seeds_of_the_day

.PHONY: help setup broker databases tools package sbom audit test test-long check check311 demo joint-test bench recon sim tamper crash mutate mutants faults interop fuzz identity permits lock down forget clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## the Python environment in .venv, from the hash-pinned lock
	@bash setup/python.sh .venv

broker: setup ## RabbitMQ: the system's or a private one; described in .run/broker.json
	@$(PY) -m setup.broker up

databases: setup ## PostgreSQL and MariaDB for the tests; described in .run/databases.json
	@$(PY) -m setup.databases up

tools: setup ## other people's commands that judge ours: Prometheus, xmlsec1, amqp-tools, Node, Java
	@bash setup/tools.sh

# A newcomer need not have other people's commands: their tests skip and say so. In CI nothing may skip for that.
ALL_TOOLS = $(if $(filter true,$(CI)),tools)

# The exit code is kept for .ci/run, because make turns every failure into 2.
test: setup broker databases $(ALL_TOOLS) ## the tests, without the slow ones; `make tools` first judges more
	@rc=0; bash setup/tests.sh $(SIDE_BY_SIDE) --dist worksteal -m "not slow" $(ARGS) || rc=$$?; echo $$rc >.run/test.rc; exit $$rc

test-long: setup broker databases $(ALL_TOOLS) ## the slow tests
	@bash setup/tests.sh $(SIDE_BY_SIDE) --dist worksteal -m slow --timeout 900 $(ARGS)

check: setup ## lint, types, house rules, planted mutants that still apply
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy gateway protocols setup tests $(wildcard bench faults fuzz interop/*.py)
	@$(PYTEST) -q tests/test_house.py tests/world/test_catch.py::test_every_mutant_applies_and_is_named_once

check311: $(ALL_TOOLS) ## the fast tests on the oldest Python we promise, where there is one
	@if ! python3.11 -c 'import ensurepip' 2>/dev/null; then \
		echo 'check311: this machine has no python3.11; skipped' >&2; exit 0; \
	fi; \
	PYTHON=python3.11 bash setup/python.sh .venv311; \
	.venv311/bin/python -m pytest -q $(SIDE_BY_SIDE) -m "not (slow or broker or postgresql or mariadb)" \
		$(FAST) $(SAME_ON_ANY) $(ARGS)

demo: setup broker ## the main job on real parts, with faults, ending in a report; BANKS=all APPROVALS=1 CONSOLE=1
	@.venv/bin/bankgw demo $(if $(BANKS),--banks $(BANKS)) $(if $(APPROVALS),--approvals) $(if $(CONSOLE),--console) $(ARGS)

joint-test: setup broker ## every case of a bank's joint test at its simulated front end, with evidence; BANK=sample
	@.venv/bin/bankgw joint-test trial $(or $(BANK),sample) $(ARGS)

bench: setup $(if $(FULL),databases) ## CPU a payment, beside floor and script; FULL=1: databases, shards, rows, banks, soak
	@$(PY) -m bench$(if $(FULL),.full) $(ARGS)

recon: setup ## match generated statement lines and count what is wrong; LINES=100000 SEED=1
	@$(PY) -m bench.recon --lines $(or $(LINES),100000) --seed $(or $(SEED),1) $(ARGS)

sim: setup ## the whole gateway in memory, one story a seed; SEEDS=2000 ARGS="--first 1601" (so many, from there)
	@$(PY) -m tests.world.sim $(SEEDS) $(ARGS)
	@$(if $(ARGS),true,$(PY) -m tests.world.approvals 20)
	@$(if $(ARGS),true,$(PY) -m tests.world.sim 20 --govern)

tamper: setup ## a journal altered by SQL between two lives, and while the daemon runs: no second execution, no looser right; MUTATIONS=10000
	@$(PY) -m tests.world.tampering --mutations $(or $(MUTATIONS),10000) $(ARGS)

crash: setup broker ## the real daemon dies at every named point; ROUNDS=5
	@$(PY) -m tests.world.deaths --rounds $(or $(ROUNDS),1) $(ARGS)

mutate: setup ## small defects planted into the money core, one by one: which does no test notice? MINUTES=10
	@$(PY) -m tests.world.mutate $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

mutants: setup broker ## known mistakes planted one by one: each must be caught by the proofs it names; ARGS="--only commit"
	@$(PY) -m tests.world.catch $(ARGS)

faults: setup broker databases ## the daemon killed, cut off and lied to; SEED=1 MINUTES=10 DB=postgresql KILLS=500 PAYMENTS=50000 ZOMBIES=200 DEDUP=off
	@$(PY) -m faults --seed $(or $(SEED),1) --minutes $(or $(MINUTES),1) --db $(or $(DB),sqlite) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(PAYMENTS),--payments $(PAYMENTS)) $(if $(ZOMBIES),--zombies $(ZOMBIES)) \
		$(if $(CRASH_LOOP),--crash-loop $(CRASH_LOOP)) $(if $(BESIDE),--beside $(BESIDE)) $(if $(PLANTED),--planted $(PLANTED)) \
		$(if $(filter off,$(DEDUP)),--no-dedup) $(ARGS)

interop: setup ## other people's programs judge our signatures, messages and simulated bank; NAMES="java openssl"
	@bash setup/interop.sh
	@$(PY) -m interop $(NAMES)

fuzz: ## coverage-guided fuzzing of all that reads a bank's bytes; SECONDS=60
	@bash setup/fuzz.sh
	@.venv-fuzz/bin/python -m fuzz --seconds $(or $(SECONDS),60) $(ARGS)

package: setup ## dist/bankgw_VERSION_ARCH.deb for this Debian, with all it needs inside; SIGN_KEY=release.pem signs its manifest
	@SIGN_KEY="$(SIGN_KEY)" bash setup/deb/build.sh dist

sbom: setup ## dist/bankgw.cdx.json: the bill of materials (CycloneDX) of the lock
	@mkdir -p dist && $(PY) -m setup.sbom requirements/run.txt >dist/bankgw.cdx.json && echo dist/bankgw.cdx.json

audit: setup ## known weaknesses of the pinned packages, by a file: ADVISORIES=all.zip
	@$(PY) -m setup.advisories "$(ADVISORIES)" requirements/run.txt

permits: setup ## how fast a permit log of SENDS (10000000) sends starts, and in how much memory
	@$(PY) -m tests.gateway.kernel.permit_log_size $(or $(SENDS),10000000)

identity: setup ## how fast an order id is found among KEYS (1000000) others
	@$(PY) -m tests.gateway.kernel.identity $(or $(KEYS),1000000)

lock: setup ## requirements/*.txt anew from pyproject.toml; UPGRADE=1 moves every pin
	@bash setup/lock.sh

down: ## stop the servers that this checkout started
	@if [ -x $(PY) ]; then $(PY) -m setup.processes stop; fi

forget: ## stop them, and take our users and data off the system's servers
	@if [ -x $(PY) ] && [ -d .run ]; then $(PY) -m setup.broker forget; $(PY) -m setup.databases forget; fi

clean: forget ## and remove caches, reports and logs (.venv and Debian's packages stay, which it names)
	@bash setup/apt.sh --list
	@rm -rf .run .venv311 .venv-fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo-report* bench-report* faults-report*
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
