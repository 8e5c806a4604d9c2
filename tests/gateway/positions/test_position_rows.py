"""Positions from the journal: the balance that counts, open payments, and expected movements; for 1,000 accounts in a
second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import update

from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.positions import rows as position_rows
from gateway.positions.rows import PositionQuestion
from gateway.positions.rules import AccountPosition, DayForecast, totals, tree
from gateway.register.position_terms import PositionTerms, RegisteredAccount
from gateway.statements.rows import accounts
from protocols.canon.limits import Limits
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance
from protocols.erp.account_replies import Statement, Totals
from tests.gateway.kernel.bench import CREDITOR, DEBTOR, NOW_MS, Journal, order

CHINA = ZoneInfo("Asia/Shanghai")
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC).astimezone(CHINA).date()
MOST_S = 1.0


def route(account: str, bank: str = "sample") -> Route:
    return Route(account, "jia", bank, f"{bank}.main", "CNY", Limits("utf-8"), frozenset(), holder="示例甲公司")


def ask(journal: Journal, routes: Sequence[Route], **more: Any) -> list[AccountPosition]:
    asked = replace(PositionQuestion(routes, PositionTerms(), CHINA, NOW_MS), **more)
    return journal.read(lambda conn: position_rows.positions(conn, asked))


def close(journal: Journal, account: str, day: date, minor: int) -> None:
    said = Statement(AccountNumber(account), "CNY", day, Totals(), Money(0), Money(minor))
    journal.do(lambda tx: accounts.keep_day(tx, said))


def test_the_banks_answer_counts_then_a_closed_day_then_the_opening_balance(journal: Journal) -> None:
    opening = (TODAY - timedelta(days=9), Money(-300))
    terms = PositionTerms({DEBTOR: RegisteredAccount("主账户", "basic", None, opening)})

    def one(**more: Any) -> tuple[str, int | None, date | None]:
        [found] = ask(journal, [route(DEBTOR)], terms=terms, **more)
        return found.source, found.balance_minor, found.as_of_day

    assert one() == ("opening balance", -300, opening[0])
    assert one(as_of=opening[0] - timedelta(days=1)) == ("", None, None)
    close(journal, DEBTOR, TODAY - timedelta(days=5), 700)
    close(journal, DEBTOR, TODAY - timedelta(days=3), 900)
    assert one() == ("closed day", 900, TODAY - timedelta(days=3))
    assert one(as_of=TODAY - timedelta(days=4)) == ("closed day", 700, TODAY - timedelta(days=5))
    told = Balance(AccountNumber(DEBTOR), book=Money(1_000), available=Money(800))
    journal.do(lambda tx: accounts.keep_balance(tx, "sample", told, "CNY"))
    [now] = ask(journal, [route(DEBTOR)], terms=terms)
    assert (now.source, now.balance_minor, now.available_minor, now.as_of_ms) == ("bank", 1_000, 800, NOW_MS)
    assert one(as_of=TODAY - timedelta(days=1)) == ("closed day", 900, TODAY - timedelta(days=3)), "not today's answer"
    asked = PositionQuestion([route(DEBTOR), route(CREDITOR)], terms, CHINA, NOW_MS)
    days = journal.read(lambda conn: position_rows.history(conn, asked, 11))
    assert [(minor, known) for _, _, minor, known in days] == [
        (0, 0),
        *[(-300, 1)] * 4,
        *[(700, 1)] * 2,
        *[(900, 1)] * 4,
    ]


def test_open_payments_stand_apart_and_known_ones_are_ahead(journal: Journal) -> None:
    waiting = journal.admit(order("AP-1", minor=100)).row
    later = journal.admit(order("AP-2", minor=40, creditor=CREDITOR)).row
    sent = journal.admit(order("AP-3", minor=7)).row
    journal.send(sent)
    doubt = journal.admit(order("AP-4", minor=3)).row
    columns = schema.payments.c
    with journal.stranger() as conn:
        for row, more in (
            (waiting, {"send_after_ms": None}),
            (later, {"send_after_ms": NOW_MS + 2 * 86_400_000}),
            (doubt, {"state": "escalated"}),
        ):
            conn.execute(update(schema.payments).where(columns.payment == row.payment).values(**more))
    journal.do(
        lambda tx: (
            tx.fresh.execute(
                schema.lanes.insert().values(lane="sample.main", epoch=1, owner="n1", expires_ms=0, serial=0)
            )
            if tx.fresh.execute(schema.lanes.select()).first() is None
            else None
        )
    )
    first, second = ask(journal, [route(DEBTOR), route(CREDITOR)])
    assert (first.waiting, first.under_way, first.in_doubt) == ((2, 140), (1, 7), (1, 3))
    assert list(first.forecast) == [DayForecast(TODAY, 100, 0), DayForecast(TODAY + timedelta(days=2), 40, 0)]
    assert (second.waiting, list(second.forecast)) == (
        (0, 0),
        [DayForecast(TODAY, 0, 100), DayForecast(TODAY + timedelta(days=2), 0, 40)],
    )
    assert [len(one.forecast) for one in ask(journal, [route(DEBTOR)], forecast_days=1)] == [1]
    [past] = ask(journal, [route(DEBTOR)], as_of=TODAY - timedelta(days=1))
    assert (past.waiting, past.in_doubt, past.forecast) == (None, None, ()), "what was open then is not known"


def test_a_thousand_accounts_at_thirteen_banks_take_a_second(small: Journal) -> None:
    routes = [route(f"00000000{number:06}", f"bank{number % 13}") for number in range(1_000)]
    terms = PositionTerms(
        {
            one.account: RegisteredAccount("", "general", routes[place // 10].account if place else None)
            for place, one in enumerate(routes)
        }
    )

    def fill(tx: Any) -> None:
        for one in routes:
            said = Statement(AccountNumber(one.account), "CNY", TODAY - timedelta(days=1), Totals(), Money(0), Money(5))
            accounts.keep_day(tx, said)
            accounts.keep_balance(tx, one.bank, Balance(AccountNumber(one.account), Money(100), Money(100)), "CNY")

    small.do(fill)
    started = time.process_time()
    found = ask(small, routes, terms=terms)
    nodes, sums = tree(found), totals(found)
    took_s = time.process_time() - started
    assert (len(nodes), nodes[0].subtotal["CNY"], len(sums)) == (1_000, 100_000, 13 + 1 + 13 + 1)
    assert took_s <= MOST_S, f"{took_s:.2f} s"
