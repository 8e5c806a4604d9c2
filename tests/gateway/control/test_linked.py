"""Linked payments on a whole gateway: the account is funded first, once, and what came for a failed one is decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_checks, linked_orders, lookup
from gateway.journal.payments.pool_moves import PoolMove
from gateway.journal.people import approval_requests
from gateway.journal.sql import schema
from gateway.simbank.faults import BankFault, Scripted, Touch
from gateway.treasury import linked_runs, pool_facts, pool_runs, pool_service
from gateway.treasury.liquidity.plan import StayReason
from tests.gateway.cli.control_operator import Operator
from tests.gateway.control.test_liquidity import RICH, balance, own, policy, pool_of, put, world_of

PAYEE = {"account": "0000000000000000099", "name": "示例乙公司"}
MORE = 70_000
"""So much more than the member has is paid."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Operator]:
    world = world_of(tmp_path)
    operator = Operator(world)
    put(operator, pool_of(operator, "down=target:0.01", "up=keep:1000.00"))
    yield operator
    if world.life is not None:
        world.crash()


def pay(site: Operator, id: str, minor: int = RICH + MORE, n: int = 1, **more: Any) -> None:
    payer = {"account": own(site)[n], "name": "示例甲公司"}
    site.world.submit(id, minor, bank="sample", debtor=payer, **{"funded_by": "group", **more})
    site.world.run(1)


def worklist(site: Operator) -> list[Any]:
    return next(one["rows"] for one in site.ask("GET", "worklists")["lists"] if one["list"] == "linked")


def last(site: Operator, id: str) -> Any:
    return site.world.last(id)["state"]


def linked(site: Operator) -> list[Any]:
    return list(site.ask("GET", "linked")["linked"])


def moved(site: Operator) -> list[tuple[str, int]]:
    """What the bank carried out: the payee, and how much."""
    accounts = own(site)
    return [(str(accounts.index(payee)) if (payee := one.instruction.creditor_account) in accounts else "out",
             one.instruction.amount.minor)
            for one in site.world.banks["sample"].ledger.executions if not one.refused]  # fmt: skip


def test_what_the_account_lacks_comes_first_and_then_the_payment_goes(site: Operator) -> None:
    pay(site, "AP-1")
    said = site.world.last("AP-1")
    assert (said["state"], said["hold_reasons"]) == ("held", ["funding"])
    site.world.run(120)
    assert last(site, "AP-1") == "settled"
    assert moved(site) == [("1", MORE), ("out", RICH + MORE)]
    assert [balance(site, n) for n in (0, 1)] == [RICH - MORE, 0]
    assert linked(site) == []
    (run,) = site.ask("GET", "liquidity", "group")["runs"]
    shown = site.ask("GET", "liquidity-runs", run["run"])
    assert [(one["direction"], one["amount"], one["state"]) for one in shown["moves"]] == [("down", "700.00", "settled")]


def test_an_account_that_has_enough_is_not_funded(site: Operator) -> None:
    pay(site, "AP-1", 5_000)
    site.world.run(60)
    assert (last(site, "AP-1"), moved(site)) == ("settled", [("out", 5_000)])


def test_shortfalls_are_reserved_one_after_the_other(site: Operator) -> None:
    for n, minor in enumerate((RICH, 30_000, 20_000), 1):
        pay(site, f"AP-{n}", minor, purpose=f"货款 {n}")
    site.world.run(60)
    assert [last(site, f"AP-{n}") for n in (1, 2, 3)] == ["settled", "held", "held"], "AP-1 may not be in the balance"
    site.world.run(400)
    assert [last(site, f"AP-{n}") for n in (1, 2, 3)] == ["settled"] * 3
    assert sorted(one for one in moved(site) if one[0] == "1") == [("1", 20_000), ("1", 30_000)]
    assert [balance(site, n) for n in (0, 1)] == [RICH - 50_000, 0]


def test_a_leg_that_ended_while_a_clock_was_set_back_is_still_under_way(site: Operator) -> None:
    pay(site, "AP-1")
    site.world.run(120)
    found: list[int] = []

    def unit(tx: Tx) -> None:
        row = lookup.find(tx.fresh, "kingdee", "AP-1")
        link = None if row is None else linked_orders.find(tx.fresh, row.payment)
        assert link is not None
        found.append(linked_runs._under_way(tx, link, tx.now_ms))
        found.append(linked_runs._under_way(tx, link, tx.now_ms + pool_facts.PROVEN_MS))
        tx.raw.execute(update(schema.payments).values(changed_ms=schema.payments.c.changed_ms - 20 * 3_600_000))
        found.append(linked_runs._under_way(tx, link, tx.now_ms))

    site.gateway.parts.store.write(unit)
    site.world.run(1)
    assert found == [MORE, 0, MORE], "settled a minute ago, long ago, and by a clock that stood 20 hours back"


@pytest.mark.parametrize(("pool", "n", "word"), [("other", 1, "no such pool"), ("group", 3, "no child of this pool")])
def test_a_pool_that_cannot_fund_it_is_refused_at_once(site: Operator, pool: str, n: int, word: str) -> None:
    pay(site, "AP-1", 5_000, n, funded_by=pool)
    said = site.world.last("AP-1")["error"]
    assert said["code"] == "validation" and "/funded_by" in str(said) and word in str(said)


def test_nothing_is_funded_that_would_miss_its_cut_off(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linked_runs, "in_time", lambda *_: False)
    pay(site, "AP-1")
    site.world.run(90)
    assert (last(site, "AP-1"), moved(site)) == ("held", [])
    (one,) = linked(site)
    assert (one["state"], "cut-off" in one["why"]) == ("waiting", True)
    (row,) = worklist(site)
    assert "cut-off" in row["why"]
    monkeypatch.undo()
    site.world.run(120)
    assert last(site, "AP-1") == "settled"


def test_a_header_that_is_short_funds_nothing(site: Operator) -> None:
    pay(site, "AP-1", 3 * RICH)
    site.world.run(90)
    assert (last(site, "AP-1"), moved(site)) == ("held", [])
    assert "header" in linked(site)[0]["why"]


def test_leg_2_waits_for_the_balance_whatever_leg_1_is(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = pool_service.PoolService._ask_balance

    async def silent(_self: Any, _account: str) -> None:
        """The bank tells no balance any more."""

    pay(site, "AP-1")
    site.world.run(25)
    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", silent)
    site.world.run(120)
    (one,) = linked(site)
    assert site.world.last(one["funding"])["state"] == "settled"
    assert (last(site, "AP-1"), one["state"]) == ("held", "funding")
    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", heard)
    site.world.run(60)
    assert last(site, "AP-1") == "settled"


@pytest.mark.parametrize("to", ["return", "stay"])
def test_what_came_for_a_payment_that_failed_is_decided_once(site: Operator, to: str) -> None:
    pay(site, "AP-1", purpose="货款 #refuse")
    site.world.run(120)
    assert last(site, "AP-1") == "failed" and moved(site) == [("1", MORE)]
    (row,) = worklist(site)
    assert row["why"] == "the order is failed" and "bankgw liquidity return" in row["next"]
    site.no(400, "bad_choice", "POST", "linked", "kingdee:AP-1", "decide", to="keep", reason="x")
    site.ask("GET", "liquidity", "group", "preview")
    site.ask("POST", "linked", "kingdee:AP-1", "decide", to=to, reason="the payee has closed the account")
    site.no(409, "not_now", "POST", "linked", "kingdee:AP-1", "decide", to=to, reason="again")
    site.world.run(60)
    assert moved(site) == [("1", MORE), *([("0", MORE)] if to == "return" else [])]
    assert linked(site) == [] and sum(balance(site, n) for n in (0, 1)) == 2 * RICH


def failed(site: Operator) -> None:
    """The money came for an order that failed, and the balances are fresh."""
    pay(site, "AP-1", purpose="货款 #refuse")
    site.world.run(120)
    site.ask("GET", "liquidity", "group", "preview")


def send_back(site: Operator) -> str:
    said = site.ask("POST", "linked", "kingdee:AP-1", "decide", to="return", reason="the payee has closed the account")
    site.world.run(60)
    return str(said["payment"])


def test_a_return_that_the_bank_refuses_is_asked_for_again_under_a_new_reference(site: Operator) -> None:
    books = site.world.banks["sample"].ledger
    failed(site)
    fine, books.conduct = books.conduct, replace(books.conduct, refuse_share=1.0)
    first = send_back(site)
    (one,), (row,) = linked(site), worklist(site)
    assert (one["state"], row["why"]) == ("undecided", "the order that brings it back is failed")
    assert "bankgw liquidity return" in row["next"]
    books.conduct = fine
    site.ask("GET", "liquidity", "group", "preview")
    assert send_back(site) != first
    assert moved(site) == [("1", MORE), ("0", MORE)] and linked(site) == []
    asked = [one.instruction.reference for one in books.executions if one.instruction.creditor_account == own(site)[0]]
    assert len(set(asked)) == len(asked) == 2, "refused and carried out under references of their own"
    site.no(409, "not_now", "POST", "linked", "kingdee:AP-1", "decide", to="return", reason="again")
    assert [balance(site, n) for n in (0, 1)] == [RICH, RICH]


def test_a_return_that_admission_refuses_is_asked_for_again(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(site)
    admit, first = pool_runs.admit_move, []

    def refused(tx: Tx, move: PoolMove, *more: Any) -> Any:
        """The first order of all is refused, as by a limit of the sender."""
        first.append(move.order_id)
        return admit(tx, move, *more) if len(first) > 1 else pool_runs._refuse(tx, move, StayReason.REFUSED, "a limit")

    monkeypatch.setattr(pool_runs, "admit_move", refused)
    assert "asked for again" in site.no(409, "refused", "POST", "linked", "kingdee:AP-1", "decide", to="return", reason="x")
    send_back(site)
    assert len(set(first)) == 2 and moved(site) == [("1", MORE), ("0", MORE)]


def test_a_return_that_comes_back_after_it_was_settled_is_decided_again(tmp_path: Path) -> None:
    site = Operator(world_of(tmp_path, banks={"sample": {"most_repeats": 0, "returns_every_s": 30.0}}))
    put(site, pool_of(site, "down=target:0.01"))
    books = site.world.banks["sample"].ledger
    failed(site)
    books.conduct = replace(books.conduct, return_share=1.0, return_s=70.0)
    send_back(site)
    assert linked(site) == []
    site.world.run(120)
    (one,) = linked(site)
    assert (one["state"], one["why"]) == ("undecided", "the order that brings it back is returned")
    site.world.crash()


def test_a_withdrawn_order_whose_money_came_is_decided_too(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linked_runs, "_let_go", lambda *_: None)
    pay(site, "AP-1")
    site.world.run(60)
    site.ask("POST", "orders", "kingdee:AP-1", "cancel", reason="typo")
    site.world.run(60)
    assert [(one["state"], one["order_state"]) for one in linked(site)] == [("undecided", "cancelled")]


def test_one_approval_covers_both_legs_and_says_so(site: Operator) -> None:
    policy(site, "CNY 0.. 1")
    pay(site, "AP-1")
    assert site.world.last("AP-1")["hold_reasons"] == ["approval", "funding"]
    site.world.run(90)
    assert moved(site) == [], "nothing begins before the order is approved"
    (waits,) = site.ask("GET", "approvals")["approvals"]
    words = site.ask("GET", "approvals", waits["request"])["words"]["en"]
    header, member = own(site)[:2]
    assert f"from {header} to {member} by pool group" in words
    put(site, pool_of(site, "down=target:0.02"))
    shown = site.ask("GET", "approvals", waits["request"])
    assert shown["digest"] == waits["digest"], "the header is the same"


def test_an_approval_is_void_once_another_header_would_fund_it(site: Operator) -> None:
    policy(site, "CNY 0.. 1")
    pay(site, "AP-1")

    def why() -> str:
        found: list[str] = []

        def unit(tx: Tx) -> str:
            row, request = (lookup.find(tx.fresh, "kingdee", "AP-1"),
                            approval_requests.naming(tx.read, "kingdee", "AP-1", "AP-1"))  # fmt: skip
            assert row is not None and request is not None
            return approval_checks.why_changed(tx, request, (row,), site.gateway.registry.approval_terms)

        site.gateway.parts.store.write(unit).addCallback(found.append)
        site.world.run(1)
        return found[0]

    assert why() == ""
    _, member, other, _ = own(site)
    put(site, f"pool CNY header={other} most-run=9.00 most-day=9.00; child {member} down=target:0.01")
    assert why() == "the pool that funds it is not as it was approved"


@pytest.mark.parametrize("after_s", [1, 21, 22, 24, 41, 42, 44])
def test_a_gateway_that_dies_moves_nothing_twice(site: Operator, after_s: int) -> None:
    pay(site, "AP-1")
    pay(site, "AP-2", MORE, purpose="货款 2")
    site.world.run(after_s)
    for _ in range(3):
        site.world.crash()
        site.world.start()
        site.world.run(7)
    site.world.run(700)
    assert [last(site, f"AP-{n}") for n in (1, 2)] == ["settled"] * 2
    assert sorted(one for one in moved(site) if one[0] == "out") == [("out", MORE), ("out", RICH + MORE)]
    assert sum(minor for where, minor in moved(site) if where == "1") == 2 * MORE
    assert site.world.banks["sample"].ledger.doubles() == []
    assert [balance(site, n) for n in (0, 1)] == [RICH - 2 * MORE, 0]


def test_the_entry_of_one_leg_lets_no_other_payment_go(tmp_path: Path) -> None:
    """Two payments of a watched account lack the same amount, and the bank loses the second transfer: one came."""
    world = world_of(tmp_path, accounts=4)
    world.crash()
    accounts = [dict(one) for one in world.settings.model_dump(mode="json")["accounts"]]
    for one in accounts:
        one["watch"] = True
    world._changes = {**world._changes, "accounts": accounts}
    world.settings = world._settings()
    world.start()
    world.run(2)
    site = Operator(world)
    put(site, pool_of(site, "down=target:0.01", "up=keep:1000.00"))
    world.banks["sample"].simbank.script.add(Scripted(BankFault.DROP_BEFORE, skip=1, touch=Touch.MONEY))
    pay(site, "AP-1")
    pay(site, "AP-2", MORE, purpose="货款 2")
    world.run(3_600)
    assert [one for one in moved(site) if one[0] == "1"] == [("1", MORE)], "the second transfer was lost"
    assert [last(site, f"AP-{n}") for n in (1, 2)] == ["settled", "held"]
    world.crash()


def test_links_are_read_as_they_were_written(site: Operator) -> None:
    pay(site, "AP-1")
    found: list[Any] = []
    site.gateway.parts.store.read(lambda conn: linked_orders.in_state(conn, *linked_orders.OPEN)).addCallback(found.extend)
    site.world.run(1)
    (one,) = found
    assert (one.pool, one.member, one.state, one.run) == ("group", own(site)[1], linked_orders.LinkState.WAITING, None)
