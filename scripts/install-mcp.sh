#!/usr/bin/env bash
# Installs the MCP server that the tests play with into the directory $1, in the version that is
# pinned in tests/mcp, and Node.js where it is missing. Does nothing, at once, when all is there.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/mcp" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)

missing=()
command -v node >/dev/null || missing+=(nodejs)
# The list is copied last, so it tells what is completely installed.
if cmp -s "$source/package-lock.json" "$target/node_modules/package-lock.json"; then
    [ "${#missing[@]}" -eq 0 ] && exit 0
else
    command -v npm >/dev/null || missing+=(npm)
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "install-mcp: this is no Debian; please install: ${missing[*]}" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "install-mcp: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "install-mcp: installing ${missing[*]}" >&2
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! cmp -s "$source/package-lock.json" "$target/node_modules/package-lock.json"; then
    echo 'install-mcp: installing from npm' >&2
    cp "$source/package.json" "$source/package-lock.json" "$target/"
    npm ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$source/package-lock.json" "$target/node_modules/"
fi
