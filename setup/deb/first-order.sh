#!/usr/bin/env bash
# From the package to a settled payment on a machine of its own:  setup/deb/first-order.sh      (root, Debian 13)
# Builds and installs the package and RabbitMQ, runs `bankgw init`, starts what it names, and sends the first order. Where
# systemd is the first process the units are started; otherwise their ExecStart runs with the unit's user, umask and
# credentials, and the last line says so. It refuses a machine that has settings of bankgw, for it would change its broker.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "first-order: needs root" >&2; exit 2; }
[ ! -e /etc/bankgw/bankgw.toml ] || { echo "first-order: /etc/bankgw has settings; use a machine of its own" >&2; exit 2; }
export DEBIAN_FRONTEND=noninteractive
started_s=$SECONDS pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; }
trap stop EXIT

make package
apt-get install -y -q ./dist/bankgw_*.deb rabbitmq-server
installed_s=$SECONDS

if [ -d /run/systemd/system ]; then
    way="under systemd"
    systemctl start rabbitmq-server
else
    way="by the units' ExecStart, user, umask and credentials, without systemd"
    if ! rabbitmqctl --quiet status >/dev/null 2>&1; then
        rabbitmq-server >/var/log/first-order-broker.log 2>&1 &
        pids+=("$!")
    fi
    for _ in $(seq 60); do rabbitmqctl --quiet await_startup >/dev/null 2>&1 && break; sleep 1; done
    rabbitmqctl --quiet await_startup || { tail -n 20 /var/log/first-order-broker.log >&2; exit 1; }
fi

said=$(LC_ALL=C.UTF-8 bankgw init --bank sample --yes)
printf '%s\n' "$said"
start=$(sed -n '/^to start:/{n;s/^ *//p}' <<<"$said")
pay=$(sed -n '/^to pay 1.00:/{n;s/^ *//p}' <<<"$said")
bankgw init --check

# The value of KEY in a unit and its drop-ins, the last one first. A drop-in that clears a key is followed.
value() { # UNIT KEY
    { cat "/usr/lib/systemd/system/$1" "/etc/systemd/system/$1" "/etc/systemd/system/$1.d"/*.conf 2>/dev/null || true; } \
        | sed -n "s/^$2=//p" | awk 'NF { kept = kept $0 "\n"; next } { kept = "" } END { printf "%s", kept }'
}
unit() { # UNIT
    local user folder=/run/credentials/$1 name
    user=$(value "$1" User | tail -n 1)
    install -d -m 0700 -o "$user" "$folder"
    while IFS=: read -r name file; do
        [ -z "$name" ] || install -m 0400 -o "$user" "$file" "$folder/$name"
    done <<<"$(value "$1" LoadCredential)"
    for name in $(value "$1" StateDirectory); do install -d -m 0700 -o "$user" "/var/lib/$name"; done
    (
        cd /
        umask "$(value "$1" UMask | tail -n 1)"
        # shellcheck disable=SC2046
        exec setpriv --reuid "$user" --regid "$user" --init-groups env CREDENTIALS_DIRECTORY="$folder" \
            $(value "$1" ExecStart | tail -n 1) >"/var/log/$1.log" 2>&1
    ) &
    pids+=("$!")
}

if [ -d /run/systemd/system ]; then
    bash -c "$start"
else
    for name in ${start##*--now }; do unit "${name%.service}.service"; done
fi
for _ in $(seq 300); do bankgw status >/dev/null 2>&1 && break; sleep 0.2; done
bankgw status || { tail -n 20 /var/log/bankgw*.log >&2; exit 1; }
printf '%s\n' "$pay"
answer=$(bash -c "$pay") || { printf '%s\n' "$answer" >&2; exit 1; }
printf '%s\n' "$answer"
grep -q settled <<<"$answer" || { echo "first-order: the payment is not settled" >&2; exit 1; }
echo "first-order: settled $((SECONDS - installed_s)) s after the package was installed, $((SECONDS - started_s)) s in all, $way"
