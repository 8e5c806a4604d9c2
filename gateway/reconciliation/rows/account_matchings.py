"""Keeps the matching of each account in memory, so that a new day costs only the work for its own lines.

An account that is asked about for the first time is read and matched as a whole. From then on its rows and both
matchings stay in memory: a question reads the changes since, decides again what they can affect, and gives the same
result as a whole matching would. Memory is bounded: the accounts that were asked about longest ago are dropped.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from gateway.kernel.core.policy import Route
from gateway.reconciliation.rows import account_rows, books, decisions, reconciled
from gateway.reconciliation.rows.account_rows import BOOK, LINE, PAYMENT
from gateway.reconciliation.rows.basis import basis_of
from gateway.reconciliation.rows.decisions import CONFIRM, MatchDecision
from gateway.reconciliation.rows.kept_rows import KeptRows
from gateway.reconciliation.rows.reconciled import Reconciled
from gateway.reconciliation.rules.increment import MatchingRegister, RowId
from gateway.reconciliation.rules.rows import NOBODY, Matching, MatchRow
from gateway.register.match_terms import AccountTerms

MOST_ROWS = 100_000
"""The most rows, over all accounts, that stay in memory."""
NEAR_DAYS = 10
"""A kept matching whose day is at most so many days away is moved to the day that is asked for."""
AN_ACCOUNT = 2
"""The number of days as of which an account is kept: mostly today, and the end of the last month."""


@dataclass(slots=True, eq=False)
class AccountMatching:
    """One account as of a day: its rows, both matchings, and the decisions of persons."""

    route: Route
    terms: AccountTerms
    last: date
    rows: KeptRows = field(default_factory=KeptRows)
    lock: Lock = field(default_factory=Lock)
    _registers: dict[Matching, MatchingRegister] = field(default_factory=dict)
    _decided: dict[str, MatchDecision] = field(default_factory=dict)
    _taken: dict[Matching, set[str]] = field(default_factory=dict)
    _confirmed: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all kept rows and matches, so that the next call reads the whole account."""
        self.rows = KeptRows()
        self._registers = {
            Matching.PAYMENTS: MatchingRegister(self.terms.payments),
            Matching.BOOK: MatchingRegister(self.terms.book),
        }
        self._taken = {matching: set() for matching in Matching}
        self._decided, self._confirmed = {}, {}

    @property
    def size(self) -> int:
        """The number of rows that are kept in memory."""
        return len(self.rows.payments) + len(self.rows.book) + len(self.rows.lines)

    def reconcile(self, conn: Connection, last: date) -> Reconciled:
        """See `reconcile_whole`. The caller holds the lock, and calls `clear` if this raises."""
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
        """Update both matchings to the present rows. Matching A comes first, because its codes are lent
        to matching B.
        """
        freed = self._free(counting)
        confirmed = {
            line: NOBODY.union(*(known[id].codes for id in one.entries))
            for one in counting
            if one.kind == CONFIRM and one.matching is Matching.PAYMENTS
            for line in one.lines
        }
        again = self._fill(Matching.PAYMENTS, changed | freed[Matching.PAYMENTS], self._paid_row)
        lines = {id for is_line, id in again if is_line}
        lines.update(id for id in freed[Matching.PAYMENTS] if id.startswith(LINE))
        lines.update(id for id in self._confirmed.keys() | confirmed if self._confirmed.get(id) != confirmed.get(id))
        self._confirmed = confirmed
        self._fill(Matching.BOOK, {*changed, *freed[Matching.BOOK], *lines}, self._booked_row)

    def _paid_row(self, id: str) -> MatchRow | None:
        """The row in the form of the matching of payments; None if it has no part in that matching."""
        row = self.rows.get(id)
        if row is not None and id.startswith(BOOK):
            return replace(row, shadow=True)
        return None if id in self._taken[Matching.PAYMENTS] else row

    def _booked_row(self, id: str) -> MatchRow | None:
        """The row in the form of the matching of the book; None if it has no part in that matching."""
        row = None if id.startswith(PAYMENT) or id in self._taken[Matching.BOOK] else self.rows.get(id)
        if row is None or not id.startswith(LINE):
            return row
        match = self._registers[Matching.PAYMENTS].matches.get((True, id))
        paid = () if match is None else match.entries
        lent = NOBODY.union(self._confirmed.get(id, NOBODY), *(self.rows.payments[one].codes for one in paid))
        return row if lent <= row.codes else replace(row, codes=row.codes | lent)

    def _fill(self, matching: Matching, ids: Iterable[str], row_of: Callable[[str], MatchRow | None]) -> set[RowId]:
        """Add rows to a matching, replace rows or remove them; returns the rows that were decided again."""
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
        """The rows about which a person's decision was made or undone since the last call."""
        freed = {}
        for matching in Matching:
            taken = {id for one in counting if one.matching is matching for id in one.rows}
            freed[matching] = self._taken[matching] ^ taken
            self._taken[matching] = taken
        return freed


class AccountMatchings:
    """The matchings of a journal's accounts that this process keeps in memory. Calls from several threads about the
    same account wait for each other."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._lock = Lock()
        self._kept: list[AccountMatching] = []

    def reconcile(self, conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
        """The reconciliation of an account as of a day. The first call takes seconds, so it must not be inside a unit
        that writes.
        """
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
        """The matchings of an account that are kept in memory."""
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
        """Drop the matchings that were not used for the longest time; also this account's, if it alone is too large."""
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
    """The matchings that this process keeps of a connection's journal."""
    with _LOCK:
        return _OF_JOURNAL.setdefault(conn.engine, AccountMatchings())


def reconcile(conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
    """The reconciliation of an account as of a day. The cost depends on the changes since the last call."""
    return matchings_of(conn).reconcile(conn, route, last, terms)
