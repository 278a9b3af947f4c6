#!/usr/bin/env bash
# Installs the test runner where it is missing. It is built from source, which takes minutes once.
set -euo pipefail

if cargo nextest --version >/dev/null 2>&1; then
    exit 0
fi
echo 'install-nextest: building cargo-nextest, once' >&2
cargo install cargo-nextest --locked --quiet
