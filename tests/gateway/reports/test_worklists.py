"""Work lists: the items that wait for a person, each row with one next step, within the caller's scope."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from gateway.kernel.sql import schema
from gateway.reports.act_answers.worklists import LISTS
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import line_id
from tests.gateway.cli.control_operator import Operator
from tests.gateway.kernel.owned import own_up
from tests.world.batching import SENDER, batch
from tests.world.world import World

DAY_S = 86_400


def doing(made: World, unit: Any) -> Any:
    done: list[Any] = []
    assert made.life is not None
    made.life.gateway.parts.store.write(unit).addBoth(done.append)
    made.run(1)
    return done[0]


def lists(made: World, **query: str) -> dict[str, Any]:
    said = Operator(made).ask("GET", "worklists", query=query)
    return {one["list"]: one["rows"] for one in said["lists"]}


def test_each_list_has_its_rows_and_a_next_step(tmp_path: Path) -> None:
    made = World(tmp_path, sender=SENDER, settings={"receipts": {"after_s": 0.0}})
    made.start()
    made.run(3)
    assert lists(made) == {name: [] for name in LISTS}
    for n in range(4):
        made.submit(f"AP-{n}", 100 + n)
    made.command("payroll.submit", {**batch(made, "P-1", [10_000]), "agreement": "DF-1"})
    made.run(10)
    line = Line(AccountNumber(made.bank.account), "S-1", Direction.CREDIT, Money(777), date(2026, 11, 10), text="来款")
    doing(made, lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    for order, state in (("AP-0", "returned"), ("AP-1", "escalated"), ("P-1-1", "failed")):
        doing(
            made,
            lambda tx, order=order, state=state: tx.fresh.exec_driver_sql(
                f"update payments set state = '{state}' where order_id = '{order}'"
            ),
        )
    doing(made, lambda tx: own_up(tx.fresh, tx.vault, sends=False))
    search = {
        "payment": "x",
        "lane": "sample.main",
        "bank_date": "2026-11-01",
        "state": "waiting",
        "due_ms": 1,
        "since_ms": round(made.clock.seconds() * 1000) - 5 * 86_400_000,
        "tries": 4,
        "code": "R7",
    }

    def missing(tx: Any) -> None:
        key = tx.fresh.exec_driver_sql("select payment from payments where order_id = 'AP-2'").scalar()
        row = {**search, "payment": key, "account_idx": tx.vault.blind(made.bank.account)}
        tx.fresh.execute(schema.receipt_searches.delete())
        tx.fresh.execute(schema.receipt_searches.insert(), row)

    doing(made, missing)
    found = lists(made)
    (returned,), (escalated,), (item,) = found["returned"], found["escalated"], found["payroll"]
    assert returned["what"].endswith(":AP-0") and "new id" in returned["next"]
    assert escalated["what"].endswith(":AP-1") and "resolve" in escalated["next"] and item["what"].endswith(":P-1-1")
    (unclaimed,) = found["unclaimed"]
    assert (unclaimed["key"], unclaimed["amount"]) == (line_id(line), "7.77") and "credit.claim" in unclaimed["next"]
    (receipt,) = found["receipts-missing"]
    assert receipt["what"].endswith(":AP-2") and f"receipts none {receipt['key']}" in receipt["next"]
    for rows in found.values():
        assert all(row["next"] and made.bank.account not in str(row) for row in rows)
    assert lists(made, list="returned").keys() == {"returned"}
    assert lists(made, bank="pab") == {name: [] for name in LISTS}
    Operator(made).no(404, "no_such_list", "GET", "worklists", query={"list": "x"})
