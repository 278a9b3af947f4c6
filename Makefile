# Each target does its own set-up on a fresh machine: `make demo` right after `git clone` works.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

# How long `make fuzz` tries each target, and which there are.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := body channels expressions markdown split trigger_config

# How long `make faults` lets each fault go on.
FAULT_SECONDS ?= 4

MANIFESTS = PYTHONDONTWRITEBYTECODE=1 $(TARGET_DIR)/manifests/venv/bin/python tests/manifests --tools $(TARGET_DIR)/manifests

.DEFAULT_GOAL := help
.PHONY: help demo run test clients manifests manifests-write check fmt bench faults fuzz servers

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: servers ## From nothing to a conversation carried back, shown in the terminal
	cargo run -q -p recado -- demo

run: servers ## All of Recado on this machine, left running; its data is kept in .recado
	cargo run -q -p recado -- dev --data-dir .recado

test: servers check manifests ## What CI runs: the checks, then every test on real servers
	scripts/install-nextest.sh
	scripts/install-mail-servers.sh
	scripts/install-mcp.sh $(TARGET_DIR)/mcp
	cargo nextest run --workspace --no-run
	$(TARGET_DIR)/debug/with-servers cargo nextest run --workspace

clients: servers ## Play providers with their own libraries; hold the API to its OpenAPI document
	scripts/install-clients.sh $(TARGET_DIR)/clients
	cargo build -q -p recado
	PYTHONDONTWRITEBYTECODE=1 $(TARGET_DIR)/clients/venv/bin/python tests/clients \
		--recado $(TARGET_DIR)/debug/recado --npm $(TARGET_DIR)/clients/npm

manifests: servers ## Hold Kubernetes, image, compose, alerts and dashboards against their tools
	scripts/install-manifest-tools.sh $(TARGET_DIR)/manifests
	$(MANIFESTS)

manifests-write: ## Write what is made of the alerts and the list of dashboards
	scripts/install-manifest-tools.sh $(TARGET_DIR)/manifests
	$(MANIFESTS) --write

check: ## Formatting, lints and documentation; warnings are errors
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

bench: servers ## Measure throughput and latency with a release build
	cargo build --release -p recado
	$(TARGET_DIR)/release/recado bench

faults: servers ## Break what Recado stands on, under load, and judge what came of it: FAULT_SECONDS (4) for each
	scripts/install-fault-tools.sh
	cargo build -q -p recado
	$(TARGET_DIR)/debug/recado faults --seconds $(FAULT_SECONDS)

fuzz: ## Look for a request or configuration that does harm, FUZZ_SECONDS (60) for each target
	scripts/install-cargo-fuzz.sh
	cargo fuzz build --sanitizer none
	@set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-dict=fuzz/dictionaries/$$target.dict -max_total_time=$(FUZZ_SECONDS) \
			-max_len=65536 -timeout=10 -rss_limit_mb=2048; \
	done

servers:
	@scripts/install-servers.sh
