# Every target is idempotent and works as root on a fresh Debian 12/13 or Ubuntu machine.
.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Three nodes, a client and a router in network namespaces: the main job, unattended, under 60 s
	@scripts/setup runtime
	@$(PY) -m stentor.cli.main lab demo

.PHONY: test
test: ## Everything: style, unit, simulator, packet, gossip interop, lab, API server, one kernel in a VM
	@scripts/setup kernels
	@scripts/build_peers
	@scripts/build_cluster
	@$(PY) -m pytest -n 2 --dist loadscope $(ARGS)

.PHONY: kernels
kernels: ## Every test in VMs, on every kernel: 6.1 and 6.12, bonds, VLANs, IPVS, frozen hosts
	@scripts/setup kernels
	@STENTOR_KERNELS=all $(PY) -m pytest tests/kernels $(ARGS)

.PHONY: lint
lint: ## Style and types only
	@scripts/setup tests
	@$(PY) -m pytest -q tests/style

.PHONY: bench
bench: ## Speed and memory as ratios against references in the same run
	@scripts/setup tests
	@$(PY) -m tests.bench

.PHONY: lock
lock: ## Resolve pyproject.toml into the lock files
	@scripts/lock

.PHONY: clean
clean: ## Remove what the build made here (the cache of Go peers stays: see CONTRIBUTING)
	rm -rf .venv build dist speaker/dataplane/objects .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
