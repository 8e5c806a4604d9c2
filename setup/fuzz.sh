#!/usr/bin/env bash
# The environment of `make fuzz`, apart from the developers' own: .venv-fuzz, the same lock and a fuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."
. setup/pip.sh
bash setup/python.sh .venv-fuzz
want=$(sha256sum <requirements/fuzz.txt)
if [ "$(cat .venv-fuzz/.fuzz-stamp 2>/dev/null)" != "$want" ] || ! .venv-fuzz/bin/python -c 'import atheris' 2>/dev/null; then
    pip_install .venv-fuzz requirements/fuzz.txt --no-deps --only-binary :all: --require-hashes -r requirements/fuzz.txt
    printf '%s\n' "$want" >.venv-fuzz/.fuzz-stamp
fi
