#!/usr/bin/env bash
# Write requirements/run.txt (what a gateway needs), dev.txt (and what its developers need), interop.txt (the peers of
# `make interop`) and tools.txt (commands that judge ours) anew.
# Pins that still satisfy pyproject.toml stay; to move them: make lock UPGRADE=1, or UPGRADE="lxml xmlsec".
# The hashes cover every file of a release, so one lock serves each Python; the end of this script proves it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

options=(--quiet --no-header --no-annotate --no-strip-extras --allow-unsafe --generate-hashes --newline lf
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options)
case "${UPGRADE:-}" in
    '') ;;
    1) options+=(--upgrade) ;;
    *) for name in $UPGRADE; do options+=(--upgrade-package "$name"); done ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
title() { printf '# %s\n# Written by `make lock`; change pyproject.toml instead.\n' "$1"; }

# One resolution for both files: what is run is exactly what was tested.
lock() {
    local name=$1
    shift
    [ ! -e "requirements/$name" ] || grep -v '^# ' "requirements/$name" >"$work/$name"
    "$python" -m piptools compile "${options[@]}" --extra postgresql --extra mysql \
        --extra joint-test --extra reports --extra console --extra pkcs11 "$@" --output-file "$work/$name" \
        pyproject.toml
}
lock dev.txt --extra dev
sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ]*\).*/\1==\3/p' "$work/dev.txt" >"$work/tested.txt"
lock run.txt --constraint "$work/tested.txt"
# The peers of `make interop` live apart from it all, in an environment of their own. One of them pins an xmlsec that
# comes as source only, and would be built against another libxml2 than lxml's; the peers take ours instead.
block() { awk -v name="$1==" -v keep="$2" '/^[A-Za-z0-9]/ { ours = (index($0, name) == 1) == keep } ours' "$3"; }
[ ! -e requirements/interop.txt ] || grep -v '^# ' requirements/interop.txt | block xmlsec 0 - >"$work/interop.txt"
"$python" -m piptools compile "${options[@]}" --output-file "$work/interop.txt" requirements/interop.in
{ block xmlsec 0 "$work/interop.txt"; block xmlsec 1 "$work/dev.txt"; } >"$work/peers.txt"
mv "$work/peers.txt" "$work/interop.txt"
[ ! -e requirements/tools.txt ] || grep -v '^# ' requirements/tools.txt >"$work/tools.txt"
"$python" -m piptools compile "${options[@]}" --output-file "$work/tools.txt" requirements/tools.in
if grep -nE '://|^-' "$work/dev.txt" "$work/run.txt" "$work/interop.txt" "$work/tools.txt"; then
    echo 'lock: an address or an option got into the lock (above); nothing written' >&2
    exit 1
fi
for version in 3.11 3.13; do
    "$python" -m pip install --quiet --dry-run --target "$work/none" --no-deps --only-binary :all: --require-hashes \
        --python-version "$version" -r "$work/dev.txt"
    echo "lock: every package has a wheel for Python $version among the hashes" >&2
done
{ title 'What a gateway runs on.'; cat "$work/run.txt"; } >requirements/run.txt
printf '# %s\n# Written by `make lock`; change requirements/interop.in instead.\n' \
    "Other people's programs that judge ours." | cat - "$work/interop.txt" >requirements/interop.txt
printf '# %s\n# Written by `make lock`; change requirements/tools.in instead.\n' \
    "Commands that judge ours and come as Python packages." | cat - "$work/tools.txt" >requirements/tools.txt
{ title 'What a gateway runs on, and what its developers use.'; cat "$work/dev.txt"; } >requirements/dev.txt
