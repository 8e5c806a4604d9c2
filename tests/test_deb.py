"""The Debian package: installed, upgraded, removed and purged on a temporary copy of this machine's root."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.kernel.sql import migrations, vault
from tests.gateway.kernel.bench import Journal, admit, order
from tests.independent.site import not_to_be_had, program
from tests.world.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
HOME = "/usr/lib/bankgw"
LARGEST = 60_000_000
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


def _build(folder: Path, version: str, level: int = 0) -> Path:
    """Build the package; `level` is xz's, and 0 is quick."""
    env = {**os.environ, "VERSION": version, "PACKAGES": sysconfig.get_path("purelib"), "LEVEL": str(level)}
    done = subprocess.run(
        ["bash", str(ROOT / "setup/deb/build.sh"), str(folder)],
        env=env,
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [deb] = folder.glob(f"bankgw_{version}*.deb")
    return deb


@dataclass(frozen=True, slots=True)
class Machine:
    """A root file system over this machine's own. `said` runs a shell command in it, which must succeed."""

    merged: Path
    holder: int

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        words = ["nsenter", "-t", str(self.holder), "-m", "chroot", str(self.merged), "/bin/bash", "-ec", line]
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "HOME": "/",
        }
        return subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
        )

    def said(self, line: str) -> str:
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """This machine's root, with everything that is written kept in memory."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("dpkg") is None:
        not_to_be_had("needs root and Debian")
    base = tmp_path_factory.mktemp("root")
    script = (
        f"mount -t tmpfs none {base} && mkdir {base}/up {base}/work {base}/merged {base}/debs && "
        f"mount -t overlay none -o lowerdir=/,upperdir={base}/up,workdir={base}/work {base}/merged && "
        f"mount -t proc none {base}/merged/proc && mount --bind /dev {base}/merged/dev && echo up && cat >/dev/null"
    )
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
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
    """Two versions of the package, by their paths inside the machine."""
    folder = tmp_path_factory.mktemp("debs")
    found = []
    for version in ("0.1.0", "0.2.0"):
        deb = _build(folder, version)
        machine.run("mkdir -p /var/debs")
        with deb.open("rb") as octets:
            subprocess.run(
                ["nsenter", "-t", str(machine.holder), "-m", "sh", "-c", f"cat >{machine.merged}/var/debs/{deb.name}"],
                stdin=octets,
                check=True,
                timeout=60,
            )
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
        subprocess.run(
            [
                "nsenter",
                "-t",
                str(machine.holder),
                "-m",
                "sh",
                "-c",
                f"cat >{machine.merged}/var/lib/bankgw/journal.db && chown --reference={machine.merged}/var/lib/bankgw "
                f"{machine.merged}/var/lib/bankgw/journal.db",
            ],
            stdin=octets,
            check=True,
            timeout=60,
        )


def _lives(machine: Machine) -> str:
    """Let the installed daemon start as its own user, and end in order; returns its log."""
    # Without a unit the daemon gets no credentials, so the test gives it the files.
    machine.said("chmod 711 /etc/bankgw/secrets && chown bankgw /etc/bankgw/secrets/*")
    return machine.said(
        "cd /; setpriv --reuid bankgw --regid bankgw --clear-groups bankgw run >/var/debs/log 2>&1 & daemon=$!; "
        "for n in $(seq 1000); do grep -q daemon.started /var/debs/log && break; kill -0 $daemon; sleep 0.1; done; "
        "kill -TERM $daemon; wait $daemon; cat /var/debs/log"
    )


def test_from_installing_to_purging(machine: Machine, debs: tuple[str, str], tmp_path: Path) -> None:
    old, new = debs
    machine.said("! getent passwd bankgw || userdel bankgw; rm -rf /etc/bankgw /var/lib/bankgw")
    said = machine.said(f"dpkg -i {old}")
    assert "no settings yet" in said
    assert machine.said("getent passwd bankgw").split(":")[5:] == ["/var/lib/bankgw", "/usr/sbin/nologin\n"]
    assert machine.said("stat -c '%a %U' /etc/bankgw/secrets /var/lib/bankgw").split() == [
        "700",
        "root",
        "700",
        "bankgw",
    ]
    assert re.fullmatch(r"bankgw \S+\n", machine.said("cd / && bankgw --version"))
    where = machine.said(
        f"cd / && {HOME}/bin/python3 -c 'import gateway, lxml; print(gateway.__file__, lxml.__file__)'"
    )
    assert all(path.startswith(f"{HOME}/lib/") for path in where.split())

    # The installation is complete: pages at the units' links, completion, the manual, samples that `check` reads.
    for unit in ("bankgw.service", "bankgw@.service", "bankgw-shard@.service"):
        text = machine.said(f"cat /usr/lib/systemd/system/{unit}")
        [page] = re.findall(r"^Documentation=file://(\S+)$", text, re.MULTILINE)
        machine.said(f"test -s {page}")
    for section, page, word in (
        (1, "bankgw", "orders release"),
        (1, "bankgw-backup", "--prune"),
        (5, "bankgw.toml", "zone"),
    ):
        shown = machine.said(f"zcat /usr/share/man/man{section}/{page}.{section}.gz").replace("\\", "")
        assert word in shown, page
    completed = machine.said(
        ". /usr/share/bash-completion/completions/bankgw; _BANKGW_COMPLETE=complete_bash COMP_WORDS='bankgw sta' COMP_CWORD=1 bankgw"
    )
    assert completed == "status\n"
    machine.said("test -s /usr/share/doc/bankgw/do/runbooks/BankgwDown.md")
    found = machine.run(
        "cp -r /usr/share/doc/bankgw/examples /tmp/ex && cd / && bankgw check --config /tmp/ex/bankgw.toml"
    )
    assert found.returncode == 78 and "/tmp/ex/" in found.stdout + found.stderr, (
        "the samples lack their certificates only"
    )

    # It runs under its own user, is upgraded, and continues with its journal.
    machine.said(
        "umask 077; bankgw doctor --make-key /etc/bankgw/secrets/vault.key; echo nothing-much-here >/etc/bankgw/secrets/broker"
    )
    _with_open_payments(machine, tmp_path)
    machine.said(f"cat >/etc/bankgw/bankgw.toml <<'END'\n{SETTINGS}\nEND")
    log = _lives(machine)
    assert "daemon.started" in log and "daemon.stopped" in log, log
    machine.said("test -s /var/lib/bankgw/journal.db && ls /var/lib/bankgw/permits/*")
    of_site = "find /etc/bankgw -type f -exec sha256sum {} + -exec stat -c '%n %a %U' {} + | sort"
    settings = machine.said(of_site)
    rehearsed = machine.said(f"bankgw check --with {new}")
    assert "version 0.2.0" in rehearsed and OPEN in rehearsed and "the upgrade may be made" in rehearsed, rehearsed
    assert "no settings yet" not in machine.said(f"dpkg -i {new}")
    assert OPEN in machine.said("bankgw check --with /usr/bin/bankgw"), "they are all there after the upgrade"
    assert "0.2.0" in machine.said("dpkg-query -W bankgw")
    assert machine.said("stat -c %a /etc/bankgw/secrets").strip() == "700"
    assert machine.said(of_site) == settings, "an upgrade keeps settings, secrets and the owners of folders"
    log = _lives(machine)
    assert "daemon.started" in log and "from_the_past" not in log, log
    audit = machine.said("bankgw audit verify")
    assert "ok" in audit.lower() or "whole" in audit.lower() or "verified" in audit.lower(), audit

    # Removed and purged: the program is deleted, the journal and its keys stay.
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


def test_two_builds_give_one_file_whose_manifest_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl, key, public = program("openssl"), tmp_path / "release.pem", tmp_path / "release.pub"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True, timeout=60)
    subprocess.run([openssl, "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True, timeout=60)
    monkeypatch.setenv("SIGN_KEY", str(key))
    first = _build(tmp_path / "first", "0.2.0")
    # Another umask, zone and folder are another machine's.
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    before = os.umask(0o077)
    try:
        second = _build(tmp_path / "elsewhere" / "second", "0.2.0")
    finally:
        os.umask(before)
    hashes = {hashlib.sha256(one.read_bytes()).hexdigest() for one in (first, second)}
    assert len(hashes) == 1, _what_differs(first, second)
    manifest = first.with_suffix(".manifest")
    assert manifest.read_bytes() == second.with_suffix(".manifest").read_bytes()
    assert f"{hashes.pop()}  {first.name}\n" in manifest.read_text("utf-8")
    verify = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(public), "-in", str(manifest)]
    verify += ["-sigfile", f"{manifest}.sig"]
    assert subprocess.run(verify, capture_output=True, timeout=60, check=False).returncode == 0
    check = ["sha256sum", "--strict", "-c", manifest.name]
    assert subprocess.run(check, cwd=manifest.parent, capture_output=True, timeout=60, check=False).returncode == 0
    manifest.write_text(manifest.read_text("utf-8").replace("bankgw 0.2.0", "bankgw 0.3.0"), "utf-8")
    assert subprocess.run(verify, capture_output=True, timeout=60, check=False).returncode != 0


def _what_differs(first: Path, second: Path) -> str:
    """The entries of the two archives that differ, for the person who looks for the cause."""
    lists = []
    for one in (first, second):
        folder = one.parent / "unpacked"
        subprocess.run(["dpkg-deb", "-R", str(one), str(folder)], check=True, timeout=120)
        found = {
            str(path.relative_to(folder)): (oct(path.lstat().st_mode), int(path.lstat().st_mtime), _content(path))
            for path in folder.rglob("*")
        }
        lists.append(found)
    return "\n".join(sorted({name for name, _facts in lists[0].items() ^ lists[1].items()})[:40])


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""


def test_a_release_is_small_and_lintian_finds_no_error(tmp_path: Path) -> None:
    lintian = program("lintian")
    made = _build(tmp_path, "0.2.0", level=6)
    assert made.stat().st_size < LARGEST
    done = subprocess.run(
        [lintian, "--allow-root", "--fail-on", "error", "--tag-display-limit", "0", str(made)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if line.startswith("E:"))
    assert not [line for line in done.stdout.splitlines() if "mismatched-override" in line or "unused-override" in line]
