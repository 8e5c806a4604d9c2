"""The reconciliation of one account up to a day: both matchings with the decisions of persons, and the monthly
statement (余额调节表).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.core.policy import Route
from gateway.reconciliation.rows import account_rows, books, decisions
from gateway.reconciliation.rows.account_rows import AccountRows
from gateway.reconciliation.rows.basis import Basis, basis_of
from gateway.reconciliation.rows.decisions import ASIDE, CONFIRM, MatchDecision
from gateway.reconciliation.rules.decision import Match, MatchResult, MatchRule, OpenReason
from gateway.reconciliation.rules.matching import decide, lend_codes
from gateway.reconciliation.rules.rows import Matching, MatchRow
from gateway.register.match_terms import AccountTerms
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.statement import Direction

_UNEXPLAINED = frozenset(one.value for one in OpenReason if one is not OpenReason.NO_COUNTERPART)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Both matchings of an account, about its rows from `rows.first` on.

    `decided` are persons' decisions; their rows are in no match. Decisions in `void` count no more, each with the
    reason: their rows are gone or were changed, so that the remaining rows are open again. `basis` is the basis of the
    whole result.
    """

    rows: AccountRows
    matched: Mapping[Matching, MatchResult]
    decided: Sequence[MatchDecision]
    void: Sequence[tuple[MatchDecision, str]]
    by_id: Mapping[str, MatchRow]
    basis: Basis

    @property
    def last(self) -> date:
        """The last day that the reconciliation covers."""
        return self.basis.last

    def open(self, matching: Matching, *, lines: bool) -> list[tuple[MatchRow, str]]:
        """The rows without a match, with the reason; rows that were set aside, with the person's words."""
        one = self.matched[matching]
        opened = one.open_lines if lines else one.open_entries
        reasons: dict[str, str] = {id: reason.value for id, reason in opened.items()}
        for decision in self.decided:
            if decision.kind == ASIDE and decision.matching is matching:
                ids = decision.lines if lines else decision.entries
                reasons.update(dict.fromkeys(ids, f"aside: {decision.reason}"))
        found = [(self.by_id[id], reason) for id, reason in reasons.items() if id in self.by_id]
        return sorted(found, key=lambda one: (one[0].day, one[0].id))


def reconcile_whole(conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
    """Read all of an account's rows up to a day, and match them. It takes seconds, so it must not be inside a unit that
    writes.

    The basis is read first. If the database shows later reads more than earlier ones, the basis is then the older one,
    and a change is noticed.
    """
    basis = basis_of(conn, route.account, last)
    rows = account_rows.rows_of_span(
        conn, route, account_rows.span_of(books.in_force(conn, route.account), last, terms)
    )
    decided = decisions.in_force(conn, route.account)
    return match(rows, decided, terms, elsewhere(conn, route, decided, rows.by_id), basis)


def elsewhere(
    conn: Connection, route: Route, decided: Sequence[MatchDecision], known: Collection[str]
) -> Mapping[str, MatchRow]:
    """The rows that decisions name and that are not among the known ones."""
    missing = {id for one in decided for id in one.rows if id not in known}
    return account_rows.named(conn, route, missing).by_id if missing else {}


def match(
    rows: AccountRows,
    decided: Sequence[MatchDecision],
    terms: AccountTerms,
    elsewhere: Mapping[str, MatchRow],
    basis: Basis,
) -> Reconciled:
    """Match rows, leaving out those that persons decided. Matching A comes first, because its codes are lent to B.

    `elsewhere` are rows that decisions name and that are outside of the period.
    """
    known = {**elsewhere, **rows.by_id}
    counting, void = judged(decided, known, basis.last)
    free = _Free(counting)
    paid = decide(
        [*free.of(Matching.PAYMENTS, rows.payments), *account_rows.as_shadows(rows.book)],
        free.of(Matching.PAYMENTS, rows.lines),
        terms.payments,
    )
    lent = lend_codes(rows.lines, [*paid.matches, *free.confirmed(Matching.PAYMENTS)], known)
    booked = decide(free.of(Matching.BOOK, rows.book), free.of(Matching.BOOK, lent), terms.book)
    return told(rows, {Matching.PAYMENTS: paid, Matching.BOOK: booked}, counting, void, basis)


def told(
    rows: AccountRows,
    matched: Mapping[Matching, MatchResult],
    counting: Sequence[MatchDecision],
    void: Sequence[tuple[MatchDecision, str]],
    basis: Basis,
) -> Reconciled:
    """The reconciliation's results, without the rows before `rows.first`, which were only candidates for matches."""
    by_id = rows.by_id
    early = {id for id, row in by_id.items() if row.day < rows.first}
    return Reconciled(
        rows, {matching: _without(one, early) for matching, one in matched.items()}, counting, void, by_id, basis
    )


def judged(
    decided: Sequence[MatchDecision], known: Mapping[str, MatchRow], last: date
) -> tuple[list[MatchDecision], list[tuple[MatchDecision, str]]]:
    """The decisions that are still valid, and those that are not, each with the reason.

    For a reconciliation as of an earlier day, a decision about a later row counts as not made yet.
    """
    reasons = [(one, _why_void(one, known)) for one in decided]
    counting = [one for one, why in reasons if not why and all(known[id].day <= last for id in one.rows)]
    return counting, [(one, why) for one, why in reasons if why]


def _why_void(one: MatchDecision, known: Mapping[str, MatchRow]) -> str:
    gone = next((id for id in one.rows if id not in known), None)
    if gone is not None:
        return f"{gone} is gone"
    changed = next((id for id in one.rows if one.facts.get(id) not in (None, facts_of(known[id]))), None)
    if changed is not None:
        return f"{changed} was {one.facts[changed]}, and is {facts_of(known[changed])}"
    sums = [sum(known[id].effect_minor for id in side) for side in (one.entries, one.lines)]
    return "the two sides are not equal any more" if one.kind == CONFIRM and sums[0] != sums[1] else ""


def facts_of(row: MatchRow) -> str:
    """The fields of a row on which a decision about it rests. If one of them changes, the decision is no longer
    valid."""
    return f"{row.day} {row.direction.value} {Money(row.amount_minor, row.currency)} {row.currency}"


def is_frozen(rows: AccountRows, ids: Iterable[str], until: date) -> bool:
    """True if all of these rows that still exist existed when their month was approved."""
    known = rows.by_id
    there = [known[id] for id in ids if id in known]
    return bool(there) and all(row.day <= until and row.id not in rows.late for row in there)


def _without(decided: MatchResult, early: set[str]) -> MatchResult:
    """The result without open early rows, and without matches or proposals that have early rows only."""
    return MatchResult(
        [one for one in decided.matches if not early.issuperset((*one.entries, *one.lines))],
        [one for one in decided.proposals if not early.issuperset((*one.entries, *one.lines))],
        {id: reason for id, reason in decided.open_entries.items() if id not in early},
        {id: reason for id, reason in decided.open_lines.items() if id not in early},
    )


@dataclass(frozen=True, slots=True)
class _Free:
    decided: Sequence[MatchDecision]

    def of(self, matching: Matching, rows: Iterable[MatchRow]) -> list[MatchRow]:
        """The rows that no person decided about."""
        taken = {id for one in self.decided if one.matching is matching for id in one.rows}
        return [row for row in rows if row.id not in taken]

    def confirmed(self, matching: Matching) -> list[Match]:
        """The matches that persons confirmed, for lending codes."""
        return [
            Match(MatchRule.CODE, one.entries, one.lines)
            for one in self.decided
            if one.kind == CONFIRM and one.matching is matching
        ]


def why_not_confirm(found: Reconciled, matching: Matching, entries: Sequence[str], lines: Sequence[str]) -> str:
    """The reason why a person cannot confirm this match; "" if it can be confirmed."""
    one = found.matched[matching]
    unknown = [id for id in (*entries, *lines) if id not in found.by_id]
    if unknown:
        return f"there is no row {unknown[0]} up to {found.last}"
    taken = [id for id in entries if id not in one.open_entries] + [id for id in lines if id not in one.open_lines]
    if taken:
        return f"{taken[0]} is matched or decided already"
    sums = [sum(found.by_id[id].effect_minor for id in side) for side in (entries, lines)]
    if sums[0] != sums[1]:
        return f"the two sides differ: {sums[0]} and {sums[1]} minor units"
    return ""


# ---- the monthly statement ----


@dataclass(frozen=True, slots=True)
class NoTable(Exception):  # noqa: N818 - an answer, not a fault
    """The statement cannot be made; `why` names what is missing."""

    why: str


def balance_table(conn: Connection, route: Route, found: Reconciled) -> dict[str, Any]:
    """The content of the month's statement as of `found.last`: balances, four lists, adjusted balances, difference.

    Raises NoTable without the book's or the bank's closing balance of that day, or if the books up to that day have a
    gap.
    """
    last = found.last
    there = [one for one in books.in_force(conn, route.account) if one.head.last <= last]
    booked = there[-1] if there else None
    if booked is None or booked.head.last != last:
        raise NoTable(f"no book that ends on {last} is in force")
    for one, following in pairwise(there):
        begins = one.head.last + timedelta(days=1)
        if following.head.first != begins:
            raise NoTable(f"no book of {begins} to {following.head.first - timedelta(days=1)} is in force")
        if one.head.closing_minor != following.head.opening_minor:
            closing, opening = (
                Money(abs(minor), route.currency) for minor in (one.head.closing_minor, following.head.opening_minor)
            )
            raise NoTable(
                f"the book up to {one.head.last} closes with {closing}, but the next book opens with {opening}"
            )
    day = accounts.day_of(conn, route.account, last)
    if day is None or day[0] != last or day[2] is None:
        raise NoTable(f"the bank's statement of {last} is not closed")
    return table_of(found, booked.head.closing_minor, day[2].minor, route.currency)


def table_of(found: Reconciled, book_minor: int, bank_minor: int, currency: str) -> dict[str, Any]:
    """日记账余额 + 企业未收 − 企业未付 = 调整后余额 ↔ 对账单余额 + 银行未收 − 银行未付 = 调整后余额.

    The four lists have the rows that one side recorded and the other one has not yet (未达), and rows that a person set
    aside with a reason. A row that has a candidate and does not fit it is not merely late: it is `unexplained`, and in
    no sum.
    """
    lines, entries = found.open(Matching.BOOK, lines=True), found.open(Matching.BOOK, lines=False)
    said: dict[str, Any] = {
        "last": found.last.isoformat(),
        "currency": currency,
        "book": book_minor,
        "bank": bank_minor,
        "bank_received": [_item(found, *one) for one in lines if _on_its_way(*one) and one[0].effect_minor > 0],
        "bank_paid": [_item(found, *one) for one in lines if _on_its_way(*one) and one[0].effect_minor < 0],
        "book_received": [_item(found, *one) for one in entries if _on_its_way(*one) and one[0].effect_minor > 0],
        "book_paid": [_item(found, *one) for one in entries if _on_its_way(*one) and one[0].effect_minor < 0],
        "bank_unexplained": [_signed(found, *one) for one in lines if not _on_its_way(*one)],
        "book_unexplained": [_signed(found, *one) for one in entries if not _on_its_way(*one)],
    }
    for match in found.matched[Matching.BOOK].matches:
        if match.fee_minor:
            line = found.by_id[match.lines[0]]
            fee = replace(line, direction=Direction.DEBIT, amount_minor=abs(match.fee_minor))
            said["bank_paid"].append(_item(found, fee, "fee by the tariff, not in the book"))
    received, paid = _sum(said["bank_received"]), _sum(said["bank_paid"])
    said["book_adjusted"] = book_minor + received - paid
    said["bank_adjusted"] = bank_minor + _sum(said["book_received"]) - _sum(said["book_paid"])
    said["difference"] = said["book_adjusted"] - said["bank_adjusted"]
    return said


def _on_its_way(row: MatchRow, reason: str) -> bool:
    return reason not in _UNEXPLAINED


def _sum(items: Iterable[Mapping[str, Any]]) -> int:
    return sum(item["amount"] for item in items)


def _item(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "day": row.day.isoformat(),
        "amount": abs(row.amount_minor),
        "reason": reason,
        "about": found.rows.about.get(row.id, ""),
    }


def _signed(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {**_item(found, row, reason), "amount": row.effect_minor}
