"""Outgoing bytes match what approvers signed: an adapter that writes another payee, account or amount sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals.rules.approval_digest import ApprovalLine
from gateway.bank.gates.approved_bytes import ApprovedBytes, not_as_approved
from gateway.payments.rows import lookup
from protocols.bank import Bank
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.party import AccountNumber
from tests.gateway.approvals.test_approval_acts import approve, executions, key_of
from tests.gateway.approvals.test_approval_holds import BANDS, OVER, submit
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, ZHAO, enrol
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in
from tests.world.batching import batch, states
from tests.world.lines import events, lines
from tests.world.world import World

Lie = Callable[[AnyOrder], AnyOrder]


def another_payee(order: AnyOrder) -> AnyOrder:
    return replace(order, creditor=replace(order.creditor, account=AccountNumber("0000000000000000666")))


def another_amount(order: AnyOrder) -> AnyOrder:
    return replace(order, amount=Money(order.amount.minor + 1))


def lying(lie: Lie) -> Callable[[Bank], Bank]:
    """The bank's adapter with a defect: the bytes it writes are not those of the order."""

    def changed(bank: Bank) -> Bank:
        pay, together = bank.money[Kind.PAYMENT], bank.bundles[Kind.BATCH_ITEM]

        def many(bundle: Any, context: Any) -> Any:
            first, *rest = bundle.items
            return together.word(replace(bundle, items=(replace(first, order=lie(first.order)), *rest)), context)

        return replace(
            bank,
            money={**bank.money, Kind.PAYMENT: lambda order, context: pay(lie(order), context)},
            bundles={**bank.bundles, Kind.BATCH_ITEM: replace(together, word=many)},
        )

    return changed


@pytest.fixture(params=[another_payee, another_amount])
def operator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operator]:
    world = World(tmp_path, accounts=2)
    world.adapters = {"sample": lying(request.param)}
    world.start()
    world.run(1)
    made = Operator(world)
    enrol(made, WANG, LI)
    made.ask("POST", "ceremony", security_admin="wang", system_admin="li", reason="minutes")
    for one, roles in ((ZHAO, "maker@*"), (SUN, "approver@*"), (QIAN, "approver@*")):
        let_in(made, one, roles)
    decide(made, "policy", "approvals", BANDS)
    yield made
    if world.life is not None:
        world.crash()


def test_what_is_not_as_approved_is_held_and_not_sent(operator: Operator) -> None:
    submit(operator, "AP-1", OVER, maker="zhao")
    with lines() as heard:
        approve(operator, SUN, key_of(operator, "AP-1"))
    [line] = events(heard, "bytes.not_as_approved")
    assert line["log_level"] == "error" and "nothing was sent" in line["action"]
    told = operator.world.last("AP-1")
    assert (told["state"], told["hold_reasons"]) == ("held", ["cannot_be_prepared"])
    assert "order.not_as_approved" in [entry for _actor, entry in operator.trail(str(told["payment"]))]
    operator.world.command("batch.submit", batch(operator.world, "B-1", [OVER, OVER + 1], maker="zhao"))
    operator.world.run(3)
    approve(operator, SUN, key_of(operator, "B-1"))
    assert states(operator.world, "B-1") == ["held", "held"] and executions(operator) == 0


def test_the_gate_compares_in_the_turn_of_the_write(operator: Operator) -> None:
    """The bytes are right when they are written down, and different at the write."""
    gate = operator.gateway.lanes["sample.main"].gate
    submit(operator, "AP-1", 1, maker="zhao")
    line = ApprovalLine("AP-1", "1", "示例", "2", "", "", 1, "CNY", "")
    said: list[Any] = []
    operator.gateway.parts.store.read(lambda conn: lookup.find(conn, "kingdee", "AP-1")).addBoth(said.append)
    operator.world.run(0.1)
    row, clock = said[0], operator.gateway.parts.clock
    epoch = operator.gateway.lanes["sample.main"].epoch
    refused = gate.refusal(
        [replace(row, epoch=epoch)],
        [],
        clock.monotonic_s(),
        date(2026, 11, 24),
        ApprovedBytes(b"00000000<x/>", (line,)),
    )
    assert refused == "not_as_approved"
    assert "cannot be read back" in not_as_approved("sample", [row], ApprovedBytes(b"00000000<x/>", (line,)))
    assert not_as_approved("a bank that is not read back", [row], ApprovedBytes(b"", (line,))) == ""
