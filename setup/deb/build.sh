#!/usr/bin/env bash
# Build the Debian package for this machine's Debian and Python, and its manifest:  setup/deb/build.sh FOLDER
# Inside is a virtual environment of its own, from the hash-pinned lock. $VERSION overrides the version of pyproject.toml.
# $PACKAGES may name a folder that holds the libraries already, unpacked; nothing is fetched then. $SIGN_KEY names the
# Ed25519 key that signs the manifest. $LEVEL is xz's, 6 unless told.
# The same commit, Debian and Python give the same file, octet by octet: every time stamp is that of the commit.
set -euo pipefail
target=$(realpath -m "${1:?usage: setup/deb/build.sh FOLDER}")
cd "$(dirname "$0")/../.."
. setup/pip.sh
home=/usr/lib/bankgw
umask 022

STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
root=$STAGE/root
python=/usr/bin/python3
PYTHON=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYTHON_NEXT=$("$python" -c 'import sys; print("%d.%d~" % (sys.version_info[0], sys.version_info[1] + 1))')
ARCH=$(dpkg --print-architecture)
VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
COMMIT=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Without git, as in an sdist, the day of the newest version in the changelog.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null \
    || date -u -d "$(sed -n 's/^## .* - \([0-9-]*\)$/\1/p' CHANGELOG.md | head -n 1)" +%s)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C.UTF-8 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

say "putting the libraries together"
mkdir -p "$root/usr/lib"
lib=$root$home
"$python" -m venv --without-pip "$lib"
site=$lib/lib/python$PYTHON/site-packages
pip() { "$PWD/.venv/bin/python" -m pip --python "$lib/bin/python" "$@"; }
install=(install --quiet --disable-pip-version-check --no-input --no-compile --no-deps)
if [ -n "${PACKAGES:-}" ]; then
    grep -oE '^[A-Za-z0-9._-]+' requirements/run.txt >"$STAGE/names"
    "$PWD/.venv/bin/python" setup/deb/borrow.py "$STAGE/names" "$PACKAGES" "$site"
else
    pip "${install[@]}" --require-hashes --only-binary :all: -r requirements/run.txt
fi
"$PWD/.venv/bin/python" -m hatchling build -d "$STAGE/wheel" -t wheel >/dev/null
pip "${install[@]}" --no-index "$STAGE"/wheel/*.whl
# The environment is where it will be, not where it was made.
rm -f "$lib"/bin/[Aa]ctivate* "$lib/.gitignore" "$site"/bankgw-*.dist-info/direct_url.json
# The hash of a script is that of its first line with the folder in which it was made.
sed -i '/direct_url.json/d; \#^\.\./\.\./\.\./bin/#d' "$site"/bankgw-*.dist-info/RECORD
find "$lib/bin" -type f -exec sed -i "1s|^#!.*|#!$home/bin/python3|" {} +
find "$lib/bin" -type f ! -name bankgw -delete
ln -sfn ../../../bin/python3 "$lib/bin/python3"
sed -i "/^command = /d" "$lib/pyvenv.cfg"
# The tests of the libraries are for their makers. The package's own script compiles what is installed.
find "$site" -type d \( -name __pycache__ -o -name test -o -name tests -o -name newsfragments \) \
    ! -path "$site/gateway/*" ! -path "$site/protocols/*" -prune -exec rm -rf {} +
find "$site" -name __pycache__ -type d -prune -exec rm -rf {} +
find "$site" -name .gitignore -delete

say "writing the pages"
doc=$root/usr/share/doc/bankgw
mkdir -p "$doc/examples" "$root"/usr/{bin,share/man,lib/systemd/system,lib/sysusers.d,lib/tmpfiles.d} \
    "$root"/usr/share/{bash-completion/completions,zsh/vendor-completions,lintian/overrides}
cp -rT docs "$doc"
cp -r conf/. "$doc/examples"
cp setup/deb/copyright CHANGELOG.md README.md README.zh.md SECURITY.md "$doc/"
printf 'bankgw (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$VERSION" \
    "$(sed -n 's/^Maintainer: //p' setup/deb/control)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
.venv/bin/python -m setup.deb.manual "$root/usr/share/man" "$VERSION"
_BANKGW_COMPLETE=source_bash .venv/bin/python -m gateway >"$root/usr/share/bash-completion/completions/bankgw"
_BANKGW_COMPLETE=source_zsh .venv/bin/python -m gateway >"$root/usr/share/zsh/vendor-completions/_bankgw"
VERSION=$VERSION .venv/bin/python -m setup.sbom requirements/run.txt >"$doc/bankgw.cdx.json"
cp systemd/* "$root/usr/lib/systemd/system/"
cp setup/deb/bankgw.sysusers "$root/usr/lib/sysusers.d/bankgw.conf"
cp setup/deb/bankgw.tmpfiles "$root/usr/lib/tmpfiles.d/bankgw.conf"
cp setup/deb/lintian-overrides "$root/usr/share/lintian/overrides/bankgw"
ln -s ../lib/bankgw/bin/bankgw "$root/usr/bin/bankgw"

say "packing"
chmod -R u=rwX,go=rX "$root"
find "$site" -type f -name '*.so*' -exec chmod 0644 {} +
glibc=$(find "$site" -type f -name '*.so*' -print0 | xargs -0 grep -ahoE 'GLIBC_2\.[0-9]+' | sort -uV | tail -n 1)
mkdir "$root/DEBIAN"
sed -e "s|\${ARCH}|$ARCH|; s|\${VERSION}|$VERSION|; s|\${PYTHON}|$PYTHON|; s|\${PYTHON_NEXT}|$PYTHON_NEXT|" \
    -e "s|\${GLIBC}|${glibc#GLIBC_}|; s|\${SIZE}|$(find "$root" -type f -printf '%s\n' | awk '{ n += int($1 / 1024) + 1 } END { print n }')|" \
    setup/deb/control >"$root/DEBIAN/control"
install -m 0755 setup/deb/{postinst,prerm,postrm} "$root/DEBIAN/"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$target"
# With several threads xz splits the file in other places.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz "-z${LEVEL:-6}" --build "$root" "$target/" >&2
cp "$doc/bankgw.cdx.json" requirements/run.txt "$target/"
.venv/bin/python -m setup.deb.manifest "$target/bankgw_${VERSION}_$ARCH.manifest" \
    "bankgw $VERSION for $ARCH and Python $PYTHON, of commit $COMMIT, time stamps $SOURCE_DATE_EPOCH" \
    "bankgw_${VERSION}_$ARCH.deb" bankgw.cdx.json run.txt ${SIGN_KEY:+--sign "$SIGN_KEY"} >&2
