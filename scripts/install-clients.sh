#!/usr/bin/env bash
# Installs what tests/clients needs into the directory $1: Python, Node.js, and the providers' own
# libraries in the versions that are pinned there. Does nothing, at once, when all is there.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/clients" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "install-clients: this is no Debian; please install: ${missing[*]}" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "install-clients: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "install-clients: installing ${missing[*]}" >&2
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Each list is copied last, so it tells what is completely installed.
if ! cmp -s "$source/requirements.txt" "$target/venv/requirements.txt"; then
    echo 'install-clients: installing from PyPI' >&2
    python3 -m venv --clear "$target/venv"
    "$target/venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$source/requirements.txt"
    cp "$source/requirements.txt" "$target/venv/"
fi

mkdir -p "$target/npm"
cp "$source/npm/"{sign.mjs,verify.mjs,package.json} "$target/npm/"
if ! cmp -s "$source/npm/package-lock.json" "$target/npm/node_modules/package-lock.json"; then
    echo 'install-clients: installing from npm' >&2
    cp "$source/npm/package-lock.json" "$target/npm/"
    npm ci --prefix "$target/npm" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$source/npm/package-lock.json" "$target/npm/node_modules/"
fi
