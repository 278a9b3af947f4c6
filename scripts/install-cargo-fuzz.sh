#!/usr/bin/env bash
# Installs what `make fuzz` needs, where it is missing: cargo-fuzz, built from source, and a C++
# compiler for libFuzzer, which comes with the crate libfuzzer-sys.
set -euo pipefail

version=0.13.1

if ! command -v c++ >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo 'install-cargo-fuzz: this is no Debian; please install a C++ compiler' >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo 'install-cargo-fuzz: run as root: apt-get install --no-install-recommends g++' >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo 'install-cargo-fuzz: installing g++' >&2
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends g++ >/dev/null
fi

if cargo fuzz --version 2>/dev/null | grep -qxF "cargo-fuzz $version"; then
    exit 0
fi
echo "install-cargo-fuzz: building cargo-fuzz $version, once" >&2
cargo install cargo-fuzz --locked --version "$version" --force --quiet
