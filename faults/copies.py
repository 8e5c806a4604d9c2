"""Faults with copies of the journal: backups restored elsewhere, and an older copy put in the journal's place."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from faults.incidents import Incident
from faults.kinds import Kind
from faults.running_system import RunningSystem
from faults.site import Node
from faults.storage import file_of
from gateway.kernel.backup import backup
from gateway.kernel.backup.backup import Manifest, NoBackup, Origin, Restored
from gateway.kernel.sql import vault
from gateway.settings import PERMIT_LOG
from gateway.version import VERSION

SAYS_SO = b"journal.from_the_past"
NOTICES_S = 30.0
# The permit log's line is written after its commit, so that every send in the copy has its line by then.
LINE_S = 0.5
LOOK_S = 0.25
RENAME_S = 15.0


def _says_so(node: Node, mark: int) -> bool:
    return SAYS_SO in node.said(mark)


async def _copied(system: RunningSystem) -> None:
    """Make a copy of the journal while everything goes on. It must be complete: it is restored beside the journal, and
    verified."""
    node = system.dice.choice(system.nodes)
    copy = node.site.folder / f"copy-{system.clock.now_ms()}"
    with system.told("backup taken and put back elsewhere", node.name) as incident:
        try:
            made = await system.thread(lambda: _backup(system, node, copy))
        except NoBackup as error:
            incident.detail = f"not met: {str(error).splitlines()[0][:120]}"
            return
        # The restore has one connection and does not retry, so that nobody may restart the server under it.
        await system.server.acquire()
        try:
            done = await system.thread(lambda: _put_back(system, node, copy))
        except NoBackup as error:
            incident.wrong = f"a copy that was made cannot be put back: {error}"
        else:
            incident.detail = f"{made.payments} payments, {done.forgotten} sends after it"
            if done.manifest != made:
                incident.wrong = f"put back {done.manifest}, made {made}"
        finally:
            system.server.release()
            for file in (copy, copy.with_name(f"{copy.name}.json")):
                file.unlink(missing_ok=True)


def _origin(system: RunningSystem, node: Node) -> Origin:
    keys = vault.load(system.grounds.site.folder / "secrets" / "vault.key")
    url, made_at = system.grounds.journal.open_url(node), datetime.now(UTC).isoformat(timespec="seconds")
    return Origin(url, keys, node.name, VERSION, _permit_log(node), made_at)


def _permit_log(node: Node) -> Path:
    return node.site.state / PERMIT_LOG


def _backup(system: RunningSystem, node: Node, copy: Path) -> Manifest:
    return backup.make(_origin(system, node), copy)


def _put_back(system: RunningSystem, node: Node, copy: Path) -> Restored:
    keys = _origin(system, node).vault
    if not system.on_server:
        scratch = copy.with_name(f"{copy.name}.db")
        try:
            return backup.restore(f"sqlite:///{scratch}", keys, _permit_log(node), copy)
        finally:
            for file in scratch.parent.glob(f"{scratch.name}*"):
                file.unlink()
    with _scratch(system, "copy") as url:
        return backup.restore(url, keys, _permit_log(node), copy)


@contextmanager
def _scratch(system: RunningSystem, ending: str) -> Iterator[str]:
    """Make an empty database beside the journal's, which is dropped at the end of the block."""
    url = make_url(system.grounds.journal.url or "")
    other = url.set(database=f"{url.database}_{ending}")
    _say(system, f"DROP DATABASE IF EXISTS {other.database}", f"CREATE DATABASE {other.database}")
    try:
        yield other.render_as_string(hide_password=False)
    finally:
        _say(system, f"DROP DATABASE IF EXISTS {other.database}")


def _say(system: RunningSystem, *statements: str) -> None:
    """Run statements about whole databases on the server, from a connection to another database."""
    with replace(system.grounds.journal, url=system.grounds.journal.outside_url).connection() as conn:
        for statement in statements:
            conn.execute(text(statement))


async def _past(system: RunningSystem) -> None:
    """Put an older copy in the journal's place. The daemon must notice it and may only ask banks. Then the right
    journal is put back.

    The broker is out of its reach meanwhile: what it took in would be forgotten with the copy.
    """
    async with system.one() as node:
        copy, aside = node.site.folder / "older.db", node.site.folder / "aside"
        await system.thread(lambda: _copy(file_of(node), copy))
        await system.wait(LINE_S)
        sent = _sends(node)
        if not await system.until(lambda: _sends(node) > sent, 8.0, LOOK_S):
            return
        with system.told("database from the past", node.name, lives=2) as incident:
            node.child.kill()
            node.broker.shuts(True)
            aside.mkdir(exist_ok=True)
            _move(node.site.state, aside)
            shutil.move(copy, file_of(node))
            began_ms = system.clock.now_ms() + 1_000
            try:
                mark = node.mark()
                node.start()
                noticed = await system.until(lambda: SAYS_SO in node.said(mark), 25.0)
                await system.wait(2.0)
                node.child.kill()
            finally:
                _judge_past(system, incident, noticed, began_ms)
                for file in node.site.state.glob("journal.db*"):
                    file.unlink()
                _move(aside, node.site.state)
                node.broker.shuts(False)
                node.start()


def _judge_past(system: RunningSystem, incident: Incident, noticed: bool, began_ms: int) -> None:
    sent = system.executed_since(began_ms)
    incident.detail = f"noticed, {sent} sent" if noticed else "not noticed"
    if sent or not noticed:
        incident.wrong = f"a database from the past: {incident.detail}"


def _copy(file: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(file, timeout=20)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _sends(node: Node) -> int:
    """The number of sends in the permit log. If a copy lacks only other entries, it is harmless, and the daemon goes
    on."""
    return sum(file.read_bytes().count(b'"attempt"') for file in (node.site.state / PERMIT_LOG).glob("*.log"))


def _move(source: Path, target: Path) -> None:
    for file in source.glob("journal.db*"):
        shutil.move(file, target / file.name)


async def _past_on_server(system: RunningSystem) -> None:
    """As `_past`, on a server with several daemons. The daemon that sent what the copy lacks must notice it, and all of
    them must wait."""
    async with system.hands_on(*system.nodes):
        if not all([await system.rises(one, 30.0) for one in system.nodes]):
            return
        copy = system.grounds.site.folder / "older"
        await system.server.acquire()
        try:
            try:
                await system.thread(lambda: _backup(system, system.nodes[0], copy))
            except NoBackup:
                return
            await system.wait(LINE_S)
            before = {node.name: _sends(node) for node in system.nodes}
            if await system.until(lambda: any(_sends(node) > before[node.name] for node in system.nodes), 8.0, LOOK_S):
                # Work that was under way during the copy is committed by now.
                await system.wait(0.5)
                await _in_its_place(system, copy, before)
        finally:
            system.server.release()
            for file in (copy, copy.with_name(f"{copy.name}.json")):
                file.unlink(missing_ok=True)


async def _in_its_place(system: RunningSystem, copy: Path, before: dict[str, int]) -> None:
    first, *others = sorted(system.nodes, key=lambda node: before[node.name] - _sends(node))
    lives = 2 * len(system.nodes)
    with system.told("database from the past", "all daemons", lives=lives) as incident, system.trouble():
        for node in system.nodes:
            node.child.kill()
            node.broker.shuts(True)
        journal = make_url(system.grounds.journal.url or "").database
        with _scratch(system, "past") as url:
            await system.thread(lambda: backup.restore(url, _origin(system, first).vault, _permit_log(first), copy))
            there = ((f"{journal}", f"{journal}_aside"), (f"{journal}_past", f"{journal}"))
            await system.thread(lambda: _swap(system, *there))
            began_ms, noticed = system.clock.now_ms() + 1_000, 0
            try:
                for node in (first, *others):
                    if not await _notices(system, node):
                        break  # the other daemons do not know what the copy lacks, and would go on
                    noticed += 1
                await system.wait(2.0)
            finally:
                for node in system.nodes:
                    if node.child.ended() is None:
                        node.child.kill()
                _judge_past(system, incident, noticed == len(system.nodes), began_ms)
                await system.thread(lambda: _swap(system, *((new, old) for old, new in reversed(there))))
                for node in system.nodes:
                    node.broker.shuts(False)
                    node.start()


async def _notices(system: RunningSystem, node: Node) -> bool:
    """Start the daemon, and start it again if the database was unreachable at that moment, as a service manager
    would."""
    mark = node.mark()
    node.start()

    def says() -> bool:
        if node.child.ended() is not None:
            node.start()
        return _says_so(node, mark)

    return await system.until(says, NOTICES_S)


def _swap(system: RunningSystem, *names: tuple[str, str]) -> None:
    """Rename databases, in spite of open connections. Raises OperationalError if a session stays."""
    until_s = time.monotonic() + RENAME_S
    for old, new in names:
        while True:
            try:
                _say(
                    system,
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'",
                    f"ALTER DATABASE {old} RENAME TO {new}",
                )
                break
            except OperationalError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.1)


def _on_file(system: RunningSystem) -> bool:
    return not system.on_server


def _on_own_server(system: RunningSystem) -> bool:
    return system.grounds.journal.server is not None


KINDS = (
    Kind("backup taken and put back elsewhere", "F-07", _copied, long=True),
    Kind("database from the past", "F-07", _past, _on_file, long=True),
    Kind("database from the past", "F-07", _past_on_server, _on_own_server, long=True),
)
