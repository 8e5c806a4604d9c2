"""Linked payments on a whole gateway: the account is funded first and once, and persons decide about a failed order's
money."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from gateway.approvals.rows import approval_checks, approval_requests
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.payments.rows import lookup
from gateway.pools import jobs as pool_service
from gateway.pools.rows import linked_orders, linked_runs, pool_facts, pool_runs
from gateway.pools.rows.pool_moves import PoolMove
from gateway.pools.rules.plan import StayReason
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from tests.gateway.cli.control_operator import Operator
from tests.gateway.kernel.owned import own_up
from tests.gateway.pools.test_liquidity import RICH, balance, own, policy, pool_of, put, world_of

PAYEE = {"account": "0000000000000000099", "name": "示例乙公司"}
MORE = 70_000
_P = schema.payments.c
_OF_TREASURY = _P.sender == "treasury"
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
    """The executions of the bank, as payee and amount."""
    accounts = own(site)
    return [
        (
            str(accounts.index(payee)) if (payee := one.instruction.creditor_account) in accounts else "out",
            one.instruction.amount.minor,
        )
        for one in site.world.banks["sample"].ledger.executions
        if not one.refused
    ]


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
    assert [(one["direction"], one["amount"], one["state"]) for one in shown["moves"]] == [
        ("down", "700.00", "settled")
    ]


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
    found: list[tuple[int, int]] = []

    def find_under_way(tx: Tx) -> None:
        row = lookup.find(tx.fresh, "kingdee", "AP-1")
        link = None if row is None else linked_orders.find(tx.fresh, row.payment)
        assert link is not None
        leg = tx.fresh.execute(select(func.max(schema.payments.c.first_write_ms)).where(_OF_TREASURY)).scalar_one()
        found.append(linked_runs._under_way(tx, link, leg - 1))
        found.append(linked_runs._under_way(tx, link, tx.now_ms))
        found.append(linked_runs._under_way(tx, link, tx.now_ms + pool_facts.PROVEN_MS))
        tx.raw.execute(update(schema.payments).values(changed_ms=schema.payments.c.changed_ms - 20 * 3_600_000))
        own_up(tx.fresh, tx.vault, sends=False)
        found.append(linked_runs._under_way(tx, link, tx.now_ms))

    site.gateway.parts.store.write(find_under_way)
    site.world.run(1)
    absent, unclear, nothing = (MORE, 0), (0, MORE), (0, 0)
    assert found == [absent, unclear, nothing, unclear], (
        "sent after the balance was taken, settled a minute ago, long ago, and by a clock that stood 20 hours back"
    )


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
        """From now on the bank gives no balance."""

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
    """A site in which money was moved for an order that failed, and the balances are fresh."""
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
        """Refuse the first order of all, as by a limit of the sender."""
        first.append(move.order_id)
        return admit(tx, move, *more) if len(first) > 1 else pool_runs._refuse(tx, move, StayReason.REFUSED, "a limit")

    monkeypatch.setattr(pool_runs, "admit_move", refused)
    assert "asked for again" in site.no(
        409, "refused", "POST", "linked", "kingdee:AP-1", "decide", to="return", reason="x"
    )
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

        def reason_of_change(tx: Tx) -> str:
            row, request = (
                lookup.find(tx.fresh, "kingdee", "AP-1"),
                approval_requests.naming(tx.read, "kingdee", "AP-1", "AP-1"),
            )
            assert row is not None and request is not None
            return approval_checks.why_changed(tx, request, (row,), site.gateway.registry.approval_terms)

        site.gateway.parts.store.write(reason_of_change).addCallback(found.append)
        site.world.run(1)
        return found[0]

    assert why() == ""
    _, member, other, _ = own(site)
    put(site, f"pool CNY header={other} most-run=9.00 most-day=9.00; child {member} down=target:0.01")
    assert why() == "the cash pool that funds the payment is not as it was approved"


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
    """Two payments of a watched account lack the same amount, and the bank loses the second transfer: only one
    arrived."""
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
    world.banks["sample"].simbank.script.add(ScriptedFault(BankFault.DROP_BEFORE, skip=1, touch=ExchangeKind.MONEY))
    pay(site, "AP-1")
    pay(site, "AP-2", MORE, purpose="货款 2")
    world.run(3_600)
    assert [one for one in moved(site) if one[0] == "1"] == [("1", MORE)], "the second transfer was lost"
    assert [last(site, f"AP-{n}") for n in (1, 2)] == ["settled", "held"]
    world.crash()


def test_links_are_read_as_they_were_written(site: Operator) -> None:
    pay(site, "AP-1")
    found: list[Any] = []
    site.gateway.parts.store.read(lambda conn: linked_orders.in_state(conn, *linked_orders.OPEN)).addCallback(
        found.extend
    )
    site.world.run(1)
    (one,) = found
    assert (one.pool, one.member, one.state, one.run) == ("group", own(site)[1], linked_orders.LinkState.WAITING, None)


def test_an_order_that_is_cancelled_takes_its_unsent_leg_with_it(site: Operator) -> None:
    """The header's lane is paused while the order is cancelled, and goes on ten minutes later."""
    site.gateway.lanes["sample.main"].pause("test")
    pay(site, "AP-1")
    site.world.run(30)
    (one,) = linked(site)
    assert (one["state"], site.world.state(one["funding"])) == ("funding", "ready")
    site.ask("POST", "orders", "kingdee:AP-1", "cancel", reason="typo")
    site.world.run(1)
    assert [site.world.state(id) for id in ("AP-1", one["funding"])] == ["cancelled"] * 2, "in one unit"
    site.world.run(600)
    site.gateway.lanes["sample.main"].resume("test")
    site.world.run(300)
    assert (moved(site), linked(site)) == ([], []), "nothing is left that could go"


def test_an_unsent_leg_stays_while_its_lane_may_lack_sends(site: Operator) -> None:
    """The leg may be at the bank by a lost part of the journal. Once persons have let its lane go, it is withdrawn."""
    site.gateway.lanes["sample.main"].pause("test")
    pay(site, "AP-1")
    site.world.run(30)
    (one,) = linked(site)
    site.gateway.safe_mode.unread = True
    site.ask("POST", "orders", "kingdee:AP-1", "cancel", reason="typo")
    site.world.run(1)
    assert [site.world.state(id) for id in ("AP-1", one["funding"])] == ["cancelled", "ready"]
    site.gateway.safe_mode.unread = False
    site.gateway.lanes["sample.main"].resume("test")
    site.world.run(300)
    assert (site.world.state(one["funding"]), moved(site), linked(site)) == ("cancelled", [], [])


def test_a_leg_in_doubt_holds_its_order_and_the_next_one(site: Operator) -> None:
    """The bank does not have the leg and does not answer about it, so it may still carry it out."""
    _never_heard(site)
    pay(site, "AP-1")
    pay(site, "AP-2", 5_000, purpose="货款 2")
    site.world.run(60)
    legs = [site.world.state(one["funding"]) for one in linked(site) if one["funding"] is not None]
    assert legs[0] == "in_doubt"
    assert [site.world.state(one) for one in ("AP-1", "AP-2")] == ["held", "held"]
    assert "out" not in {way for way, _minor in moved(site)}, "no order has left"


def test_the_entry_of_a_leg_of_the_day_before_proves_no_leg_of_today(site: Operator) -> None:
    """Two orders have the same amount, a day apart. The first leg's entry was reported in the evening, and the second
    leg is in doubt."""
    pay(site, "AP-1")
    site.world.run(400)
    _never_heard(site)
    pay(site, "AP-2", MORE, purpose="货款 2")
    site.world.run(60)
    assert [last(site, one) for one in ("AP-1", "AP-2")] == ["settled", "held"]
    found: list[bool] = []

    def note_leg(tx: Tx) -> None:
        first, second = (link_of(tx, one) for one in ("AP-1", "AP-2"))
        leg = linked_runs._leg(tx.fresh, second)
        assert leg is not None and leg.payment is not None
        sent_ms = tx.fresh.execute(select(_P.first_write_ms).where(_P.payment == leg.payment)).scalar_one()
        before_ms = sent_ms - 86_400_000 - 60_000
        paid = linked_orders.funding_of(tx, first.payment)
        tx.fresh.execute(update(schema.payments).where(_P.payment == paid).values(first_write_ms=before_ms))
        own_up(tx.fresh, tx.vault, sends=False)
        header, member = (AccountNumber(one) for one in own(site)[:2])
        line = Line(member, "E1", Direction.CREDIT, Money(MORE), date(2026, 1, 5), counterparty_account=header)
        accounts.keep_entry(tx, "sample", line, ())
        entries = schema.statement_entries
        tx.fresh.execute(update(entries).values(seen_ms=before_ms + 8 * 3_600_000))
        # The detail vouches for the time at which the entry was told.
        row = tx.fresh.execute(select(entries)).one()
        vouched = [getattr(row, name) for name in accounts._VOUCHED]
        detail = tx.vault.seal(accounts._detail(line, vouched), accounts._detail_aad(row.line))
        tx.fresh.execute(update(entries).values(detail=detail))
        found.append(linked_runs._legs_came(tx, leg, sent_ms))
        accounts.keep_entry(tx, "sample", replace(line, bank_line_id="E2"), ())
        found.append(linked_runs._legs_came(tx, leg, sent_ms))

    site.gateway.parts.store.write(note_leg)
    site.world.run(1)
    assert found == [False, True]


def link_of(tx: Tx, id: str) -> linked_orders.LinkedOrder:
    row = lookup.find(tx.fresh, "kingdee", id)
    link = None if row is None else linked_orders.find(tx.fresh, row.payment)
    assert link is not None
    return link


def _never_heard(site: Operator) -> None:
    """The bank gets neither the next order to move money nor the questions about it."""
    script = site.world.banks["sample"].simbank.script
    script.add(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY))
    for _ in range(20):
        script.add(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY))


def test_a_leg_in_doubt_outlives_its_cancelled_order_and_its_money_is_decided(site: Operator) -> None:
    site.world.banks["sample"].simbank.script.add(ScriptedFault(BankFault.DROP_AFTER, touch=ExchangeKind.MONEY))
    site.world.banks["sample"].simbank.script.add(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY))
    pay(site, "AP-1")
    site.world.run(21)
    (one,) = linked(site)
    assert site.world.state(one["funding"]) == "in_doubt"
    site.ask("POST", "orders", "kingdee:AP-1", "cancel", reason="typo")
    site.world.run(1)
    assert site.world.state(one["funding"]) == "in_doubt", "it may have left"
    site.world.run(300)
    assert [(one["state"], one["order_state"]) for one in linked(site)] == [("undecided", "cancelled")]
    assert moved(site) == [("1", MORE)]


def test_orders_that_are_never_funded_keep_no_other_waiting(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job examines three links in a round in this test, so that four orders stand for a thousand."""
    monkeypatch.setattr(pool_service, "LINKS_A_LOOK", 3)
    for n in range(4):
        pay(site, f"BIG-{n}", 3 * RICH + n)
    pay(site, "AP-1", n=2)
    site.world.run(180)
    assert {last(site, f"BIG-{n}") for n in range(4)} == {"held"}
    assert last(site, "AP-1") == "settled" and moved(site) == [("2", MORE), ("out", RICH + MORE)]
