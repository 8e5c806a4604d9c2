"""The blocking half of the writer: it owns the only writing connection and commits a group of units at a time.

Nothing here knows a reactor. A group is one transaction; if it fails, each of its units is run alone, so that only
the one at fault fails. One that waits for a row that a stranger has locked fails soon: others wait behind it, and
whoever called may run it again. A group waits for LOCK_WAIT_S once; what it meets of locks after that it waits for but
shortly, and not for all of them: some units are not tried then. What cannot be known, or cannot be written at all, is
StoreFailed, and the process must end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from twisted.python.failure import Failure

from gateway.clock import Clock, Entropy
from gateway.core.states import Work
from gateway.journal.cluster.lane_leases import Serials
from gateway.journal.commit import attempts, audit, outbox, work
from gateway.journal.commit.audit import Chain
from gateway.journal.commit.hand_over import HandOver
from gateway.journal.commit.payment_cache import Outdated, PaymentCache
from gateway.journal.commit.permit_log import Group, Permits
from gateway.journal.commit.rows import WorkRow
from gateway.journal.commit.store import StoreFailed, Tx, Unit
from gateway.journal.sql import schema
from gateway.journal.sql.databases import is_locked, is_transient, is_trouble, wait_for_locks
from gateway.journal.sql.driver import first_row, write
from gateway.journal.sql.vault import Vault, VaultError

# A unit that another node got in the way of is run again this often before it fails.
_TRIES = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
# So long do the units of a group that take in orders, and so long the others, stand before locks one after the other.
_STAND_S = 1.9
_AT_DOOR = -1
_NOBODYS: Mapping[int, str] = MappingProxyType({})
_PROBE = "vault_probe"
_N = schema.units.c
_SIGN_OFF = (
    update(schema.units).where(_N.node == bindparam("b_node"), _N.unit == bindparam("b_before"))
    .values(unit=bindparam("b_unit"), at_ms=bindparam("b_at_ms"), audit_seq=bindparam("b_seq"),
            audit_hash=bindparam("b_hash"), before_seq=bindparam("b_before_seq"), seal=bindparam("b_seal"))
)  # fmt: skip
# A row that every journal has.
_DOOR = select(schema.meta.c.name).where(schema.meta.c.name == bindparam("b_name")).with_for_update()
_META = select(schema.meta.c.value).where(schema.meta.c.name == bindparam("b_name"))
_SIGNED = select(_N.unit).where(_N.node == bindparam("b_node"))


class Untried:
    """Instead of the value of a unit that was not run: others of its group waited for locks, and time was up."""


UNTRIED = Untried()


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's end: each unit's value, Failure or UNTRIED, in order, and what the units hand over."""

    results: tuple[Any, ...]
    hand_over: HandOver


@dataclass(frozen=True, slots=True)
class _Tried:
    """What is known of units that are to be run one by one. `error`: how the one at `where` failed just now."""

    hurried: bool
    error: Exception | None = None
    where: int | None = None


class _NotCommitted(Exception):
    """The answer to COMMIT was lost, and the database says that it did not happen."""


class Committer:
    """Commits groups of units under one node's name. Used by one thread at a time."""

    def __init__(
        self, engine: Engine, clock: Clock, node: str, vault: Vault, entropy: Entropy, permits: Permits,
        reconnect_s: float = 60.0, pause: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._clock = clock
        self._node = node
        self._vault = vault
        self._entropy = entropy
        self._permits = permits
        self._reconnect_s = reconnect_s
        self._pause = pause
        self._conn: Connection | None = None
        self._chain = Chain(node, audit.Head(0, audit.GENESIS))
        self.committed = self._chain.head
        self._serials = Serials()
        self._book = PaymentCache()
        self._signed: str | None = None
        # The place of the unit that was under way when a transaction failed, or _AT_DOOR.
        self._where: int | None = None

    def open(self) -> None:
        """Connect, check the vault's key, and take the node's chain up where it ended."""
        self._connected()

    def commit(
        self, units: Sequence[Unit[Any]], senders: Mapping[int, str] = _NOBODYS, *, hurried: bool = False,
        singly: bool = False,
    ) -> Committed:  # fmt: skip
        """Commit the units, together if possible. Raises StoreFailed; nothing a unit raises comes out of here.

        `senders`: the places of those that take in orders, and whose. They count on rows that other nodes' orders count
        on as well, each group in the order of its orders. One node at a time does that: two would stand in each other's
        way more than they would do side by side. `hurried`: no lock is waited for but shortly. `singly`: they were
        locked just now, so each is run by itself from the beginning.
        """
        done: list[Tx] = []
        if singly:
            results = tuple(self._each(units, senders, _Tried(hurried), done))
            return _committed(results, done)
        try:
            tx, values = self._transaction(units, door=bool(senders), hurried=hurried)
        except StoreFailed:
            raise
        except Exception as error:
            tried = self._tried(error, len(units), hurried=hurried)
            results = tuple(self._each(units, senders, tried, done))
        else:
            results = tuple(values)
            done.append(tx)
        return _committed(results, done)

    def close(self) -> None:
        """Let the connection and the permit log go."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        self._engine.dispose()
        self._permits.close()

    def _tried(self, error: Exception, count: int, *, hurried: bool) -> _Tried:
        """What a group's failure says of the units that are now run by themselves."""
        if not is_locked(error):
            return _Tried(hurried, error, 0) if count == 1 else _Tried(hurried)
        # It has been waited for already: nobody who is known to stand before that lock does so again at once.
        return _Tried(True, error, 0 if count == 1 and self._where is None else self._where)

    def _each(
        self, units: Sequence[Unit[Any]], senders: Mapping[int, str], tried: _Tried, done: list[Tx]
    ) -> Iterator[Any]:
        hurried = tried.hurried
        door = _failure(tried.error) if tried.where == _AT_DOOR and tried.error is not None else None
        stood_s = {True: 0.0, False: 0.0}
        stuck: dict[str, Failure] = {}
        for n, unit in enumerate(units):
            takes_in = n in senders
            # It would wait before the same door, or pass an earlier one of its sender.
            behind = (door or stuck.get(senders[n])) if takes_in else None
            if behind is not None:
                yield behind
                continue
            if stood_s[takes_in] >= _STAND_S:
                yield UNTRIED
                continue
            began_s = self._clock.monotonic_s()
            failed = tried.error if tried.where == n else None
            value = self._alone(unit, takes_in, failed, done, hurried=hurried)
            if isinstance(value, Failure) and is_locked(value.value):
                if failed is None and self._where == _AT_DOOR:
                    door = value
                if takes_in:
                    stuck[senders[n]] = value
                stood_s[takes_in] += self._clock.monotonic_s() - began_s
                hurried = True
            yield value

    def _alone(
        self, unit: Unit[Any], door: bool, failed: Exception | None, done: list[Tx], *, hurried: bool = False
    ) -> Any:
        """The unit's value, or its Failure when it is at fault itself. `failed`: how it failed alone just now."""
        deadline_s = self._clock.monotonic_s() + self._reconnect_s
        tries, pause_s = 0, _FIRST_PAUSE_S
        while True:
            try:
                if failed is not None:
                    error, failed = failed, None
                    raise error
                tx, values = self._transaction([unit], door=door, hurried=hurried)
            except StoreFailed:
                raise
            except Exception as error:
                tries += 1
                if isinstance(error, _NotCommitted) or is_trouble(error) or _in_the_way(error):
                    pause_s = self._wait(error, pause_s, deadline_s)
                elif not isinstance(error, Outdated | IntegrityError) or tries >= _TRIES:
                    return _failure(error)
            else:
                done.append(tx)
                return values[0]

    def _transaction(self, units: Sequence[Unit[Any]], *, door: bool, hurried: bool) -> tuple[Tx, list[Any]]:
        self._where = None
        conn = self._connected()
        head = self._chain.head
        tx = Tx(
            conn, self._clock.now_ms(), self._node, self._vault, self._entropy, self._chain, self._serials, self._book
        )
        try:
            transaction = conn.begin()
            wait_for_locks(conn, shortly=hurried)
            values = self._run(tx, units, door=door and conn.dialect.name != "sqlite")
            tx.flush()
            attempts.flush(tx)
            outbox.flush(tx)
            work.flush(tx)
            noted = audit.chain(tx)
            key = self._sign_off(tx, head.seq)
            # Afterwards: a second process of this name is told so, and not that somebody took its numbers.
            audit.flush(tx, noted)
        except BaseException as error:
            self._chain.head = head
            self._serials.blocks.clear()
            self._book.close()
            self._abandon(conn, error)
            raise
        try:
            transaction.commit()
        except Exception as error:
            self._serials.blocks.clear()
            committed = False
            try:
                committed = self._was_committed(key, error)
            finally:
                if not committed:
                    self._book.close()
                    self._chain.head = head
            if not committed:
                raise _NotCommitted(str(error)) from error
        self._signed = key
        self._book.commit()
        self.committed = self._chain.head
        if noted or tx.permits:
            self._log_permits(tx)
        return tx, values

    def _run(self, tx: Tx, units: Sequence[Unit[Any]], *, door: bool) -> list[Any]:
        if door:
            self._where = _AT_DOOR
            first_row(tx.raw, _DOOR, {"b_name": "schema"})
        values = []
        for n, unit in enumerate(units):
            self._where = n
            values.append(unit(tx))
        self._where = None
        return values

    def _sign_off(self, tx: Tx, before_seq: int) -> str:
        """Leave this group's key in the node's row: proof that it was committed, and that nobody else is this node."""
        key = self._entropy.ulid(tx.now_ms)
        head = self._chain.head
        signed = write(tx.raw, _SIGN_OFF, {
            "b_node": self._node, "b_before": self._signed, "b_unit": key, "b_at_ms": tx.now_ms, "b_seq": head.seq,
            "b_hash": head.hash, "b_before_seq": before_seq,
            "b_seal": audit.head_seal(tx.vault, self._node, key, tx.now_ms, head, before_seq),
        })  # fmt: skip
        if signed != 1:
            self._say_another()
            raise StoreFailed(
                f"another process writes to the journal as node {self._node!r}; this one stops. "
                f"Give every instance its own `node`, and run each once"
            )
        return key

    def _say_another(self) -> None:
        """Let the next start know why this life ended: the chain goes on without the permit log of this machine."""
        try:
            self._permits.another(self._clock.now_ms())
        except OSError:
            pass  # the next start asks two persons then

    def _log_permits(self, tx: Tx) -> None:
        head = self._chain.head
        try:
            if tx.notes:
                self._permits.note(Group(head.seq, head.hash, tx.now_ms, audit.others(tx.notes)))
            if tx.permits:
                self._permits.write(tx.permits)
        except Exception as error:
            raise StoreFailed(
                f"the permit log cannot be written ({error}); nothing of this group is sent, its payments are "
                f"`sending` in the journal and will be enquired about after the restart"
            ) from error

    def _was_committed(self, key: str, error: Exception) -> bool:
        """Find out what became of a COMMIT that raised. Without an answer to that, no unit may run again."""
        if self._engine.dialect.name == "sqlite":
            raise StoreFailed(f"SQLite's COMMIT failed ({error}); whether it is on disk is known after a restart")
        deadline_s, pause_s = self._clock.monotonic_s() + self._reconnect_s, _FIRST_PAUSE_S
        while True:
            self._drop()
            conn = self._connect()
            try:
                # The lost session may still be at it: the lock waits until it has ended, one way or the other.
                with conn.begin():
                    found = conn.execute(_SIGNED.with_for_update(), {"b_node": self._node}).scalar_one()
            except SQLAlchemyError as trouble:
                pause_s = self._wait(trouble, pause_s, deadline_s)
                continue
            if found not in (key, self._signed):
                self._say_another()
                raise StoreFailed(f"another process writes to the journal as node {self._node!r}; this one stops")
            return bool(found == key)

    def _connected(self) -> Connection:
        conn = self._connect() if self._conn is None else self._conn
        deadline_s, pause_s = self._clock.monotonic_s() + self._reconnect_s, _FIRST_PAUSE_S
        tries = 0
        while self._signed is None:
            try:
                with conn.begin():
                    signed = self._take_up(conn)
                self._signed = signed
            except IntegrityError:
                # Another node began in the same moment: what it wrote first is there now.
                tries += 1
                if tries == _TRIES:
                    raise
            except DBAPIError as error:
                self._drop()
                if not (is_locked(error) or is_trouble(error)):
                    raise
                # The last process of this name stands still in the middle of its last group, or nobody may write yet.
                pause_s = self._wait(error, pause_s, deadline_s)
                conn = self._connect()
            except BaseException:
                self._drop()
                raise
        return conn

    def _connect(self) -> Connection:
        deadline_s = self._clock.monotonic_s() + self._reconnect_s
        pause_s = _FIRST_PAUSE_S
        while True:
            conn: Connection | None = None
            try:
                conn = self._engine.connect()
                with conn.begin():
                    first_row(conn, _SIGNED, {"b_node": self._node})
            except Exception as error:
                if conn is not None:
                    conn.invalidate()
                    conn.close()
                # Drivers let through what the system says when there is no descriptor left, or no route.
                if not (is_trouble(error) or is_locked(error) or isinstance(error, OSError)):
                    raise StoreFailed(f"the journal cannot be opened: {error}") from error
                pause_s = self._wait(error, pause_s, deadline_s)
            else:
                self._conn = conn
                return conn

    def _take_up(self, conn: Connection) -> str:
        """First connection of this process: the vault's key and the chain's head; returns the last group's key."""
        # First the row, and locked: the last COMMIT of a process that was killed may still be on its way to the server.
        row = conn.execute(_SIGNED.with_for_update(), {"b_node": self._node}).first()
        kept = first_row(conn, _META, {"b_name": _PROBE})
        aad = b"meta/value/" + _PROBE.encode()
        if kept is None:
            probe = self._vault.seal(b"bankgw", aad).hex()
            conn.execute(insert(schema.meta), {"name": _PROBE, "value": probe})
        else:
            try:
                self._vault.open(bytes.fromhex(kept.value), aad)
            except VaultError as error:
                remedy = "use the key it began with"
                raise StoreFailed(f"this vault key does not open this journal ({error}); {remedy}") from error
        self._chain.head = self.committed = audit.head_of(conn, self._node)
        signed = None if row is None else row.unit
        if signed is None:
            signed, head = "", self._chain.head
            conn.execute(insert(schema.units), {
                "node": self._node, "unit": signed, "at_ms": 0, "audit_seq": head.seq, "audit_hash": head.hash,
                "before_seq": head.seq, "seal": audit.head_seal(self._vault, self._node, signed, 0, head, head.seq),
            })  # fmt: skip
        return str(signed)

    def _wait(self, error: Exception, pause_s: float, deadline_s: float) -> float:
        if self._clock.monotonic_s() + pause_s > deadline_s:
            lasted = f"the journal's database has been in trouble for {self._reconnect_s:g} s"
            raise StoreFailed(f"{lasted}: {error}") from error
        # By chance, so that two that are in each other's way do not meet again.
        self._pause(pause_s * (0.5 + self._entropy.random()))
        return min(pause_s * 2, _LONGEST_PAUSE_S)

    def _abandon(self, conn: Connection, error: BaseException) -> None:
        """Roll back; a connection that cannot even do that is thrown away."""
        try:
            transaction = conn.get_transaction()
            if transaction is not None:
                transaction.rollback()
        except Exception:
            self._drop()
        else:
            if conn.invalidated or is_trouble(error):
                self._drop()

    def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            conn.invalidate()
            conn.close()
        except Exception:
            pass  # it was broken; the next use opens a new one


def _committed(results: tuple[Any, ...], done: Sequence[Tx]) -> Committed:
    """What the transactions hand over; of work that was set twice, the last."""
    works: dict[tuple[str, Work], WorkRow | None] = {}
    for tx in done:
        works.update(tx.works)
    return Committed(results, HandOver(
        tuple(mail for tx in done for mail in tx.mails), tuple(row for row in works.values() if row is not None),
        tuple(row for tx in done for row in tx.admitted), tuple(one for tx in done for one in tx.changes),
    ))  # fmt: skip


def _failure(error: Exception) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call, unused-ignore]


def _in_the_way(error: Exception) -> bool:
    """Whether the server ended it for another node's sake: not the unit's fault, however often it happens.

    A lock that is still held is another thing: others wait behind whoever waits for it here.
    """
    return is_transient(error) and not isinstance(error, IntegrityError) and not is_locked(error)
