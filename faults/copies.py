"""Copies of the journal: taken under fire and put back elsewhere, and an older one that takes the journal's place."""

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

from faults.field import Field
from faults.incidents import Incident
from faults.kinds import Kind
from faults.site import Node
from faults.storage import file_of
from gateway.app import PERMIT_LOG, VERSION
from gateway.journal.backup import backup
from gateway.journal.backup.backup import Manifest, NoBackup, Origin, Restored
from gateway.journal.sql import vault

SAYS_SO = b"journal.from_the_past"
NOTICES_S = 30.0
RENAME_S = 15.0


def _says_so(node: Node, mark: int) -> bool:
    return SAYS_SO in node.said(mark)


async def _copied(field: Field) -> None:
    """A copy is made while everything goes on, and must be whole: it is put back beside the journal, and verified."""
    node = field.dice.choice(field.nodes)
    copy = node.site.folder / f"copy-{field.clock.now_ms()}"
    with field.told("backup taken and put back elsewhere", node.name) as incident:
        try:
            made = await field.thread(lambda: _backup(field, node, copy))
        except NoBackup as error:
            incident.detail = f"not met: {str(error).splitlines()[0][:120]}"
            return
        # What puts it back has one connection and no patience: nobody restarts the server under it.
        await field.server.acquire()
        try:
            done = await field.thread(lambda: _put_back(field, node, copy))
        except NoBackup as error:
            incident.wrong = f"a copy that was made cannot be put back: {error}"
        else:
            incident.detail = f"{made.payments} payments, {done.forgotten} sends after it"
            if done.manifest != made:
                incident.wrong = f"put back {done.manifest}, made {made}"
        finally:
            field.server.release()
            for file in (copy, copy.with_name(f"{copy.name}.json")):
                file.unlink(missing_ok=True)


def _origin(field: Field, node: Node) -> Origin:
    keys = vault.load(field.grounds.site.folder / "secrets" / "vault.key")
    url, made_at = field.grounds.journal.open_url(node), datetime.now(UTC).isoformat(timespec="seconds")
    return Origin(url, keys, node.name, VERSION, _permit_log(node), made_at)


def _permit_log(node: Node) -> Path:
    return node.site.state / PERMIT_LOG


def _backup(field: Field, node: Node, copy: Path) -> Manifest:
    return backup.make(_origin(field, node), copy)


def _put_back(field: Field, node: Node, copy: Path) -> Restored:
    keys = _origin(field, node).vault
    if not field.on_server:
        scratch = copy.with_name(f"{copy.name}.db")
        try:
            return backup.restore(f"sqlite:///{scratch}", keys, _permit_log(node), copy)
        finally:
            for file in scratch.parent.glob(f"{scratch.name}*"):
                file.unlink()
    with _scratch(field, "copy") as url:
        return backup.restore(url, keys, _permit_log(node), copy)


@contextmanager
def _scratch(field: Field, ending: str) -> Iterator[str]:
    """An empty database beside the journal's; dropped in the end."""
    url = make_url(field.grounds.journal.url or "")
    other = url.set(database=f"{url.database}_{ending}")
    _say(field, f"DROP DATABASE IF EXISTS {other.database}", f"CREATE DATABASE {other.database}")
    try:
        yield other.render_as_string(hide_password=False)
    finally:
        _say(field, f"DROP DATABASE IF EXISTS {other.database}")


def _say(field: Field, *statements: str) -> None:
    """Tell the server something about whole databases, from one that is none of them."""
    with replace(field.grounds.journal, url=field.grounds.journal.outside_url).connection() as conn:
        for statement in statements:
            conn.execute(text(statement))


async def _past(field: Field) -> None:
    """An older copy takes the journal's place: the daemon must notice, and may only ask. Then the right one returns.

    The broker is out of its reach meanwhile: what it took in would be forgotten with the copy.
    """
    async with field.one() as node:
        copy, aside = node.site.folder / "older.db", node.site.folder / "aside"
        await field.thread(lambda: _copy(file_of(node), copy))
        sent = _permits(node)
        if not await field.until(lambda: _permits(node) > sent, 8.0):
            return
        with field.told("database from the past", node.name, lives=2) as incident:
            node.child.kill()
            node.broker.shuts(True)
            aside.mkdir(exist_ok=True)
            _move(node.site.state, aside)
            shutil.move(copy, file_of(node))
            began_ms = field.clock.now_ms() + 1_000
            try:
                mark = node.mark()
                node.start()
                noticed = await field.until(lambda: SAYS_SO in node.said(mark), 25.0)
                await field.wait(2.0)
                node.child.kill()
            finally:
                _judge_past(field, incident, noticed, began_ms)
                for file in node.site.state.glob("journal.db*"):
                    file.unlink()
                _move(aside, node.site.state)
                node.broker.shuts(False)
                node.start()


def _judge_past(field: Field, incident: Incident, noticed: bool, began_ms: int) -> None:
    sent = field.executed_since(began_ms)
    incident.detail = f"noticed, {sent} sent" if noticed else "not noticed"
    if sent or not noticed:
        incident.wrong = f"a database from the past: {incident.detail}"


def _copy(file: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(file, timeout=20)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _permits(node: Node) -> int:
    return sum(file.stat().st_size for file in (node.site.state / PERMIT_LOG).glob("*.log"))


def _move(source: Path, target: Path) -> None:
    for file in source.glob("journal.db*"):
        shutil.move(file, target / file.name)

async def _past_on_server(field: Field) -> None:
    """As on a file, with several daemons: one that sent what the copy forgot notices, and all of them wait."""
    async with field.hands_on(*field.nodes):
        if not all([await field.rises(one, 30.0) for one in field.nodes]):
            return
        copy = field.grounds.site.folder / "older"
        before = {node.name: _permits(node) for node in field.nodes}
        await field.server.acquire()
        try:
            try:
                await field.thread(lambda: _backup(field, field.nodes[0], copy))
            except NoBackup:
                return
            if await field.until(lambda: any(_permits(node) > before[node.name] for node in field.nodes), 8.0):
                # What was under way when they grew is committed by now.
                await field.wait(0.5)
                await _in_its_place(field, copy, before)
        finally:
            field.server.release()
            for file in (copy, copy.with_name(f"{copy.name}.json")):
                file.unlink(missing_ok=True)


async def _in_its_place(field: Field, copy: Path, before: dict[str, int]) -> None:
    first, *others = sorted(field.nodes, key=lambda node: before[node.name] - _permits(node))
    with field.told("database from the past", "all daemons", lives=2 * len(field.nodes)) as incident, field.trouble():
        for node in field.nodes:
            node.child.kill()
            node.broker.shuts(True)
        journal = make_url(field.grounds.journal.url or "").database
        with _scratch(field, "past") as url:
            await field.thread(lambda: backup.restore(url, _origin(field, first).vault, _permit_log(first), copy))
            there = ((f"{journal}", f"{journal}_aside"), (f"{journal}_past", f"{journal}"))
            await field.thread(lambda: _swap(field, *there))
            began_ms, noticed = field.clock.now_ms() + 1_000, 0
            try:
                for node in (first, *others):
                    if not await _notices(field, node):
                        break  # the others know nothing of what the copy forgot, and would go on
                    noticed += 1
                await field.wait(2.0)
            finally:
                for node in field.nodes:
                    if node.child.ended() is None:
                        node.child.kill()
                _judge_past(field, incident, noticed == len(field.nodes), began_ms)
                await field.thread(lambda: _swap(field, *((new, old) for old, new in reversed(there))))
                for node in field.nodes:
                    node.broker.shuts(False)
                    node.start()


async def _notices(field: Field, node: Node) -> bool:
    """Start it, again if the database was away in that moment, as a service manager would."""
    mark = node.mark()
    node.start()

    def says() -> bool:
        if node.child.ended() is not None:
            node.start()
        return _says_so(node, mark)

    return await field.until(says, NOTICES_S)


def _swap(field: Field, *names: tuple[str, str]) -> None:
    """Give databases other names, whoever is connected to them. Raises OperationalError if somebody stays."""
    until_s = time.monotonic() + RENAME_S
    for old, new in names:
        while True:
            try:
                _say(field, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'",
                     f"ALTER DATABASE {old} RENAME TO {new}")  # fmt: skip
                break
            except OperationalError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.1)


def _on_file(field: Field) -> bool:
    return not field.on_server


def _on_own_server(field: Field) -> bool:
    return field.grounds.journal.server is not None


KINDS = (
    Kind("backup taken and put back elsewhere", "F-07", _copied, long=True),
    Kind("database from the past", "F-07", _past, _on_file, long=True),
    Kind("database from the past", "F-07", _past_on_server, _on_own_server, long=True),
)
