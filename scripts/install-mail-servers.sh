#!/usr/bin/env bash
# Installs the mail servers that tests stand on, where they are missing: Dovecot (IMAP) and aiosmtpd.
# Only their programs are needed: tests run private instances of their own, so the packages are kept
# from starting any. Does nothing, at once, when all is there.
set -euo pipefail

missing=()
[ -x /usr/lib/dovecot/imap ] || missing+=(dovecot-imapd)
[ -d /usr/lib/python3/dist-packages/aiosmtpd ] || missing+=(python3-aiosmtpd)
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi

. "$(dirname "$0")/debian-packages.sh"
install_packages install-mail-servers "${missing[@]}"
