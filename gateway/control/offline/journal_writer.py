"""Commit one unit to the journal while every daemon on it is stopped: changes that no running daemon could follow."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.task import Clock as TimersOfNobody
from twisted.python.failure import Failure

from gateway.clock import SystemClock, SystemEntropy
from gateway.control.offline.state_lock import NotLocked, lock_for_command
from gateway.journal.cluster import renames
from gateway.journal.commit.committer import Committer
from gateway.journal.commit.permit_log import NoPermits
from gateway.journal.commit.store import StoreFailed, Tx
from gateway.journal.sql import databases, migrations, vaults
from gateway.journal.sql.vault import Vault
from gateway.settings import Settings

T = TypeVar("T")
RECONNECT_S = 20.0


class NotWritten(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing was changed; the text says why. `away`: the database could not be used, and may be in a minute."""

    def __init__(self, said: str, *, away: bool = False) -> None:
        super().__init__(said)
        self.away = away


def write(settings: Settings, url: str, vault: Vault, unit: Callable[[Tx], T]) -> T:
    """Commit one unit, with this node's daemon kept out and every other one found to be stopped. Raises NotWritten."""
    try:
        held = lock_for_command(settings.state_dir)
    except NotLocked as error:
        raise NotWritten(f"{error}; nothing was changed") from None
    try:
        return _committed(settings.node, url, vault, unit)
    finally:
        os.close(held)


def _committed(node: str, url: str, vault: Vault, unit: Callable[[Tx], T]) -> T:
    def alone(tx: Tx) -> T:
        renames.refuse_while_running(tx.fresh, tx.now_ms, node)
        return unit(tx)

    try:
        migrations.upgrade(url)
    except (SQLAlchemyError, migrations.TooNew, TimeoutError) as error:
        said = f"the journal cannot be opened ({_first_line(error)}); nothing was changed"
        raise NotWritten(said, away=True) from None
    engine = databases.connect(url, connections=1, writing=True)
    vaults.attach(engine, vault)
    # No timer is set: the unit is committed here and now.
    clock = SystemClock(TimersOfNobody())
    committer = Committer(
        engine, clock, f"{node}{renames.OFFLINE}", vault, SystemEntropy(), NoPermits(), RECONNECT_S
    )
    try:
        (result,) = committer.commit([alone]).results
        if isinstance(result, Failure):
            result.raiseException()
        done: T = result
        return done
    except renames.NotRenamed as error:
        raise NotWritten(f"{error}; nothing was changed") from None
    except (SQLAlchemyError, StoreFailed) as error:
        raise NotWritten(f"the journal cannot be written ({_first_line(error)}); it is not known that anything was "
                         f"changed: run the command again", away=True) from None  # fmt: skip
    finally:
        committer.close()


def _first_line(error: BaseException) -> str:
    said = str(getattr(error, "orig", error)).strip().splitlines()
    return said[0] if said else type(error).__name__
