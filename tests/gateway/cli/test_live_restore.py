"""A journal is backed up while the daemon works, lost, restored, and released by two real users, as docs/do/restore.md
says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import exit_codes
from gateway.demo import site
from gateway.kernel.backup import backup
from gateway.kernel.sql import vault
from tests.gateway.cli.test_live import PLANS, ROOT, Live, order
from tests.gateway.erp.rabbit import rabbit_for_tests
from tests.independent.site import not_to_be_had

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

WANG, LI, STRANGER = 42_001, 42_002, 42_003
PAGE = ROOT / "docs" / "do" / "restore.md"


@pytest.fixture
def live() -> Iterator[Live]:
    """A running daemon whose socket is open to its group, in a folder that every user may enter."""
    top = Path(tempfile.mkdtemp(prefix="bankgw-live-"))
    top.chmod(0o755)
    with rabbit_for_tests("restore") as rabbit:
        made = Live(site.prepare(top / "s", PLANS[:1]), rabbit)
        try:
            (top / "s").chmod(0o755)
            made.start("simulate", str(made.site.simulator("sample")), log="sample.log")
            made.until(lambda: made.site.ready_file("sample").exists())
            at = rabbit.address
            broker = {
                "host": at.host,
                "port": at.port,
                "vhost": at.vhost,
                "users": {"bankgw": {"user": at.user, "password": at.password}},
            }
            sender = {
                "users": [at.user],
                "operations": ["payment.submit", "payroll.submit"],
                "reply_to": ".*",
                "suspected_duplicate_hours": 0,
            }
            site.configure(made.site, broker, {"erp": sender}, watch_port=0)
            with made.site.settings.open("a") as file:
                file.write(f'\n[control]\nsocket = "{top / "control.sock"}"\ngroup_may_open = true\n')
            (made.site.folder / "erp").write_text(at.password or "")
            (made.site.folder / "erp").chmod(0o600)
            (made.site.folder / "erp.toml").write_text(
                f'host = "{at.host}"\nport = {at.port}\nvhost = "{at.vhost}"\nuser = "{at.user}"\nsender = "erp"\n'
                'password = { file = "erp" }\n'
            )
            made.daemon()
            yield made
        finally:
            made.stop()
            shutil.rmtree(top)


class Shelf:
    """A copy of the checkout and its libraries for users who cannot read the original, for example in root's home.

    They are handed on as open folders, and the Python is the one that the virtual environment was made from.
    """

    def __init__(self) -> None:
        self.python = os.path.realpath(sys.executable)
        self.folders = tuple(os.open(folder, os.O_PATH) for folder in (sysconfig.get_path("purelib"), ROOT))

    def run(self, words: tuple[str, ...], uid: int, gid: int, home: str = "/") -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments as this user, in the daemon's group."""
        path = os.pathsep.join(f"/proc/self/fd/{folder}" for folder in self.folders)
        return subprocess.run(
            [self.python, "-P", *words],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=uid,
            group=gid,
            extra_groups=[os.getegid()],
            pass_fds=self.folders,
            env={"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def close(self) -> None:
        for folder in self.folders:
            os.close(folder)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """A copy of the checkout for other users. Skips, or fails in CI, if another user cannot run this Python."""
    if os.geteuid() != 0:
        not_to_be_had("two users need root")
    shelf = Shelf()
    try:
        done = shelf.run(("-c", "import gateway.cli.application"), WANG, WANG)
        said = (done.stdout + done.stderr).strip().splitlines()[-1:]
        code = done.returncode
    except PermissionError as problem:
        code, said = 1, [str(problem)]
    try:
        if code != 0:
            not_to_be_had(f"another user cannot run {shelf.python} with this checkout: {' '.join(said)}")
        yield shelf
    finally:
        shelf.close()


class Person:
    """A UNIX user of the daemon's group, with a home and a key."""

    def __init__(self, live: Live, shelf: Shelf, name: str, uid: int) -> None:
        self.name, self.uid = name, uid
        self._shelf = shelf
        self._socket = live.site.folder.parent / "control.sock"
        self.home = live.site.folder.parent / name
        self.home.mkdir(mode=0o700)
        (self.home / "passphrase").write_text(f"{name} says friend\n")
        for path in (self.home, self.home / "passphrase"):
            os.chown(path, uid, uid)

    def bankgw(self, *words: str, key: bool = True, uid: int | None = None) -> tuple[int, str]:
        more = ["--socket", str(self._socket)]
        if key:
            more += ["--key", str(self.home / "person.pem"), "--passphrase-file", str(self.home / "passphrase")]
        acting = self.uid if uid is None else uid
        done = self._shelf.run(("-m", "gateway", *words, *more), acting, self.uid, str(self.home))
        return done.returncode, done.stdout + done.stderr


def enrolled(live: Live, shelf: Shelf, name: str, uid: int) -> Person:
    person = Person(live, shelf, name, uid)
    code, said = person.bankgw("persons", "enrol", name)
    assert code == exit_codes.OK, said
    assert stat.S_IMODE((person.home / "person.pem").stat().st_mode) == 0o600
    assert "ENCRYPTED" in (person.home / "person.pem").read_text()
    fingerprint = re.search(r"^fingerprint: (\w+)$", said, re.MULTILINE)
    assert fingerprint, said
    code, said = person.bankgw("persons", "confirm", name, fingerprint[1], key=False)
    assert (code, "only root" in said) == (exit_codes.REFUSED, True), said
    code, said = live.bankgw("persons", "confirm", name, fingerprint[1][:16], config=True)
    assert code == exit_codes.OK, said
    return person


def stopped(live: Live) -> None:
    pid = live.status()["pid"]
    (daemon,) = [process for process in live.processes if process.pid == pid]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(40) == 0, live.log()


def test_a_copy_is_put_back_and_two_users_let_the_lane_go(live: Live, shelf: Shelf) -> None:
    wang, li = enrolled(live, shelf, "wang", WANG), enrolled(live, shelf, "li", LI)
    # A member of the group cannot reach what the role does not allow. Reading needs a sign-in.
    code, said = wang.bankgw("drain", key=False)
    assert (code, "not_allowed" in said) == (exit_codes.REFUSED, True), said
    code, said = wang.bankgw("orders", "list", key=False)
    assert (code, "sign_in" in said) == (exit_codes.REFUSED, True), said

    code, said = live.send(order("BEFORE", "10.00", "sample"))
    assert code == exit_codes.OK, said
    copies = live.site.folder / "copies"
    copies.mkdir()
    code, said = live.bankgw("backup", str(copies), config=True)
    assert code == exit_codes.OK, said
    (copy,) = [file for file in copies.iterdir() if file.suffix == ".db"]
    code, said = live.send(order("FORGOTTEN", "10.00", "sample"))
    assert code == exit_codes.OK, said

    # Nothing is restored under a running daemon, or over an existing journal.
    code, said = live.bankgw("restore", str(copy), config=True)
    assert (code, "stop it first" in said) == (exit_codes.REFUSED, True), said
    stopped(live)
    code, said = live.bankgw("restore", str(copy), config=True)
    assert (code, "move it aside" in said) == (exit_codes.REFUSED, True), said
    aside = live.site.state / "aside"
    aside.mkdir()
    for file in live.site.state.glob("journal.db*"):
        file.rename(aside / file.name)
    code, said = live.bankgw("restore", str(copy), config=True)
    assert code == exit_codes.OK, said
    assert "the journal is older than what gw1 wrote" in said and "and 1 sends" in said
    assert "send nothing until two persons let it" in said

    live.start("run", "--config", str(live.site.settings), log="gateway.kernel.log")
    live.until(lambda: live.status().get("lanes") == {"sample.main": "paused:database_from_the_past"})
    code, said = live.bankgw("lanes", "forgotten", "--json", config=True)
    assert len(json.loads(said)["sends"]) == 1
    code, said = live.bankgw("lanes", "resume", "sample.main", config=True)
    assert (code, "two_persons" in said) == (exit_codes.REFUSED, True), said
    code, said = live.send(order("AFTER", "10.00", "sample"), "--timeout", "2")
    assert code == exit_codes.IN_DOUBT, said

    evidence = wang.home / "list.txt"
    evidence.write_text("the bank knows it")
    evidence.chmod(0o644)
    code, said = wang.bankgw(
        "leave-safe-mode", "sample.main", "--reason", "asked", "--evidence", str(evidence), "--yes", "--json"
    )
    assert code == exit_codes.OK, said
    proposal = json.loads(said)["proposal"]
    code, said = wang.bankgw("resolve", "--approve", proposal, "--yes")
    assert (code, "same_person" in said) == (exit_codes.REFUSED, True), said
    # With the other person's key and passphrase root is still root to the kernel.
    code, said = li.bankgw("resolve", "--approve", proposal, "--yes", uid=0)
    assert (code, "uid:root" in said) == (exit_codes.REFUSED, True), said
    stranger = Person(live, shelf, "stranger", STRANGER)
    shutil.copy(li.home / "person.pem", stranger.home)
    shutil.copy(li.home / "passphrase", stranger.home)
    for file in stranger.home.iterdir():
        os.chown(file, STRANGER, STRANGER)
    code, said = stranger.bankgw("resolve", "--approve", proposal, "--yes")
    assert (code, "not_enrolled" in said) == (exit_codes.REFUSED, True), said
    code, said = li.bankgw("resolve", "--approve", proposal, "--save-evidence", str(li.home / "seen"))
    assert (li.home / "seen").read_text() == "the bank knows it"
    code, said = li.bankgw("resolve", "--approve", proposal, "--yes")
    assert code == exit_codes.OK, said
    live.until(lambda: '"settled"' in live.bankgw("orders", "show", "erp:AFTER", "--json", config=True)[1])
    assert not live.status()["safe_mode"]


def test_copies_of_a_working_daemon_are_whole(live: Live, tmp_path: Path) -> None:
    keys = vault.load(live.site.folder / "secrets" / "vault.key")
    copies = live.site.folder / "copies"
    copies.mkdir()
    sending = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gateway",
                "send",
                str(file),
                "--wait",
                "--profile",
                str(live.site.folder / "erp.toml"),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for file in _orders(live.site.folder, 4)
    ]
    made = 0
    while made < 2 or any(one.poll() is None for one in sending):
        code, said = live.bankgw("backup", str(copies / f"{made}.db"), config=True)
        assert code == exit_codes.OK, said
        made += 1
    assert [one.wait(30) for one in sending] == [exit_codes.OK] * 4
    for n in range(made):
        backup.restore(f"sqlite:///{tmp_path / f'{n}.db'}", keys, tmp_path / "none", copies / f"{n}.db")


def _orders(folder: Path, count: int) -> Iterator[Path]:
    for n in range(count):
        file = folder / f"order-{n}.json"
        file.write_text(json.dumps(order(f"L-{n}", "1.00", "sample")), "utf-8")
        yield file


def test_the_page_says_what_was_done_here() -> None:
    page = PAGE.read_text("utf-8")
    for command in (
        "bankgw backup ",
        "bankgw restore ",
        "bankgw lanes forgotten",
        "bankgw leave-safe-mode ",
        "--evidence",
        "bankgw resolve --approve ",
        "bankgw persons list",
    ):
        assert command in page
