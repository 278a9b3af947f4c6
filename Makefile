# Each target does its own set-up on a fresh machine: `make demo` right after `git clone` works.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo run test clients check fmt bench servers

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-7s %s\n", $$1, $$2}'

demo: servers ## From nothing to a conversation carried back, shown in the terminal
	cargo run -q -p recado -- demo

run: servers ## All of Recado on this machine, left running; its data is kept in .recado
	cargo run -q -p recado -- dev --data-dir .recado

test: servers check ## What CI runs: the checks, then every test on real servers
	scripts/install-nextest.sh
	cargo nextest run --workspace --no-run
	$(TARGET_DIR)/debug/with-servers cargo nextest run --workspace

clients: servers ## Play every provider with its own library, and tamper with what it signs
	scripts/install-clients.sh $(TARGET_DIR)/clients
	cargo build -q -p recado
	PYTHONDONTWRITEBYTECODE=1 $(TARGET_DIR)/clients/venv/bin/python tests/clients \
		--recado $(TARGET_DIR)/debug/recado --npm $(TARGET_DIR)/clients/npm

check: ## Formatting, lints and documentation; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

fmt: ## Format the code
	cargo fmt --all

bench: servers ## Measure throughput and latency with a release build
	cargo build --release -p recado
	$(TARGET_DIR)/release/recado bench

servers:
	@scripts/install-servers.sh
