"""Rule `funding`."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.kernel.commit.lane_releases import MAY_LACK_SENDS
from gateway.kernel.commit.ports import NO_PORTS
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.gate import PASS, Hold, Refuse
from gateway.pools.gates.funding import FundingAtRelease, FundingRule
from gateway.pools.rows import linked_orders
from protocols.canon.errors import Fault, FieldCode
from protocols.canon.outcome import State
from tests.gateway.gates.facts import at_admission, at_release, row
from tests.protocols.erp.orders import ORDER

LINKED = replace(ORDER, funded_by="pool1")


@pytest.mark.parametrize("fault", [None, Fault("/funded_by", FieldCode.UNKNOWN_CODE, "there is no such pool in force")])
def test_an_order_waits_for_a_pool_that_can_fund_it(monkeypatch: pytest.MonkeyPatch, fault: Fault | None) -> None:
    monkeypatch.setattr(linked_orders, "fault_of", lambda _tx, _order, _may_use: fault)
    wanted = Hold("funding") if fault is None else Refuse("validation", faults=(fault,))
    assert FundingRule().judge(at_admission(made=LINKED)) == wanted
    assert FundingRule().judge(at_admission()) is PASS, "it names no pool"


def test_a_held_order_is_noted_and_a_refused_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(linked_orders, "begin", lambda _tx, one: begun.append(one.payment))
    made = [
        row(State.HELD, payment="A", order=LINKED, holds=("funding",)),
        row(State.REJECTED, payment="B", order=LINKED),
        row(payment="C"),
    ]
    FundingRule().enter(at_admission().command, made)
    assert begun == ["A"]


@pytest.mark.parametrize(
    ("leg", "lacking", "withdrawn"),
    [
        (row(payment="L"), "", ("L",)),
        (row(payment="L"), "sample.other", ("L",)),
        (row(payment="L"), "sample.main", ()),
        (row(payment="L", first_write_ms=5), "", ()),
        (row(State.SENDING, payment="L"), "", ()),
        (None, "", ()),
    ],
)
def test_an_unsent_leg_ends_with_its_order(
    monkeypatch: pytest.MonkeyPatch, leg: PaymentRow | None, lacking: str, withdrawn: tuple[str, ...]
) -> None:
    monkeypatch.setattr(linked_orders, "funding_of", lambda _tx, _payment: leg and leg.payment)
    ports = NO_PORTS.filled(MAY_LACK_SENDS, lambda lane: lane == lacking)
    tx: Any = SimpleNamespace(raw=None, vault=None, payment_cache=SimpleNamespace(afresh=lambda *_: leg), ports=ports)
    before, after = row(State.HELD, order=LINKED), row(State.CANCELLED, order=LINKED)
    assert FundingRule().ended(tx, before, after, "x") == withdrawn
    assert FundingRule().ended(tx, replace(before, life=row(State.SENDING).life), after, "x") == ()


def test_at_a_release_a_person_may_let_it_go_without() -> None:
    assert FundingAtRelease().judge(at_release(("funding", "approval"), ("approval",))) == Hold("funding")
    assert FundingAtRelease().judge(at_release(("funding",), ("funding",))) is PASS
