#!/usr/bin/env bash
# Build or refresh a virtual environment from the hash-pinned lock:  setup/python.sh VENV
# Python: $PYTHON, else the newest of python3.13, 3.12, 3.11 and python3 that runs. A second run takes no time:
# VENV/.bankgw-stamp holds the hash of everything the environment was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: setup/python.sh VENV}

. setup/pip.sh
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The folder is part of the stamp: a copied environment still points at the place it was copied from.
stamp=$({ cat requirements/dev.txt pyproject.toml setup/python.sh; printf '%s\n' "${PYTHON:-}" "$PWD"; } | sha256sum)
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.bankgw-stamp" 2>/dev/null)" = "$stamp" ] && fits "$venv/bin/python"; then
    exit 0
fi

pick() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || { say "PYTHON=$PYTHON does not run or is older than 3.11"; return 1; }
        printf '%s\n' "$PYTHON"
        return
    fi
    for name in python3.13 python3.12 python3.11 python3; do
        # A name may be a version switcher's stand-in that cannot run: only running it tells.
        if fits "$name"; then printf '%s\n' "$name"; return; fi
    done
    return 1
}

if ! python=$(pick); then
    [ -z "${PYTHON:-}" ] || exit 1
    bash setup/apt.sh python3 python3-venv
    python=$(pick) || { say "needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    bash setup/apt.sh "python$version-venv"
fi

if [ -e "$venv" ] && [ "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" != "$version" ]; then
    say "removing $venv: it is not a working Python $version"
    rm -rf "$venv"
fi
say "making $venv with Python $version (a minute or two the first time)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
rm -f "$venv/.bankgw-stamp"
pip_install "$venv" requirements/dev.txt --require-hashes --only-binary :all: -r requirements/dev.txt
pip_install "$venv" pyproject.toml --no-deps --no-build-isolation --editable .
printf '%s\n' "$stamp" >"$venv/.bankgw-stamp"
say "$venv is ready"
