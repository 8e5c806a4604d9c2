#!/usr/bin/env bash
# pytest with a folder of its own for everything temporary, which is gone afterwards:  setup/tests.sh OPTION...
# The folder stays when a test failed, and is named.
set -uo pipefail
cd "$(dirname "$0")/.."

# Short: the kernel takes at most 107 bytes for the path of a socket. Open to others: some tests act as other users.
folder=$(mktemp -d "${TMPDIR:-/tmp}/bgw-XXXXXX") && chmod 755 "$folder" || exit 1
printf 'setup: collecting the tests; this takes up to a minute\n' >&2
TMPDIR=$folder .venv/bin/python -m pytest "$@"
rc=$?
if [ $rc = 0 ]; then
    rm -rf "$folder"
else
    printf 'setup: what the tests left is in %s\n' "$folder" >&2
fi
exit $rc
