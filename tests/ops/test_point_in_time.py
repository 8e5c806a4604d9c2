"""A private PostgreSQL goes back to a moment between two backups by the commands of docs/do/restore-postgresql.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.kernel.commit import audit
from gateway.kernel.sql import databases, migrations, schema, vaults
from setup.machine import as_user, free_port
from setup.postgresql import program
from tests.gateway.kernel.bench import Journal, admit, order
from tests.independent.site import not_to_be_had
from tests.ops.drill import result, until
from tests.world.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = ROOT / "docs" / "do" / "restore-postgresql.md"
PATHS = {"/var/lib/postgresql/17/main": "data", "/srv/bankgw/wal": "wal", "/srv/bankgw/base": "base"}
MOMENT = "2026-11-30 09:00:00+08"


class Server:
    """A PostgreSQL of this test alone, in a folder that its user can reach."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self._home, self._port = folder, home, free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def shell(self, script: str) -> str:
        """Run a script as the server's user."""
        command = ["bash", "-euc", script]
        env = {
            "PATH": f"{self._home}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._port),
            "PGUSER": "postgres",
            "LC_ALL": "C.UTF-8",
        }
        words = as_user("postgres", command) if os.geteuid() == 0 else command
        done = subprocess.run(words, env=env, cwd="/", capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def page(self, name: str, moment: str = "") -> None:
        """Run the block of the page that has this name, with the folders of the test."""
        page = PAGE.read_text("utf-8")
        head = "".join(re.findall(r"^(?:DATA|WAL|BASE)=.*\n", page, re.MULTILINE))
        [block] = re.findall(rf"^<!-- run: {name} -->\n```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for path, ours in PATHS.items():
            head, block = (one.replace(path, str(self.folder / ours)) for one in (head, block))
        assert (MOMENT in block) is bool(moment)
        self.shell(head + block.replace(MOMENT, moment))

    def start(self) -> None:
        data = self.folder / "data"
        options = f"-h 127.0.0.1 -p {self._port} -k {self.folder}"
        self.shell(f"pg_ctl -D {data} -l {self.folder}/log -w -t 60 -o '{options}' start")

    def stop(self) -> None:
        self.shell(f"pg_ctl -D {self.folder}/data -m fast -w stop")


@pytest.fixture
def server() -> Iterator[Server]:
    initdb = program("initdb")
    if initdb is None or program("pg_basebackup") is None:
        not_to_be_had("no PostgreSQL server: run `make databases`")
    folder = Path(tempfile.mkdtemp(prefix="bankgw-point-", dir="/var/tmp"))
    made = Server(folder, Path(initdb).parent)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        made.shell(f"initdb -D {folder}/data -U postgres --auth=trust --encoding=UTF8 --no-sync >/dev/null")
        yield made
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            made.stop()
        shutil.rmtree(folder)


def test_the_page_leads_to_the_moment(server: Server, record_property: Callable[[str, object], None]) -> None:
    server.page("prepare")
    server.start()
    migrations.upgrade(server.url)
    journal = Journal(server.url)
    for n in range(3):
        journal.do(admit(order(f"BASE-{n}")))
    server.page("base")
    for n in range(2):
        journal.do(admit(order(f"WAL-{n}")))
    moment = server.shell("psql -tAc 'select clock_timestamp()'").strip()
    time.sleep(1.1)
    journal.do(admit(order("LATE-0")))
    with journal.readers.connect() as conn:
        last = {node: head.seq for node, head in audit.ends(conn).items()}
    server.shell("psql -tAc 'select pg_switch_wal()'")
    wal = server.folder / "wal"
    journal.close()
    server.stop()
    until(lambda: any(not one.name.endswith(".part") for one in wal.iterdir()), 30, "the log is archived")

    server.page("restore", moment)
    began_s = time.monotonic()
    server.start()
    recovering = "psql -tAc 'select pg_is_in_recovery()'"
    until(lambda: server.shell(recovering).strip() == "f", 60, "the moment is reached")
    engine = databases.connect(server.url, connections=1, writing=False)
    vaults.attach(engine, journal.vault)
    try:
        with engine.connect() as conn:
            assert databases.count(conn, schema.payments) == 5, "all before the moment, and nothing after it"
            assert audit.verify(conn, journal.vault) == []
            found = {node: head.seq for node, head in audit.ends(conn).items()}
    finally:
        engine.dispose()
    assert found.keys() == last.keys() and all(found[node] < last[node] for node in last)
    result(record_property, restored_s=round(time.monotonic() - began_s, 1), moment=moment)
