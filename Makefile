# Every target with its line; `make help` prints them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help install demo test vm-test unit check bench soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 12

install: ## host packages, .venv, and `pogu` on the PATH; nothing to do takes under 2 s
	@scripts/install

demo: install ## build examples/node-server, run it, fetch its page, look at it, stop it
	@scripts/demo

test: ## every test: unit, checks, system and conformance (the latter need root)
	@scripts/install --dev
	@$(SUDO) $(PYTHON) -m pytest -q $(PYTEST)

vm-test: ## the system tests in a virtual machine with systemd, cgroup v2 alone and AppArmor
	@$(SUDO) scripts/vm test $(PYTEST)

unit: ## the tests that need neither root nor network, under 20 s
	@scripts/install --dev
	@$(PYTHON) -m pytest -q -m 'not root' tests/unit $(PYTEST)

check: ## ruff (lint and format) and mypy --strict
	@scripts/install --dev
	@$(PYTHON) -m ruff check && $(PYTHON) -m ruff format --check && $(PYTHON) -m mypy

bench: install ## measure against docker and podman where they are installed; see bench/README.md
	@$(SUDO) $(PYTHON) -m bench $(BENCH)

soak: ## 1,000 short lives of containers: afterwards the host has what it had before
	@scripts/install --dev
	@$(SUDO) $(PYTHON) -m tests.soak $(SOAK)

clean: ## remove .venv and caches; images and containers stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
