"""Alterations of a journal by SQL without the vault's key: single ones, and combinations as an attacker would make
them.

Each is a list of statements with a kind and a place. Alterations at different places do not hide each other, so one life
of the daemon can be given several of them; an alteration of `ALONE` is given to a life of its own.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.world.tamper_values import MALFORMED, META_ROWS, VALUES

ALONE = ""
Statement = tuple[str, tuple[Any, ...]]

_LANE_BOUND = ("payments", "attempts", "evidence", "work", "bundle_items", "outbox")
_REGISTERS = (
    "persons",
    "delegations",
    "proposals",
    "approval_policies",
    "approval_requests",
    "approvals",
    "stops",
    "usage_counts",
    "payees",
    "bundles",
    "batches",
    "counters",
    "jobs",
    "credit_claims",
    "lane_renames",
    "payees_registered",
    "past_cleared",
)
_POOL_BOUND = ("pool_moves", "linked_orders", "pool_runs", "pools")
_ACCOUNT_BOUND = ("balances", "statement_entries")
_WHOLE = ("meta", "units", "lanes", "checkpoints", "audit")
ALTERED = frozenset((*_LANE_BOUND, *_REGISTERS, *_POOL_BOUND, *_ACCOUNT_BOUND, *_WHOLE))
"""The tables that are altered."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """A change of the journal between two lives. `place` is the place of the change; see the module."""

    kind: str
    words: str
    place: str
    statements: tuple[Statement, ...]


def applied(file: Path, some: Sequence[Alteration], *, checkpoint: bool = True) -> int:
    """Make the alterations. Returns how many the database accepted; the others violate a constraint of its tables.

    Without `checkpoint` they stay in the log of the database, as beside a daemon that runs."""
    done = 0
    with closing(sqlite3.connect(file, isolation_level=None, timeout=1.0)) as db:
        for one in some:
            db.execute("begin")
            try:
                changed = sum(db.execute(sql, values).rowcount for sql, values in one.statements)
            except sqlite3.Error:
                db.execute("rollback")
            else:
                db.execute("commit")
                done += changed > 0
        if checkpoint:
            db.execute("pragma wal_checkpoint(truncate)")
    return done


class Attacker:
    """Draws alterations of one journal, with older copies of it at hand."""

    def __init__(self, journal: Path, older: Sequence[Path], chance: random.Random) -> None:
        self._db = sqlite3.connect(journal)
        self._older = [sqlite3.connect(one) for one in older]
        self._chance = chance
        self._keys = {table: self._key_of(table) for table in sorted(ALTERED)}
        self._columns = {table: self._columns_of(table) for table in self._keys}
        self._pools = bool(_rows(self._db, "pool_moves", "1", ()))
        self._draws: list[tuple[Callable[[], Alteration | None], int]] = [
            (self._meaningful, 26),
            (self._random, 12),
            (self._row_back, 14),
            (self._deleted, 9),
            (self._swapped, 9),
            (self._work, 6),
            (self._paid_again, 9),
            (self._let_go, 5),
            (self._older_register, 6),
            (self._newest_gone, 5),
            (self._several, 8),
            (self._tail_cut, 1),
            (self._end_forgotten, 5),
            (self._malformed_meta, 3),
        ]
        if self._pools:
            self._draws += [(self._moved_again, 8), (self._mandate_freed, 8), (self._money_shown, 8)]

    def close(self) -> None:
        """Close the copies."""
        for one in (self._db, *self._older):
            one.close()

    def remember(self, copy: Path) -> None:
        """Have one more older copy at hand."""
        self._older.append(sqlite3.connect(copy))

    def draw(self) -> Alteration:
        """Draw the next alteration of the journal."""
        draws, weights = zip(*self._draws, strict=True)
        while True:
            found: Alteration | None = self._chance.choices(draws, weights)[0]()
            if found is not None:
                return found

    # ---- one row or one value ----

    def _meaningful(self) -> Alteration | None:
        table, row = self._some_row()
        columns = [one for one in self._columns[table] if one in VALUES]
        if row is None or not columns:
            return None
        column = self._chance.choice(columns)
        return self._set(table, row, column, self._chance.choice(VALUES[column]), "meaningful value")

    def _random(self) -> Alteration | None:
        table, row = self._some_row()
        if row is None:
            return None
        column = self._chance.choice(self._columns[table])
        old = row[column]
        value: Any
        if isinstance(old, bytes):
            at = self._chance.randrange(len(old)) if old else 0
            value = old[:at] + bytes([old[at] ^ (1 << self._chance.randrange(8))]) + old[at + 1 :] if old else b"x"
        elif isinstance(old, int):
            value = self._chance.choice((old + 1, old - 1, 0, -1, self._chance.randrange(2**50)))
        else:
            value = self._chance.choice((None, "", str(self._chance.randrange(10**6)), (old or "") + "0"))
        return self._set(table, row, column, value, "random value")

    def _row_back(self) -> Alteration | None:
        table = self._some_table()
        old = self._older_row(table)
        return None if old is None else self._made("row of its past", table, old, [*self._replaced(table, old)])

    def _deleted(self) -> Alteration | None:
        table, row = self._some_row()
        return None if row is None else self._made("deleted row", table, row, [self._gone(table, row)])

    def _swapped(self) -> Alteration | None:
        table = self._some_table()
        one, other = self._row(table), self._row(table)
        free = [name for name in self._columns[table] if name not in self._keys[table]]
        if one is None or other is None or one == other or not free:
            return None
        names = free if self._chance.random() < 0.3 else [self._chance.choice(free)]
        both = [
            self._update(table, one, dict.fromkeys(names)) if self._nullable(table, names) else None,
            self._update(table, other, {name: one[name] for name in names}),
            self._update(table, one, {name: other[name] for name in names}),
        ]
        return self._made("swapped", table, one, [made for made in both if made is not None])

    def _work(self) -> Alteration | None:
        payment = self._row("payments")
        if payment is None:
            return None
        kind = self._chance.choice(("send", "send", "replay", "enquire", "escalate", "expire", "returns"))
        return self._made("work row", "payments", payment, [self._work_row(payment, kind)])

    # ---- as an attacker would combine them ----

    def _paid_again(self) -> Alteration | None:
        """A sent payment is made to look unsent: state, attempts, audit entries, work, perhaps reference."""
        payment = self._row("payments", "first_write_ms is not null")
        if payment is None:
            return None
        key = payment["payment"]
        old = self._copy_of("payments", payment) if self._chance.random() < 0.5 else None
        parts: list[Statement] = []
        if old is not None and old["state"] in ("ready", "accepted", "held"):
            parts += self._replaced("payments", old)
        else:
            changed: dict[str, Any] = {"state": self._chance.choice(("ready", "accepted", "sending"))}
            if self._chance.random() < 0.7:
                changed |= {"attempt": 0, "first_write_ms": None, "last_write_ms": None, "doubted": 0}
            if self._chance.random() < 0.3:
                changed |= {"bank_ref": f"Z{self._chance.randrange(10**9)}"}
            if self._chance.random() < 0.3:
                changed |= {"version": max(1, payment["version"] - self._chance.randrange(4))}
            parts.append(self._update("payments", payment, changed))
        if self._chance.random() < 0.8:
            parts.append(("delete from attempts where payment = ?", (key,)))
        if self._chance.random() < 0.6:
            parts.append(self._unsaid(key, "payment.%"))
        if self._chance.random() < 0.3:
            parts.append(("delete from bundle_items where payment = ?", (key,)))
        if self._chance.random() < 0.1:
            # The permit log is asked under every name that the lane had.
            parts.append(("insert into lane_renames (old, lane, at_ms) values (?, 'nowhere', 0)", (payment["lane"],)))
        parts.append(self._work_row(payment, "send"))
        return self._made("paid again", "payments", payment, parts)

    def _let_go(self) -> Alteration | None:
        """A held or ended order is made ready."""
        payment = self._row("payments", "state in ('held', 'cancelled', 'expired', 'rejected')")
        if payment is None:
            return None
        changed: dict[str, Any] = {"state": "ready", "hold_reason": None, "hold_reasons": None, "valid_until_ms": None}
        if self._chance.random() < 0.4:
            changed["hold_cleared"] = "approval,suspected_duplicate,band"
        parts = [self._update("payments", payment, changed), self._work_row(payment, "send")]
        if self._chance.random() < 0.4:
            parts.append(self._unsaid(payment["payment"], "payment.%"))
        if self._chance.random() < 0.4:
            parts.append(("update approval_requests set state = 'approved' where subject = ?", (payment["order_id"],)))
        elif self._chance.random() < 0.4:
            parts.append(("delete from approval_requests where subject = ?", (payment["order_id"],)))
        return self._made("let go", "payments", payment, parts)

    def _end_forgotten(self) -> Alteration | None:
        """An order that ended unsent is put back to an older row of its own, and the audit entry of its end is
        deleted or hidden."""
        payment = self._row("payments", "state in ('cancelled', 'expired', 'rejected')")
        old = None if payment is None else self._copy_of("payments", payment)
        if payment is None or old is None or old["state"] == payment["state"]:
            return None
        entry = f"payment.{'cancel' if payment['state'] == 'cancelled' else 'expire'}%"
        parts = [*self._replaced("payments", old), self._unsaid(payment["payment"], entry)]
        parts.append(self._work_row(old, "send"))
        return self._made("end forgotten", "payments", payment, parts)

    def _malformed_meta(self) -> Alteration | None:
        """A row of `meta` that decides has a text that the gateway never writes."""
        row = {"name": self._chance.choice(META_ROWS), "value": self._chance.choice(MALFORMED)}
        gone = self._chance.random() < 0.3
        parts = [self._gone("meta", row)] if gone else self._replaced("meta", row)
        if self._chance.random() < 0.3:
            parts.append(self._unnoted(row["name"].replace(".", "/")))
        return self._made("malformed meta", "meta", row, parts, "deleted" if gone else repr(row["value"][:24]))

    def _older_register(self) -> Alteration | None:
        """A row of a register is put back to an older one, with the audit entries since then deleted or hidden."""
        table = self._chance.choice(("persons", "persons", "delegations", "approval_requests", "meta", "usage_counts"))
        old = self._older_row(table)
        if old is None or (table == "meta" and old["name"] != "pauses"):
            return None
        about = {"persons": old.get("person"), "delegations": old.get("delegator")}.get(table)
        parts = [*self._replaced(table, old)]
        if self._chance.random() < 0.7:
            parts.append(self._unsaid(f"person:{about}" if about else self._lane_of_pause(), "%"))
        if self._chance.random() < 0.6:
            parts.append(self._unnoted("pauses" if table == "meta" else f"{table}/{self._key(table, old)[0]}"))
        return self._made("older register", table, old, parts)

    def _newest_gone(self) -> Alteration | None:
        """The newest version of a register is deleted with its audit entries, so that an older one would rule."""
        table, key, about = self._chance.choice(
            (
                ("approval_policies", "version", "approvals"),
                ("stops", "number", "gateway"),
                ("delegations", "delegation", "person:ann"),
                ("approval_requests", "request", "%"),
            )
        )
        newest = self._row(table, f"{key} = (select max({key}) from {table})")
        if newest is None:
            return None
        parts = [self._gone(table, newest)]
        if table == "stops" and self._chance.random() < 0.5:
            parts = [("delete from stops", ())]
        if self._chance.random() < 0.7:
            parts.append(self._unsaid(about, "%"))
        if self._chance.random() < 0.6:
            parts.append(self._unnoted(f"delegations/{newest[key]}" if table == "delegations" else table))
        return self._made("newest deleted", table, newest, parts)

    def _moved_again(self) -> Alteration | None:
        """A move that was ordered, or an order that was funded, is made to look planned: in the move, run, link and
        payment."""
        move = self._row("pool_moves", "payment is not null")
        if move is None:
            return None
        payment = self._row("payments", f"payment = '{move['payment']}'")
        parts: list[Statement] = []
        for table, key in (("pool_moves", move), ("pool_runs", self._row("pool_runs", f"run = '{move['run']}'"))):
            if key is None or self._chance.random() < 0.2:
                continue
            old = self._copy_of(table, key)
            changed: dict[str, Any] = {"state": "planned"} | (
                {"payment": None, "outcome": None} if table == "pool_moves" else {}
            )
            if old is not None and self._chance.random() < 0.5:
                parts += self._replaced(table, old)
            elif self._chance.random() < 0.5:
                parts.append(self._gone(table, key))
            else:
                parts.append(self._update(table, key, changed))
        link = self._row("linked_orders", f"run = '{move['run']}'")
        if link is not None:
            old = self._copy_of("linked_orders", link)
            parts += self._replaced("linked_orders", old) if old is not None else [self._gone("linked_orders", link)]
        if self._chance.random() < 0.6:
            parts += self._move_hidden(move)
        if payment is not None and self._chance.random() < 0.7:
            if self._chance.random() < 0.5:
                parts.append(self._gone("payments", payment))
            else:
                changed = {"state": "ready", "attempt": 0, "first_write_ms": None, "last_write_ms": None}
                parts += [self._update("payments", payment, changed), self._work_row(payment, "send")]
            parts.append(("delete from attempts where payment = ?", (payment["payment"],)))
            if self._chance.random() < 0.5:
                parts.append(self._unsaid(payment["payment"], "payment.%"))
        return self._made("moved again", "pool_moves", move, parts)

    def _mandate_freed(self) -> Alteration | None:
        """Rows that count against a quota or a ceiling of the day are removed, or an older pool is put in force."""
        if self._chance.random() < 0.3:
            newest = self._row("pools", "version = (select max(version) from pools p where p.pool = pools.pool)")
            if newest is None:
                return None
            hidden = "update audit set object_id = 'nothing' where object_id = ? and entry = 'pool.in_force'"
            noted = "delete from audit where object_id = ? and entry like 'register%'"
            parts: list[Statement] = [self._gone("pools", newest)]
            if self._chance.random() < 0.7:
                parts.append((hidden, (newest["pool"],)))
            if self._chance.random() < 0.2:
                parts.append((noted, (f"row:pools/{newest['pool']}",)))
            return self._made("mandate freed", "pools", newest, parts)
        move = self._row("pool_moves", "state = 'ordered'")
        if move is None:
            return None
        every = "pool = ? and state = 'ordered'", (move["pool"],)
        how = self._chance.randrange(4)
        if how == 0:
            parts = [(f"delete from pool_moves where {every[0]}", every[1])]
        elif how == 1:
            parts = [(f"update pool_moves set state = 'refused' where {every[0]}", every[1])]
        elif how == 2:  # noqa: PLR2004
            parts = [(f"update pool_moves set business_date = '2026-11-01', pool = 'x' where {every[0]}", every[1])]
        else:
            paid = (
                "update payments set state = 'failed' where payment in (select payment from pool_moves where pool = ?)"
            )
            gone = "delete from work where payment in (select payment from pool_moves where pool = ?)"
            parts = [(paid, every[1]), (gone, every[1])]
        if self._chance.random() < 0.6:
            parts += self._move_hidden(move, every=True)
        return self._made("mandate freed", "pool_moves", move, parts)

    def _money_shown(self) -> Alteration | None:
        """A balance or an entry shows money that is not there: an older balance as of now, a payment without evidence,
        an entry of one leg copied for another."""
        how = self._chance.randrange(4)
        if how == 0:
            row = self._row("balances")
            old = None if row is None else self._copy_of("balances", row)
            if old is None:
                return None
            return self._made("money shown", "balances", old, self._replaced("balances", {**old, "seen_ms": 2**43}))
        if how == 1:
            payment = self._row("payments", "first_write_ms is not null")
            if payment is None:
                return None
            parts: list[Statement] = [("delete from evidence where payment = ?", (payment["payment"],))]
            return self._made("money shown", "payments", payment, parts)
        row, leg = self._row("statement_entries"), self._row("pool_moves", "up = 0 and state = 'ordered'")
        if row is None or leg is None:
            return None
        changed = {"amount_minor": leg["amount_minor"], "account_idx": leg["credit_idx"], "seen_ms": 2**43}
        if how == 2:  # noqa: PLR2004
            return self._made(
                "money shown", "statement_entries", row, [self._update("statement_entries", row, changed)]
            )
        copied = {**row, **changed, "entry": row["entry"][:-1] + "Z", "bank": "pab"}
        return self._made("money shown", "statement_entries", row, self._replaced("statement_entries", copied))

    def _several(self) -> Alteration | None:
        some = [
            self._chance.choice((self._meaningful, self._row_back, self._deleted, self._work, self._swapped))()
            for _ in range(self._chance.randint(2, 4))
        ]
        found = [one for one in some if one is not None]
        if len(found) < 2:  # noqa: PLR2004
            return None
        return Alteration(
            "several",
            "; ".join(one.words for one in found),
            ALONE,
            tuple(part for one in found for part in one.statements),
        )

    def _tail_cut(self) -> Alteration | None:
        """The whole journal but its payments is set back, or the audit trail ends earlier with an older head."""
        older = self._chance.choice(self._older)
        units = _rows(older, "units", "1", ())
        if not units:
            return None
        head = units[0]
        parts: list[Statement] = [("delete from audit where node = ? and seq > ?", (head["node"], head["audit_seq"]))]
        parts += self._replaced("units", head)
        for table in self._chance.sample(("payments", "attempts", "stops", "approval_policies", "persons"), 2):
            for row in _rows(older, table, "1", ()):
                parts += self._replaced(table, row)
        return Alteration("tail cut", f"audit cut at {head['audit_seq']}", ALONE, tuple(parts))

    # ---- parts ----

    def _unsaid(self, object_id: str, entry: str) -> Statement:
        newest = "(select max(seq) from audit where object_id like ? and entry like ?)"
        if self._chance.random() < 0.5:
            return f"delete from audit where object_id like ? and entry like ? and seq > {newest} - 8", (
                object_id,
                entry,
                object_id,
                entry,
            )
        return (
            f"update audit set object_id = 'nothing' where object_id like ? and entry like ? and seq > {newest} - 8",
            (object_id, entry, object_id, entry),
        )

    def _unnoted(self, name: str) -> Statement:
        """The newest note of a register's row is deleted from the audit trail."""
        about = f"row:{name}"
        newest = "(select max(seq) from audit where object_id = ? and entry = 'register.written')"
        return f"delete from audit where object_id = ? and entry = 'register.written' and seq = {newest}", (
            about,
            about,
        )

    def _move_hidden(self, move: dict[str, Any], *, every: bool = False) -> list[Statement]:
        """The audit entries about a move, or all moves of its pool, are deleted or hidden, perhaps with the register's."""
        about = f"{move['pool']}.%" if every else move["order_id"]
        parts: list[Statement] = [self._unsaid(about, "pool.%")]
        if self._chance.random() < 0.2:
            parts.append(self._unsaid(f"row:pool_moves/{about}", "register%"))
        return parts

    def _work_row(self, payment: dict[str, Any], kind: str) -> Statement:
        names = self._columns["work"]
        said = {
            "payment": payment["payment"],
            "kind": kind,
            "lane": payment["lane"],
            "due_ms": 0,
            "epoch": payment["epoch"],
            "set_ms": None,
        }
        copied = self._row("work") or {}
        values = tuple(said.get(name, copied.get(name)) for name in names)
        return f"insert or replace into work ({', '.join(names)}) values ({', '.join('?' * len(names))})", values

    def _lane_of_pause(self) -> str:
        return self._chance.choice(("sample.a", "sample.b", "sample.c", "sample.d"))

    def _some_table(self) -> str:
        if self._pools and self._chance.random() < 0.45:
            names = (*_POOL_BOUND, *_ACCOUNT_BOUND, "payees_registered", "credit_claims", "proposals", "evidence")
            return self._chance.choices(names, (30, 25, 12, 8, 8, 6, 3, 2, 3, 3))[0]
        roll = self._chance.random()
        if roll < 0.66:  # noqa: PLR2004
            return self._chance.choices(_LANE_BOUND, (60, 14, 2, 14, 6, 4))[0]
        return self._chance.choice(_REGISTERS if roll < 0.94 else _WHOLE)  # noqa: PLR2004

    def _some_row(self) -> tuple[str, dict[str, Any] | None]:
        table = self._some_table()
        return table, self._row(table)

    def _row(self, table: str, where: str = "1") -> dict[str, Any] | None:
        rows = _rows(self._db, table, where, ())
        return self._chance.choice(rows) if rows else None

    def _older_row(self, table: str) -> dict[str, Any] | None:
        """A row of an older copy that differs from its present row, or has none."""
        rows = _rows(self._chance.choice(self._older), table, "1", ())
        self._chance.shuffle(rows)
        for row in rows:
            now = _rows(self._db, table, self._where(table), self._key(table, row))
            if now != [row]:
                return row
        return None

    def _copy_of(self, table: str, row: dict[str, Any]) -> dict[str, Any] | None:
        found = _rows(self._chance.choice(self._older), table, self._where(table), self._key(table, row))
        return found[0] if found else None

    def _set(self, table: str, row: dict[str, Any], column: str, value: Any, kind: str) -> Alteration | None:
        if row[column] == value:
            return None
        return self._made(kind, table, row, [self._update(table, row, {column: value})], f"{column} = {value!r}")

    def _made(
        self, kind: str, table: str, row: dict[str, Any], parts: Sequence[Statement], more: str = ""
    ) -> Alteration:
        place = ALONE if table in _WHOLE else table
        if table in _POOL_BOUND:
            place = f"sample.{row['pool']}"
        if table in _LANE_BOUND:
            payment = row.get("payment") or ""
            found = self._db.execute("select lane from payments where payment = ?", (payment,)).fetchone()
            place = found[0] if found else "nowhere"
        about = ", ".join(str(one) for one in self._key(table, row))
        return Alteration(kind, f"{kind}: {table} {about} {more}".strip(), place, tuple(parts))

    def _update(self, table: str, row: dict[str, Any], changed: dict[str, Any]) -> Statement:
        said = ", ".join(f'"{name}" = ?' for name in changed)
        return f"update {table} set {said} where {self._where(table)}", (*changed.values(), *self._key(table, row))

    def _gone(self, table: str, row: dict[str, Any]) -> Statement:
        return f"delete from {table} where {self._where(table)}", self._key(table, row)

    def _replaced(self, table: str, row: dict[str, Any]) -> list[Statement]:
        names = ", ".join(f'"{name}"' for name in row)
        insert = f"insert into {table} ({names}) values ({', '.join('?' * len(row))})"
        return [self._gone(table, row), (insert, tuple(row.values()))]

    def _where(self, table: str) -> str:
        return " and ".join(f'"{name}" = ?' for name in self._keys[table])

    def _key(self, table: str, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._keys[table])

    def _nullable(self, table: str, names: Sequence[str]) -> bool:
        return all(not row[3] for row in self._db.execute(f"pragma table_info({table})") if row[1] in names)

    def _columns_of(self, table: str) -> list[str]:
        return [row[1] for row in self._db.execute(f"pragma table_info({table})")]

    def _key_of(self, table: str) -> list[str]:
        return [row[1] for row in self._db.execute(f"pragma table_info({table})") if row[5]]


def _rows(db: sqlite3.Connection, table: str, where: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    found = db.execute(f"select * from {table} where {where}", values)
    names = [one[0] for one in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]
