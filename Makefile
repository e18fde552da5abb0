# Everything that a person or CI runs. Each target does its own set-up and may be run again at any time.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Newer than whatever the virtual environment was made from.
READY := .venv/.ready

.PHONY: help setup demo bench-operator check format-check lint types imports generated unit test test-long test-cluster e2e format generate clean

help: ## List the targets
	@awk -F ' *:.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Fine-tune, score and serve a small model on this machine
	llmworkflow demo

test: setup ## Run the tests on this machine, with Ray and vLLM on the CPU (40 minutes)
	pytest -m "not cluster and not long and not pods"

test-long: setup ## Run the tests that train and serve several models one after the other (half an hour)
	pytest -m long

e2e: setup ## Run real pods, on kind where a Docker engine runs, else on a cluster of programs built the first time
	python -m tests.pods
	pytest -rP tests/pods

test-cluster: setup ## Run the tests on a real Kubernetes API with the real KubeRay, built the first time
	python -m tests.cluster.binaries
	pytest tests/chart tests/cluster

bench-operator: setup ## Measure the operator with 1,000 and 5,000 workflows on a real Kubernetes API (15 minutes)
	python -m tests.cluster.binaries
	python -m bench.load --workflows 1000 5000 --foreign 5000 --output bench/operator.md

check: setup ## Run what is quick: style, types, imports, generated files, unit tests
	@$(MAKE) --jobs=2 --keep-going --output-sync=target format-check lint types imports generated unit

format-check:
	ruff format --check

lint:
	ruff check

types:
	mypy

imports:
	lint-imports --no-logo

generated:
	python -m llmworkflow.generate --check
	python -m llmworkflow.kube.chart --check
	python -m tests.capabilities --check

unit:
	pytest tests/unit

format: setup ## Format the code and fix what can be fixed
	ruff check --fix-only
	ruff format

generate: setup ## Write anew what comes from models, chart and tests (builds Helm the first time: a minute)
	python -m llmworkflow.generate
	python -m tests.chart.manifests
	python -m llmworkflow.kube.chart
	python -m tests.capabilities

setup: $(READY) ## Make the virtual environment, with all that it needs
$(READY): pyproject.toml uv.lock scripts/setup scripts/apt-install
	scripts/setup
	touch $@

clean: ## Remove the virtual environment and the tools' caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
