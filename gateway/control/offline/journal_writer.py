"""Commits one unit to the journal while every daemon on it is stopped, for changes that no running daemon
could follow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.task import Clock as TimersOfNobody
from twisted.python.failure import Failure

from gateway.control.offline.state_lock import NotLocked, lock_for_command
from gateway.kernel.clock import SystemClock, SystemEntropy
from gateway.kernel.cluster import renames
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.commit.store import StoreFailed, Tx
from gateway.kernel.sql import databases, migrations, vaults
from gateway.kernel.sql.vault import Vault
from gateway.settings import Settings
from gateway.wiring import PORTS

T = TypeVar("T")
RECONNECT_S = 20.0


class NotWritten(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing was changed; the text says why. `away`: the database could not be used now, and a later attempt may
    succeed."""

    def __init__(self, said: str, *, away: bool = False) -> None:
        super().__init__(said)
        self.away = away


def commit_offline(settings: Settings, url: str, vault: Vault, unit: Callable[[Tx], T]) -> T:
    """Commit one unit while this node's daemon is locked out. Every other daemon was found stopped. Raises
    NotWritten."""
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
        engine, clock, f"{node}{renames.OFFLINE}", vault, SystemEntropy(), NoPermits(), RECONNECT_S, ports=PORTS
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
        raise NotWritten(
            f"the journal cannot be written ({_first_line(error)}); it is not known whether anything was "
            f"changed: run the command again",
            away=True,
        ) from None
    finally:
        committer.close()


def _first_line(error: BaseException) -> str:
    said = str(getattr(error, "orig", error)).strip().splitlines()
    return said[0] if said else type(error).__name__
