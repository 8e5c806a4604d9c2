#!/usr/bin/env bash
# Install Debian packages, as root or through sudo:  setup/apt.sh PACKAGE...
# Set BANKGW_NO_INSTALL=1 to forbid it.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

if [ -n "${BANKGW_NO_INSTALL:-}" ]; then
    say "needs the package(s) $* (not installed, because BANKGW_NO_INSTALL is set)"
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    say "needs the package(s) $*; this machine has no apt-get: install them its own way and run again"
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "needs the package(s) $*; run as root: apt-get install $*"
        exit 1
    fi
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2
}
say "installing $*"
# A stale package list names versions that are gone, so a first failure means: read the list anew.
if ! install "$@"; then
    "${as_root[@]}" apt-get update -q </dev/null >&2
    install "$@"
fi
