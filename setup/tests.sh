#!/usr/bin/env bash
# pytest with a folder of its own for everything temporary, which is gone afterwards:  setup/tests.sh OPTION...
# The folder stays when a test failed, and is named. Tests that pass and leave something in it fail the run: only pytest's
# own folder may be there.
set -uo pipefail
cd "$(dirname "$0")/.."

# Short: the kernel takes at most 107 bytes for the path of a socket. Open to others: some tests act as other users.
folder=$(mktemp -d "${TMPDIR:-/tmp}/bgw-XXXXXX") && chmod 755 "$folder" || exit 1
printf 'setup: collecting the tests; this takes up to a minute\n' >&2
TMPDIR=$folder .venv/bin/python -m pytest "$@"
rc=$?
left=$(ls -A "$folder" | grep -v '^pytest-of-' | tr '\n' ' ')
if [ -n "$left" ]; then
    # Said after a failure too: else the next run, with all tests green, fails for this alone.
    printf 'setup: tests left these in the temporary folder; let the test or fixture that made them remove them: %s\n' "$left" >&2
    [ $rc != 0 ] || rc=1
fi
if [ $rc = 0 ]; then
    rm -rf "$folder"
else
    printf 'setup: what the tests left is in %s\n' "$folder" >&2
fi
exit $rc
