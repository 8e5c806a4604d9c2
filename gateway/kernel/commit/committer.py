"""The blocking half of the journal's writer: it owns the only writing connection and commits units in groups.

It runs in the writer's thread and does not use the reactor. A group is one transaction. If it fails, each of its units
is run alone, so that only the unit at fault fails. A unit that needs a row locked by another session fails soon,
because others wait behind it; the caller may run it again. A group waits up to LOCK_WAIT_S for its first lock and only
briefly for later ones; when the time is used up, its remaining units are returned as UNTRIED. If the outcome of a
commit cannot be known, or nothing can be written, the committer raises StoreFailed and the process must end.
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

from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.commit import attempts, audit, outbox, registers, vault_keys, vault_probe, work
from gateway.kernel.commit.hand_over import HandOver
from gateway.kernel.commit.payment_cache import Outdated, PaymentCache
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.permit_log import Permits
from gateway.kernel.commit.ports import NO_PORTS, Ports
from gateway.kernel.commit.rows import Chain, Head, SerialBlocks, WorkRow
from gateway.kernel.commit.store import StoreFailed, Tx, Unit
from gateway.kernel.commit.usage_totals import LeastSums, UsageTotals
from gateway.kernel.core.states import Work
from gateway.kernel.sql import schema, seal_mark
from gateway.kernel.sql.databases import is_locked, is_transient, is_trouble, wait_for_locks
from gateway.kernel.sql.driver import first_row, run_write
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError

# How many times a unit is run when another node changes the same rows, before it fails.
_TRIES = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
# How long the units of a group may wait for locks in all: those that admit orders, and, separately, the others.
_STAND_S = 1.9
_AT_ADMISSION_LOCK = -1
_NO_SENDERS: Mapping[int, str] = MappingProxyType({})
_N = schema.units.c
_SIGN_OFF = (
    update(schema.units)
    .where(_N.node == bindparam("b_node"), _N.unit == bindparam("b_before"))
    .values(
        unit=bindparam("b_unit"),
        at_ms=bindparam("b_at_ms"),
        audit_seq=bindparam("b_seq"),
        audit_hash=bindparam("b_hash"),
        before_seq=bindparam("b_before_seq"),
        rows_seq=bindparam("b_rows_seq"),
        seal=bindparam("b_seal"),
    )
)
# The row that serialises admission between nodes: every journal has it.
_ADMISSION_LOCK = select(schema.meta.c.name).where(schema.meta.c.name == bindparam("b_name")).with_for_update()
_ENTRY = select(schema.audit.c.hash).where(
    schema.audit.c.node == bindparam("b_node"), schema.audit.c.seq == bindparam("b_seq")
)
_SIGNED = select(_N.unit, _N.before_seq, _N.rows_seq).where(_N.node == bindparam("b_node"))
_SIGNED_OFF = select(schema.units).where(_N.node == bindparam("b_node"))


class UnitNotRun:
    """The result of a unit that was not run, because other units of its group used up the time for waiting on locks."""


UNTRIED = UnitNotRun()


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of a group's commit: each unit's value, Failure or UNTRIED, in order, and the values that the units
    hand over.
    """

    results: tuple[Any, ...]
    hand_over: HandOver


@dataclass(frozen=True, slots=True)
class _Tried:
    """The result of a failed group, before its units are run one by one. `error` is the failure of the unit at
    `where`."""

    hurried: bool
    error: Exception | None = None
    where: int | None = None


class _NotCommitted(Exception):
    """The facts about single units that a group's failure shows, before the units are run one by one. `error` is how
    the unit at `where` failed."""


class Committer:
    """Commits groups of units under one node's name. Used by one thread at a time."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        node: str,
        vault: Vault,
        entropy: Entropy,
        permits: Permits,
        reconnect_s: float = 60.0,
        pause: Callable[[float], None] = time.sleep,
        ports: Ports = NO_PORTS,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._node = node
        self._vault = vault
        self._entropy = entropy
        self._permits = permits
        self._reconnect_s = reconnect_s
        self._pause = pause
        self._ports = ports
        self._conn: Connection | None = None
        self._chain = Chain(node, Head(0, audit.GENESIS))
        self.committed = self._chain.head
        self._serials = SerialBlocks()
        self._cache = PaymentCache()
        self._least_sums = LeastSums()
        self._signed: str | None = None
        # The chain's end before the last group that has entries: the permit log may lack that group after a crash.
        self._before_seq: int | None = None
        # The index of the unit that was running when a transaction failed, or _AT_ADMISSION_LOCK.
        self._where: int | None = None

    def open(self) -> None:
        """Connect, check the vault's key, and continue the node's audit chain where it ended."""
        self._connected()

    def commit(
        self,
        units: Sequence[Unit[Any]],
        senders: Mapping[int, str] = _NO_SENDERS,
        *,
        hurried: bool = False,
        singly: bool = False,
    ) -> Committed:
        """Commit the units, together if possible. Raises StoreFailed; a unit's own exception becomes its result.

        `senders`: the indices of the units that admit orders, with their senders. These units update usage rows that
        other nodes update too, each in the order of its own orders, so one node at a time holds the admission lock.
        `hurried`: wait only briefly for any lock. `singly`: run each unit alone from the start, because the units were
        locked in their last group.
        """
        done: list[Tx] = []
        if singly:
            results = tuple(self._each(units, senders, _Tried(hurried), done))
            return _committed(results, done)
        try:
            tx, values = self._transaction(units, admission=bool(senders), hurried=hurried)
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
        """Close the connection and the permit log."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        self._engine.dispose()
        self._permits.close()

    def _tried(self, error: Exception, count: int, *, hurried: bool) -> _Tried:
        """The facts about single units that a group's failure shows, before each unit is run alone."""
        if not is_locked(error):
            return _Tried(hurried, error, 0) if count == 1 else _Tried(hurried)
        # The group has waited for this lock already, so the unit that needs it does not wait again.
        return _Tried(True, error, 0 if count == 1 and self._where is None else self._where)

    def _each(
        self, units: Sequence[Unit[Any]], senders: Mapping[int, str], tried: _Tried, done: list[Tx]
    ) -> Iterator[Any]:
        hurried = tried.hurried
        admission = _failure(tried.error) if tried.where == _AT_ADMISSION_LOCK and tried.error is not None else None
        stood_s = {True: 0.0, False: 0.0}
        stuck: dict[str, Failure] = {}
        for n, unit in enumerate(units):
            takes_in = n in senders
            # It needs the same admission lock, or would overtake an earlier unit of its sender.
            behind = (admission or stuck.get(senders[n])) if takes_in else None
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
                if failed is None and self._where == _AT_ADMISSION_LOCK:
                    admission = value
                if takes_in:
                    stuck[senders[n]] = value
                stood_s[takes_in] += self._clock.monotonic_s() - began_s
                hurried = True
            yield value

    def _alone(
        self, unit: Unit[Any], admission: bool, failed: Exception | None, done: list[Tx], *, hurried: bool = False
    ) -> Any:
        """The unit's value, or its Failure if the unit itself is at fault. `failed` is how it just failed alone."""
        deadline_s = self._clock.monotonic_s() + self._reconnect_s
        tries, pause_s = 0, _FIRST_PAUSE_S
        while True:
            try:
                if failed is not None:
                    error, failed = failed, None
                    raise error
                tx, values = self._transaction([unit], admission=admission, hurried=hurried)
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

    def _transaction(self, units: Sequence[Unit[Any]], *, admission: bool, hurried: bool) -> tuple[Tx, list[Any]]:
        self._where = None
        conn = self._connected()
        head, rows_seq = self._chain.head, self._chain.rows_seq
        registers.begin(conn)
        tx = Tx(
            conn,
            self._clock.now_ms(),
            self._node,
            self._vault,
            self._entropy,
            self._chain,
            self._serials,
            self._cache,
            permitted=self._permits.permitted,
            ports=self._ports,
            usage_totals=UsageTotals(least=self._least_sums),
        )
        try:
            transaction = conn.begin()
            wait_for_locks(conn, shortly=hurried)
            values = self._run(tx, units, admission=admission and conn.dialect.name != "sqlite")
            tx.flush()
            attempts.flush(tx)
            outbox.flush(tx)
            work.flush(tx)
            noted = audit.chain(tx)
            before_seq = head.seq if noted or self._before_seq is None else self._before_seq
            key = self._sign_off(tx, before_seq)
            # After signing off: a second process of this name then fails there, not with a duplicate audit number.
            audit.flush(tx, noted)
            registered = registers.pending(conn)
        except BaseException as error:
            self._chain.back(head, rows_seq)
            self._serials.blocks.clear()
            self._cache.close()
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
                    self._cache.close()
                    self._chain.back(head, rows_seq)
            if not committed:
                raise _NotCommitted(str(error)) from error
        self._signed, self._before_seq = key, before_seq
        self._cache.commit()
        self._least_sums.join(tx.usage_totals.committed())
        registers.known(self._vault).join(registered)
        self.committed = self._chain.head
        if noted or tx.permits:
            self._log_permits(tx)
        return tx, values

    def _run(self, tx: Tx, units: Sequence[Unit[Any]], *, admission: bool) -> list[Any]:
        if admission:
            self._where = _AT_ADMISSION_LOCK
            first_row(tx.raw, _ADMISSION_LOCK, {"b_name": "schema"})
        values = []
        for n, unit in enumerate(units):
            self._where = n
            values.append(unit(tx))
        self._where = None
        return values

    def _sign_off(self, tx: Tx, before_seq: int) -> str:
        """Write this group's key to the node's row. The key proves the commit, and reveals a second process of this
        node.
        """
        key = self._entropy.ulid(tx.now_ms)
        head = self._chain.head
        signed = run_write(
            tx.raw,
            _SIGN_OFF,
            {
                "b_node": self._node,
                "b_before": self._signed,
                "b_unit": key,
                "b_at_ms": tx.now_ms,
                "b_seq": head.seq,
                "b_hash": head.hash,
                "b_before_seq": before_seq,
                "b_rows_seq": self._chain.rows_seq,
                "b_seal": audit.head_seal(tx.vault, self._node, key, tx.now_ms, head, before_seq, self._chain.rows_seq),
            },
        )
        if signed != 1:
            self._say_another()
            raise StoreFailed(
                f"another process writes to the journal as node {self._node!r}; this one stops. "
                f"Give every instance its own `node`, and run each once"
            )
        return key

    def _say_another(self) -> None:
        """Record why this process ends: another process has continued the audit chain without this machine's permit
        log.
        """
        try:
            self._permits.another(self._clock.now_ms())
        except OSError:
            pass  # the next start then asks two persons

    def _log_permits(self, tx: Tx) -> None:
        head = self._chain.head
        try:
            if tx.notes:
                group = Group(head.seq, head.hash, tx.now_ms, audit.others(tx.notes))
                self._permits.note(group, audit.rights_decisions(self._node, tx.notes, head.seq))
            if tx.permits:
                self._permits.append_permits(tx.permits)
        except Exception as error:
            raise StoreFailed(
                f"the permit log cannot be written ({error}); nothing of this group is sent, its payments are "
                f"`sending` in the journal and will be enquired about after the restart"
            ) from error

    def _was_committed(self, key: str, error: Exception) -> bool:
        """Find out whether a COMMIT that raised took effect. Until that is known, no unit may run again."""
        if self._engine.dialect.name == "sqlite":
            raise StoreFailed(
                f"SQLite's COMMIT failed ({error}); only a restart shows whether the transaction is on disk"
            )
        deadline_s, pause_s = self._clock.monotonic_s() + self._reconnect_s, _FIRST_PAUSE_S
        while True:
            self._drop()
            conn = self._connect()
            try:
                # The lost session may still be committing: this lock waits until that session has ended.
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
                # Another node started at the same moment; its first rows are there now.
                tries += 1
                if tries == _TRIES:
                    raise
            except DBAPIError as error:
                self._drop()
                if not (is_locked(error) or is_trouble(error)):
                    raise
                # The last process of this name still holds its last transaction open, or the database takes no writes
                # yet.
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
                    if self._signed is not None:
                        self._compare_others(conn)
            except Exception as error:
                if conn is not None:
                    conn.invalidate()
                    conn.close()
                # Drivers pass on the system's OSError, for example when no descriptor is free or there is no route.
                if not (is_trouble(error) or is_locked(error) or isinstance(error, OSError)):
                    raise StoreFailed(f"the journal cannot be opened: {error}") from error
                pause_s = self._wait(error, pause_s, deadline_s)
            else:
                self._conn = conn
                return conn

    def _compare_others(self, conn: Connection) -> None:
        """Compare the journal with the other nodes' heads after a reconnection, because a promoted replica may lack
        what other nodes wrote. If it does, the process ends, and its next start finds what is missing.
        """
        for peer in list(self._permits.peers.values()):
            if not peer.seq:
                continue  # a node that has joined and written no entry yet
            row = first_row(conn, _ENTRY, {"b_node": peer.node, "b_seq": peer.seq})
            if row is None or row.hash != peer.hash:
                raise StoreFailed(
                    f"the database lacks entry {peer.seq} of node {peer.node}, which this node has seen in it: it is "
                    f"older than before, for example a replica that had not received everything. This process ends; "
                    f"its next start compares the whole database and is in SAFE MODE (docs/do/restore.md)"
                )

    def _take_up(self, conn: Connection) -> str:
        """Check the vault's key and read the head of the audit chain; returns the key of the node's last group."""
        # Lock the row first: the last COMMIT of a killed process may still be in transit to the server.
        row = conn.execute(_SIGNED_OFF.with_for_update(), {"b_node": self._node}).first()
        try:
            if not vault_probe.check(conn, self._vault):
                vault_probe.add(conn, self._vault)
        except VaultError as error:
            remedy = "use the key it began with"
            raise StoreFailed(f"this vault key does not open this journal ({error}); {remedy}") from error
        self._look_at_seals(conn, row)
        self._chain.head = self.committed = audit.head_of(conn, self._node)
        self._chain.rows_seq = 0 if row is None else row.rows_seq or 0
        registers.load(conn, self._vault)
        try:
            vault_keys.take_up(conn, self._vault)
        except (SealBroken, VaultError) as error:
            raise StoreFailed(f"{error}. Nothing is written with another key (docs/do/keys.md)") from error
        signed = None if row is None else row.unit
        self._before_seq = None if row is None else row.before_seq
        if signed is None:
            signed, head = "", self._chain.head
            conn.execute(
                insert(schema.units),
                {
                    "node": self._node,
                    "unit": signed,
                    "at_ms": 0,
                    "audit_seq": head.seq,
                    "audit_hash": head.hash,
                    "before_seq": head.seq,
                    "rows_seq": 0,
                    "seal": audit.head_seal(self._vault, self._node, signed, 0, head, head.seq, 0),
                },
            )
        return str(signed)

    def _look_at_seals(self, conn: Connection, row: Any) -> None:
        """Mark a journal in which nothing was ever written as sealed; refuse an audit chain that was cut or forged."""
        try:
            marked = seal_mark.is_marked(conn, self._vault)
        except SealBroken as error:
            raise StoreFailed(f"{error}. Put the newest database back (docs/do/restore.md)") from error
        if not marked and seal_mark.is_new(conn):
            seal_mark.mark(conn, self._vault, self._clock.now_ms())
            marked = True
        self._vault.rows_sealed = marked
        node, wrong = self._node, audit.why_not_continued(conn, self._vault, self._node, row)
        if not wrong:
            node, wrong = audit.defect_elsewhere(conn, self._vault, self._node)
        if wrong:
            raise StoreFailed(
                f"the audit trail of node {node!r} was altered: {wrong}. Nothing is written, because the next "
                f"entries of this node would hide the change. Run `bankgw audit verify`, then put the newest "
                f"database back (docs/do/restore.md)"
            )

    def _wait(self, error: Exception, pause_s: float, deadline_s: float) -> float:
        if self._clock.monotonic_s() + pause_s > deadline_s:
            lasted = f"the journal's database has been in trouble for {self._reconnect_s:g} s"
            raise StoreFailed(f"{lasted}: {error}") from error
        # A random pause, so that two nodes in conflict do not collide again.
        self._pause(pause_s * (0.5 + self._entropy.random()))
        return min(pause_s * 2, _LONGEST_PAUSE_S)

    def _abandon(self, conn: Connection, error: BaseException) -> None:
        """Roll back the transaction; drop the connection if the rollback fails."""
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
    """The results of these transactions as one. Work that was set twice is handed over once, as it was set last."""
    works: dict[tuple[str, Work], WorkRow | None] = {}
    for tx in done:
        works.update(tx.works)
    return Committed(
        results,
        HandOver(
            tuple(one for tx in done for one in tx.messages),
            tuple(row for row in works.values() if row is not None),
            tuple(row for tx in done for row in tx.admitted),
            tuple(one for tx in done for one in tx.changes),
        ),
    )


def _failure(error: Exception) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call, unused-ignore]


def _in_the_way(error: Exception) -> bool:
    """True if the server aborted the transaction because of another node, so that the unit is not at fault.

    A lock that is still held does not count, because other units would wait behind a unit that waits for it here.
    """
    return is_transient(error) and not isinstance(error, IntegrityError) and not is_locked(error)
