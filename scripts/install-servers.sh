#!/usr/bin/env bash
# Installs the servers that Recado stands on, where they are missing: PostgreSQL, Redis, RabbitMQ.
# Only their programs are needed: tests and `recado dev` run private instances of their own,
# so the packages are kept from starting any. Does nothing, at once, when all is there.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
compgen -G '/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server' >/dev/null || missing+=(rabbitmq-server)
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "install-servers: this is no Debian; please install: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-servers: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# Debian's packages start their service unless this program says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
echo "install-servers: installing ${missing[*]}" >&2
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

# RabbitMQ's package brings up Erlang's name server all the same, for everybody on the machine.
if [[ " ${missing[*]} " == *" rabbitmq-server "* ]] && command -v epmd >/dev/null; then
    epmd -kill >/dev/null 2>&1 || true
fi
