#!/usr/bin/env bash
# The peers of `make interop`: .venv-interop from its own hash-pinned lock, and Debian's commands. A second run takes no
# time. What cannot be had is named; its checks then do not agree.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-interop
. setup/pip.sh

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need xmlsec1 xmlsec1
need g++ g++
[ -e /usr/include/xsec/framework/XSECProvider.hpp ] || missing+=(libxml-security-c-dev libxerces-c-dev)
need java default-jdk-headless
need openssl openssl
need node nodejs
need npm npm
need aqbanking-cli aqbanking-tools
if [ ${#missing[@]} != 0 ]; then
    bash setup/apt.sh "${missing[@]}" || say "without ${missing[*]} some peers cannot agree"
fi

stamp=$({ cat requirements/interop.txt requirements/schemas.txt setup/interop.sh interop/peers/node/package-lock.json; printf '%s\n' "$PWD"; } | sha256sum)
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.bankgw-stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
say "making $venv (a minute or two the first time)"
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
# Some peers come as sources. They are built by the setuptools of the same lock, so that nothing unpinned runs.
builder=$(mktemp)
trap 'rm -f "$builder"' EXIT
awk '/^[a-z]/ { ours = /^setuptools==/ } ours' requirements/interop.txt >"$builder"
pip_install "$venv" setuptools --require-hashes --only-binary :all: -r "$builder"
# The lock is complete, and in one place deliberately not what a package asks for (see lock.sh).
pip_install "$venv" requirements/interop.txt --require-hashes --no-deps --no-build-isolation -r requirements/interop.txt
# Schemas that only packages for another program carry.
pip_install "$venv" requirements/schemas.txt --require-hashes --no-deps --only-binary :all: -r requirements/schemas.txt
# The peer in JavaScript, from a lock with hashes; its programs run nothing while they are installed.
mkdir -p "$venv/node"
cp interop/peers/node/package.json interop/peers/node/package-lock.json "$venv/node/"
if command -v npm >/dev/null; then
    (cd "$venv/node" && npm ci --ignore-scripts --no-audit --no-fund --silent) || say "without npm's packages xml-crypto cannot agree"
fi
printf '%s\n' "$stamp" >"$venv/.bankgw-stamp"
say "$venv is ready"
