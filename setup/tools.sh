#!/usr/bin/env bash
# The commands by which the tests are judged by others: promtool, xmlsec1, amqp-tools, Node,
# systemd-analyze, strace.
# A tool that cannot be had is named; its tests then skip, or fail where CI=true.
set -uo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need promtool promtool
need xmlsec1 xmlsec1
need amqp-publish amqp-tools
need node nodejs
need npm npm
need systemd-analyze systemd
need strace strace
[ ${#missing[@]} = 0 ] && exit 0
bash setup/apt.sh "${missing[@]}" || printf 'setup: without %s some tests skip\n' "${missing[*]}" >&2
exit 0
