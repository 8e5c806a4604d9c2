"""The events about the matching: each is sent once, when something has changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import Statement, Totals, line_id
from tests.gateway.reconciliation.test_treasury_commands import doing, world
from tests.world.world import World

LOOK_S = 310


def close(made: World, day: date) -> None:
    said = Statement(AccountNumber(made.bank.account), "CNY", day, Totals(), Money(0), Money(0))
    doing(made, lambda tx: accounts.keep_day(tx, said))


def heard(made: World, verb: str) -> list[dict[str, Any]]:
    return [one for one in made.events if one["event"] == f"reconciliation.{verb}"]


def test_matches_exceptions_and_closed_days_are_told_once(tmp_path: Path) -> None:
    made = world(tmp_path)
    for n in (1, 2):
        made.submit(f"AP-{n}", 100 * n)
    made.run(5)
    today = datetime.fromtimestamp(made.clock.seconds(), UTC).date()
    paid = made.bank.ledger.executions[0].instruction
    line = Line(
        AccountNumber(made.bank.account),
        "S-1",
        Direction.DEBIT,
        Money(paid.amount.minor),
        today,
        reference=paid.reference,
    )
    doing(made, lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    made.run(LOOK_S)
    assert not heard(made, "matched"), "no day is closed"
    close(made, today)
    made.run(LOOK_S)
    (matched,) = heard(made, "matched")
    payments = {one["id"]: one["payment"] for one in made.events if one["event"] == "payment.settled"}
    assert matched["payments"] == [payments["AP-1"]] and matched["lines"] == [line_id(line)]
    assert [(one["matched"], one["open_payments"]) for one in heard(made, "completed")] == [(1, 1)]
    assert not heard(made, "exception"), "the bank may book it later"
    made.run(LOOK_S)
    assert len(heard(made, "matched")) == len(heard(made, "completed")) == 1, "nothing has changed"
    close(made, today + timedelta(days=20))
    made.run(LOOK_S)
    (missing,) = heard(made, "exception")
    assert missing["matching"] == "A" and missing["row"]["id"] == f"payment:{payments['AP-2']}"
    assert missing["row"]["reason"] == "payment_without_entry" and len(heard(made, "matched")) == 1
    assert len(heard(made, "completed")) == 2
    made.leave()
    made.start()
    made.run(LOOK_S)
    assert len(heard(made, "exception")) == len(heard(made, "matched")) == 1
