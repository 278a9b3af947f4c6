#!/usr/bin/env bash
# Installs the servers that Recado stands on, where they are missing: PostgreSQL, Redis, RabbitMQ;
# and Prometheus, by which tests see what wakes somebody.
# Only their programs are needed: tests and `recado dev` run private instances of their own,
# so the packages are kept from starting any. Does nothing, at once, when all is there.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
compgen -G '/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server' >/dev/null || missing+=(rabbitmq-server)
[ -x /usr/bin/prometheus ] || missing+=(prometheus)
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi

. "$(dirname "$0")/debian-packages.sh"
install_packages install-servers "${missing[@]}"

# RabbitMQ's package brings up Erlang's name server all the same, for everybody on the machine.
if [[ " ${missing[*]} " == *" rabbitmq-server "* ]] && command -v epmd >/dev/null; then
    epmd -kill >/dev/null 2>&1 || true
fi
