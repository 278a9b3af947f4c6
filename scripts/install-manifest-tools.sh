#!/usr/bin/env bash
# Installs what tests/manifests needs into the directory $1: Python, Node.js, promtool and amtool where
# they are missing, and from PyPI and npm the versions that are pinned there. Does nothing, at once, when
# all is there.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/manifests" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)

missing=()
command -v promtool >/dev/null || missing+=(prometheus)
command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
command -v node >/dev/null || missing+=(nodejs)
# Each list is copied last, so it tells what is completely installed.
cmp -s "$source/requirements.txt" "$target/venv/requirements.txt" ||
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
cmp -s "$source/npm/package-lock.json" "$target/node_modules/package-lock.json" ||
    command -v npm >/dev/null || missing+=(npm)

. "$(dirname "$0")/debian-packages.sh"
install_packages install-manifest-tools "${missing[@]}"

if ! cmp -s "$source/requirements.txt" "$target/venv/requirements.txt"; then
    echo 'install-manifest-tools: installing from PyPI' >&2
    python3 -m venv --clear "$target/venv"
    "$target/venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$source/requirements.txt"
    cp "$source/requirements.txt" "$target/venv/"
fi

if ! cmp -s "$source/npm/package-lock.json" "$target/node_modules/package-lock.json"; then
    echo 'install-manifest-tools: installing from npm' >&2
    cp "$source/npm/package.json" "$source/npm/package-lock.json" "$target/"
    npm ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$source/npm/package-lock.json" "$target/node_modules/"
fi
