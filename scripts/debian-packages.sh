# Installs Debian packages for their programs only. To be sourced by a script that says what is
# missing; `install_packages` does nothing if that is nothing.
# shellcheck shell=bash

# Usage: install_packages <name of the script> <package>…
install_packages() {
    local script=$1
    shift
    if [ "$#" -eq 0 ]; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "$script: this is no Debian; please install: $*" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "$script: run as root: apt-get install --no-install-recommends $*" >&2
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
    echo "$script: installing $*" >&2
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
