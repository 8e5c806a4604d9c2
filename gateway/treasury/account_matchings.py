"""The matching of accounts, kept between two questions, so that a new day costs its own lines.

An account that is asked about for the first time is read and matched whole. From then on its rows and both matchings
stay in memory; a question reads what has changed since, decides what that can change, and says the same as a whole
matching would. Memory is bounded: accounts that were asked about longest ago are forgotten.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from gateway.core.policy import Route
from gateway.treasury import account_rows, books, decisions, reconciled
from gateway.treasury.account_rows import BOOK, LINE, PAYMENT
from gateway.treasury.basis import basis_of
from gateway.treasury.decisions import CONFIRM, MatchDecision
from gateway.treasury.kept_rows import KeptRows
from gateway.treasury.reconciled import Reconciled
from gateway.treasury.reconciliation.increment import Register, RowId
from gateway.treasury.reconciliation.rows import NOBODY, AccountTerms, Matching, MatchRow

MOST_ROWS = 100_000
"""Rows of all accounts together that stay in memory."""
NEAR_DAYS = 10
"""A matching as of a day so near is moved to the day that is asked for."""
AN_ACCOUNT = 2
"""An account is kept as of so many days: mostly today, and the end of the last month."""


@dataclass(slots=True, eq=False)
class AccountMatching:
    """One account as of a day: its rows, both matchings, and what persons decided."""

    route: Route
    terms: AccountTerms
    last: date
    rows: KeptRows = field(default_factory=KeptRows)
    lock: Lock = field(default_factory=Lock)
    _registers: dict[Matching, Register] = field(default_factory=dict)
    _decided: dict[str, MatchDecision] = field(default_factory=dict)
    _taken: dict[Matching, set[str]] = field(default_factory=dict)
    _confirmed: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all: the next question reads the account whole."""
        self.rows = KeptRows()
        self._registers = {Matching.PAYMENTS: Register(self.terms.payments), Matching.BOOK: Register(self.terms.book)}
        self._taken = {matching: set() for matching in Matching}
        self._decided, self._confirmed = {}, {}

    @property
    def size(self) -> int:
        """How many rows it keeps."""
        return len(self.rows.payments) + len(self.rows.book) + len(self.rows.lines)

    def reconcile(self, conn: Connection, last: date) -> Reconciled:
        """As `reconcile_whole` says it. The caller holds the lock, and clears this if it raises."""
        account, self.last = self.route.account, last
        basis = basis_of(conn, account, last)
        in_force = books.in_force(conn, account)
        span = account_rows.span_of(in_force, last, self.terms)
        changed = self.rows.refresh(conn, self.route, span, in_force)
        rows = self.rows.rows(conn, self.route, span.first)
        decided = self._decisions(conn, basis.decisions)
        known = ChainMap(self.rows.payments, self.rows.book, self.rows.lines)
        known.maps.append(dict(reconciled.elsewhere(conn, self.route, decided, known)))
        counting, void = reconciled.judged(decided, known, last)
        self._match(changed, counting, known)
        return reconciled.told(
            rows, {matching: one.decided() for matching, one in self._registers.items()}, counting, void, basis
        )

    def _decisions(self, conn: Connection, in_force: Sequence[str]) -> list[MatchDecision]:
        new = [one for one in in_force if one not in self._decided]
        there = {**self._decided, **{one.decision: one for one in decisions.named(conn, new)}}
        self._decided = {one: there[one] for one in in_force}
        return list(self._decided.values())

    def _match(self, changed: set[str], counting: Sequence[MatchDecision], known: Mapping[str, MatchRow]) -> None:
        """Bring both matchings up to the rows. A is first, and lends its codes to B."""
        freed = self._free(counting)
        confirmed = {
            line: NOBODY.union(*(known[id].codes for id in one.entries))
            for one in counting if one.kind == CONFIRM and one.matching is Matching.PAYMENTS for line in one.lines
        }  # fmt: skip
        again = self._fill(Matching.PAYMENTS, changed | freed[Matching.PAYMENTS], self._paid_row)
        lines = {id for is_line, id in again if is_line}
        lines.update(id for id in freed[Matching.PAYMENTS] if id.startswith(LINE))
        lines.update(id for id in self._confirmed.keys() | confirmed if self._confirmed.get(id) != confirmed.get(id))
        self._confirmed = confirmed
        self._fill(Matching.BOOK, {*changed, *freed[Matching.BOOK], *lines}, self._booked_row)

    def _paid_row(self, id: str) -> MatchRow | None:
        """The row as the matching of payments reads it; None if it has no part in it."""
        row = self.rows.get(id)
        if row is not None and id.startswith(BOOK):
            return replace(row, shadow=True)
        return None if id in self._taken[Matching.PAYMENTS] else row

    def _booked_row(self, id: str) -> MatchRow | None:
        """The row as the matching of the book reads it; None if it has no part in it."""
        row = None if id.startswith(PAYMENT) or id in self._taken[Matching.BOOK] else self.rows.get(id)
        if row is None or not id.startswith(LINE):
            return row
        match = self._registers[Matching.PAYMENTS].matches.get((True, id))
        paid = () if match is None else match.entries
        lent = NOBODY.union(self._confirmed.get(id, NOBODY), *(self.rows.payments[one].codes for one in paid))
        return row if lent <= row.codes else replace(row, codes=row.codes | lent)

    def _fill(self, matching: Matching, ids: Iterable[str], row_of: Callable[[str], MatchRow | None]) -> set[RowId]:
        """Put rows into a matching, replace them or take them out; returns what was decided again."""
        register, again = self._registers[matching], set[RowId]()
        gone: tuple[list[str], list[str]] = ([], [])
        new: tuple[list[MatchRow], list[MatchRow]] = ([], [])
        for id in ids:
            is_line, row = id.startswith(LINE), row_of(id)
            there = register.rows.get((is_line, id))
            if row is None and there is not None:
                gone[is_line].append(id)
            elif row is not None and row != there:
                new[is_line].append(row)
        if any(gone):
            again.update(register.remove(*gone))
        if any(new):
            again.update(register.put(*new))
        return again

    def _free(self, counting: Sequence[MatchDecision]) -> dict[Matching, set[str]]:
        """The rows that decisions took or gave back since the last question."""
        freed = {}
        for matching in Matching:
            taken = {id for one in counting if one.matching is matching for id in one.rows}
            freed[matching] = self._taken[matching] ^ taken
            self._taken[matching] = taken
        return freed


class AccountMatchings:
    """The accounts that one process keeps, of one journal. Threads may ask at once; for one account they wait."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._lock = Lock()
        self._kept: list[AccountMatching] = []

    def reconcile(self, conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
        """An account as of a day. The first time it takes seconds: not for a unit that writes."""
        one, found = self._choose(route, last, terms), None
        with one.lock:
            try:
                found = one.reconcile(conn, last)
            finally:
                if found is None:
                    one.clear()
        self._forget(one)
        return found

    def kept(self, account: str) -> list[AccountMatching]:
        """What is kept of an account."""
        with self._lock:
            return [one for one in self._kept if one.route.account == account]

    def _choose(self, route: Route, last: date, terms: AccountTerms) -> AccountMatching:
        with self._lock:
            mine = [one for one in self._kept if one.route.account == route.account]
            if any((one.route, one.terms) != (route, terms) for one in mine):
                self._kept = [one for one in self._kept if one.route.account != route.account]
                mine = []
            one = min(mine, key=lambda one: abs((one.last - last).days), default=None)
            if one is None or abs((one.last - last).days) > NEAR_DAYS:
                one = mine[0] if len(mine) >= AN_ACCOUNT else AccountMatching(route, terms, last)
            if one in mine:
                self._kept.remove(one)
            self._kept.append(one)
            return one

    def _forget(self, asked: AccountMatching) -> None:
        """Drop the accounts asked about longest ago; and this one, if it alone is too large."""
        with self._lock:
            left = sum(one.size for one in self._kept)
            for one in [*(each for each in self._kept if each is not asked), asked]:
                if left <= self._most_rows:
                    break
                if one in self._kept:
                    self._kept.remove(one)
                    left -= one.size


_OF_JOURNAL: WeakKeyDictionary[Engine, AccountMatchings] = WeakKeyDictionary()
_LOCK = Lock()


def matchings_of(conn: Connection) -> AccountMatchings:
    """What this process keeps of the journal of a connection."""
    with _LOCK:
        return _OF_JOURNAL.setdefault(conn.engine, AccountMatchings())


def reconcile(conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
    """An account as of a day, as `reconcile_whole` says it, at the cost of what changed since it was asked last."""
    return matchings_of(conn).reconcile(conn, route, last, terms)
