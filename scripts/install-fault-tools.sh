#!/usr/bin/env bash
# Installs what `make faults` needs besides the servers, where it is missing: libfaketime, by which
# one process gets a clock of its own. Does nothing, at once, when all is there.
set -euo pipefail

missing=()
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime)

. "$(dirname "$0")/debian-packages.sh"
install_packages install-fault-tools "${missing[@]}"
