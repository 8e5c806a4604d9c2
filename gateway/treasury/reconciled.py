"""The reconciliation of one account up to a day: both matchings by the rules, with what persons decided, and the
monthly statement (余额调节表) that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from gateway.core.policy import Route
from gateway.journal.payments import accounts
from gateway.treasury import account_rows, books, decisions
from gateway.treasury.account_rows import AccountRows
from gateway.treasury.decisions import ASIDE, CONFIRM, MatchDecision
from gateway.treasury.reconciliation.decision import Decided, Match, MatchRule
from gateway.treasury.reconciliation.matching import decide, lend_codes
from gateway.treasury.reconciliation.rows import AccountTerms, Matching, MatchRow
from protocols.canon.statement import Direction


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Both matchings of an account. `confirmed` and `aside` are persons' decisions; their rows are in no match."""

    account: str
    last: date
    rows: AccountRows
    matched: Mapping[Matching, Decided]
    decided: Sequence[MatchDecision]
    by_id: Mapping[str, MatchRow] = field(default_factory=dict)

    def open(self, matching: Matching, *, lines: bool) -> list[tuple[MatchRow, str]]:
        """The rows without a match, with the reason; those set aside with the person's words."""
        one = self.matched[matching]
        opened = one.open_lines if lines else one.open_entries
        reasons: dict[str, str] = {id: reason.value for id, reason in opened.items()}
        for decision in self.decided:
            if decision.kind == ASIDE and decision.matching is matching:
                named = decision.lines if lines else decision.entries
                reasons.update(dict.fromkeys(named, f"aside: {decision.reason}"))
        found = [(self.by_id[id], reason) for id, reason in reasons.items() if id in self.by_id]
        return sorted(found, key=lambda one: (one[0].day, one[0].id))


def reconcile(conn: Connection, route: Route, last: date, terms: AccountTerms) -> Reconciled:
    """Read an account's rows up to a day, and match them."""
    rows = account_rows.read(conn, route, account_rows.month_start(last), last)
    return match(route.account, last, rows, decisions.in_force(conn, route.account), terms)


def match(
    account: str, last: date, rows: AccountRows, decided: Sequence[MatchDecision], terms: AccountTerms
) -> Reconciled:
    """Match rows, leaving out what persons decided. A is first, and lends its codes to B."""
    shadows = account_rows.as_shadows(rows.book)
    free = _Free(decided)
    paid = decide([*free.of(Matching.PAYMENTS, rows.payments), *shadows], free.of(Matching.PAYMENTS, rows.lines),
                  terms.payments)  # fmt: skip
    by_id = {row.id: row for row in rows.payments}
    matches = [*paid.matches, *free.confirmed(Matching.PAYMENTS)]
    lent = lend_codes(rows.lines, matches, by_id)
    booked = decide(free.of(Matching.BOOK, rows.book), free.of(Matching.BOOK, lent), terms.book)
    return Reconciled(
        account, last, rows, {Matching.PAYMENTS: paid, Matching.BOOK: booked}, decided,
        {row.id: row for row in (*rows.payments, *rows.book, *rows.lines)},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Free:
    decided: Sequence[MatchDecision]

    def of(self, matching: Matching, rows: Iterable[MatchRow]) -> list[MatchRow]:
        """The rows that no person decided about."""
        taken = {id for one in self.decided if one.matching is matching for id in (*one.entries, *one.lines)}
        return [row for row in rows if row.id not in taken]

    def confirmed(self, matching: Matching) -> list[Match]:
        """What persons confirmed, for lending codes."""
        return [Match(MatchRule.CODE, one.entries, one.lines) for one in self.decided
                if one.kind == CONFIRM and one.matching is matching]  # fmt: skip


def why_not_confirm(found: Reconciled, matching: Matching, entries: Sequence[str], lines: Sequence[str]) -> str:
    """Why a person cannot confirm this match; "" if it can be."""
    one = found.matched[matching]
    unknown = [id for id in (*entries, *lines) if id not in found.by_id]
    if unknown:
        return f"there is no row {unknown[0]} up to {found.last}"
    taken = [id for id in entries if id not in one.open_entries] + [id for id in lines if id not in one.open_lines]
    if taken:
        return f"{taken[0]} is matched or decided already"
    sums = [sum(_effect(found.by_id[id]) for id in side) for side in (entries, lines)]
    if sums[0] != sums[1]:
        return f"the two sides differ: {sums[0]} and {sums[1]} minor units"
    return ""


def _effect(row: MatchRow) -> int:
    return row.amount_minor if row.direction is Direction.CREDIT else -row.amount_minor


# ---- the monthly statement ----


@dataclass(frozen=True, slots=True)
class NoTable(Exception):  # noqa: N818 - an answer, not a fault
    """The statement cannot be made; `why` says what is missing."""

    why: str


def balance_table(conn: Connection, route: Route, found: Reconciled) -> dict[str, Any]:
    """The content of the month's statement as of `found.last`: balances, four lists, adjusted balances, difference.

    Raises NoTable without the book's or the bank's closing balance of that day.
    """
    last = found.last
    booked = next((one for one in books.in_force(conn, route.account) if one.head.last == last), None)
    if booked is None:
        raise NoTable(f"no book that ends on {last} is in force")
    day = accounts.day_of(conn, route.account, last)
    if day is None or day[0] != last or day[2] is None:
        raise NoTable(f"the bank's statement of {last} is not closed")
    return table_of(found, booked.head.closing_minor, day[2].minor, route.currency)


def table_of(found: Reconciled, book_minor: int, bank_minor: int, currency: str) -> dict[str, Any]:
    """日记账余额 + 企业未收 − 企业未付 = 调整后余额 ↔ 对账单余额 + 银行未收 − 银行未付 = 调整后余额."""
    lines, entries = found.open(Matching.BOOK, lines=True), found.open(Matching.BOOK, lines=False)
    said: dict[str, Any] = {
        "last": found.last.isoformat(), "currency": currency, "book": book_minor, "bank": bank_minor,
        "bank_received": [_item(found, *one) for one in lines if _effect(one[0]) > 0],
        "bank_paid": [_item(found, *one) for one in lines if _effect(one[0]) < 0],
        "book_received": [_item(found, *one) for one in entries if _effect(one[0]) > 0],
        "book_paid": [_item(found, *one) for one in entries if _effect(one[0]) < 0],
    }  # fmt: skip
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


def _sum(items: Iterable[Mapping[str, Any]]) -> int:
    return sum(item["amount"] for item in items)


def _item(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {"id": row.id, "day": row.day.isoformat(), "amount": abs(row.amount_minor), "reason": reason,
            "about": found.rows.about.get(row.id, "")}  # fmt: skip
