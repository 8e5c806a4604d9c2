#!/usr/bin/env bash
# Install Debian packages, as root or through sudo:  setup/apt.sh PACKAGE...
# No server among them is started, nor at the next boot: the checkout runs its own (setup/processes.py).
# `setup/apt.sh --list` says what was installed this way, and how to take it away.
# Set BANKGW_NO_INSTALL=1 to forbid it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
ours=${BANKGW_RUN:-.run}/packages
policy=/usr/sbin/policy-rc.d
servers=(rabbitmq-server epmd postgresql mariadb prometheus prometheus-alertmanager stunnel4 haproxy)

if [ "${1:-}" = --list ]; then
    if [ -s "$ours" ]; then
        say "these Debian packages were installed for this checkout and stay: $(tr '\n' ' ' <"$ours")"
        say "to remove them and what only they need: apt-get purge --auto-remove $(tr '\n' ' ' <"$ours")"
    fi
    exit 0
fi
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
        say "needs the package(s) $*, and there is no sudo here; run as root: apt-get install $*"
        exit 1
    fi
    as_root=(sudo)
    # Without a terminal nobody can type a password.
    [ -t 0 ] || as_root=(sudo -n)
    if ! "${as_root[@]}" true 2>/dev/null; then
        say "needs the package(s) $*, and sudo does not let $(id -un) install them; run as root: apt-get install $*"
        exit 1
    fi
fi

links() { find /etc/systemd/system -path '*.wants/*' -type l 2>/dev/null | sort; }
before=$(links)
made_policy=
log=$(mktemp)
finish() {
    [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"
    rm -f "$log"
}
trap finish EXIT
if [ ! -e "$policy" ]; then
    # Debian's word for it: packages ask this program whether they may start their server.
    # No pipe: a sudo that ends without reading would end this script by SIGPIPE.
    "${as_root[@]}" sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
    made_policy=1
fi

install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o APT::Keep-Downloaded-Packages=false "$@" </dev/null 2>&1 | tee -a "$log" >&2
}
missing() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
    done
}
fresh=$(missing "$@")
say "installing $*"
# A stale package list names versions that are gone, so a first failure means: read the list anew.
if ! install "$@"; then
    say "reading the package lists anew"
    "${as_root[@]}" apt-get update -q </dev/null 2>&1 | tee -a "$log" >&2 || true
    if ! install "$@"; then
        if grep -qE 'Temporary failure resolving|Could not (resolve|connect)|Unable to locate|Network is unreachable' "$log"; then
            say "cannot install $*: no Debian package server answers; connect this machine to a network, or install them another way"
        else
            say "cannot install $*; what apt-get says is above"
        fi
        exit 1
    fi
fi

mkdir -p -m 700 "${BANKGW_RUN:-.run}"
for name in $fresh; do
    grep -qxF "$name" "$ours" 2>/dev/null || printf '%s\n' "$name" >>"$ours"
done
# The packages' own scripts have let their servers start at boot. Not for a trial.
for link in $(comm -13 <(printf '%s\n' "$before") <(links)); do
    for server in "${servers[@]}"; do
        case ${link##*/} in
            "$server".service | "$server".socket | "$server"@*.service)
                unit=${link##*/}
                say "$unit was made to start at boot; it is not any more"
                "${as_root[@]}" deb-systemd-helper disable "$unit" >/dev/null 2>&1 || "${as_root[@]}" rm -f "$link"
                if [ -e "/etc/init.d/${unit%.*}" ]; then
                    "${as_root[@]}" update-rc.d "${unit%.*}" disable >/dev/null 2>&1 || true
                fi ;;
        esac
    done
done
