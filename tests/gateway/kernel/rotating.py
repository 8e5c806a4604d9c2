"""A rotation of the vault's key over a journal that is driven by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from gateway.kernel.cluster.vault_rotation import RotationState, VaultRotation, rotation_of, unread_rows
from gateway.kernel.commit import vault_keys
from gateway.kernel.commit.store import Tx
from gateway.kernel.meters import Meters
from gateway.kernel.sql.vault import Vault
from tests.gateway.kernel.bench import KEY, Journal

T = TypeVar("T")
INDEX = b"i" * 32
NEXT = b"n" * 32


def both() -> Vault:
    """A vault that has the next key beside the present one."""
    return Vault({"k1": KEY, "k2": NEXT}, "k1", INDEX)


def only_next() -> Vault:
    """A vault without the earlier key."""
    return Vault({"k2": NEXT}, "k2", INDEX)


class DirectStore:
    """A store whose units are committed at once. `before_unit` is called before each."""

    def __init__(self, journal: Journal, before_unit: Callable[[], object] = lambda: None) -> None:
        self._journal, self._before = journal, before_unit

    def write(self, unit: Callable[[Tx], T], *, sender: str | None = None) -> Deferred[T]:
        self._before()
        return succeed(self._journal.do(unit))

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        return succeed(self._journal.read(fn))


def rotation(journal: Journal, before_unit: Callable[[], object] = lambda: None) -> VaultRotation:
    store: Any = DirectStore(journal, before_unit)
    return VaultRotation(store, journal.hands, journal.vault, Meters(CollectorRegistry()))


def run_once(journal: Journal, one: VaultRotation) -> None:
    """One look of the rotation, with all the work that it finds."""
    done: list[object] = []
    Deferred.fromCoroutine(one.run_once()).addBoth(done.append)
    while not done:
        journal.hands.task.advance(0.1)
    if isinstance(done[0], Failure):
        done[0].raiseException()


def activate(journal: Journal, name: str = "k2") -> None:
    journal.do(lambda tx: vault_keys.activate(tx, name, "person:ann", "once a year"))


def progress(journal: Journal, number: int = 1) -> RotationState | None:
    return journal.read(lambda conn: rotation_of(conn, number))


def under_another_key(journal: Journal, key: str = "k2") -> int:
    return journal.read(lambda conn: unread_rows(conn, key))
