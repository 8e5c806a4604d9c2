"""Every order that intake accepts can be written: none is accepted and then found not to fit the bank's form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import Sign, Submit
from protocols.canon.order import AnyOrder, Bundle, Channel, Item, Kind, Urgency
from protocols.canon.party import Name, Party, PartyKind
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import EVERY, Table, bundled, kinds, table

ALL = [(name, kind) for name in EVERY for kind in sorted({*kinds(name), *bundled(name)})]
OTHERS_BANKS = (None, "示例银行某支行", "银" * 60)
NUMBERS = (None, "102100099996", "12")
NAMES = ("示例乙", "长" * 40, "", "A&B <公司>", "𬭎")
PURPOSES = ("", "货款", "用" * 60)


def variants(made: Table, kind: Kind) -> Iterator[AnyOrder]:
    """Orders of a kind in the variants that an ERP may write, the shortest first."""
    usual = made.order(kind)
    theirs = "debtor" if kind is Kind.COLLECTION else "creditor"
    ours = "creditor" if kind is Kind.COLLECTION else "debtor"
    own: Party = replace(getattr(usual, ours), bank_name=None, cnaps=None)
    other: Party = getattr(usual, theirs)
    people = (PartyKind.PERSON, PartyKind.CORPORATE)
    for bank_name, cnaps, name, who in product(OTHERS_BANKS, NUMBERS, NAMES, people):
        party = replace(other, bank_name=bank_name, cnaps=cnaps, name=Name(name), kind=who)
        yield _order(usual, {ours: own, theirs: party})
    for purpose, channel, urgency in product(PURPOSES, Channel, Urgency):
        yield _order(usual, {ours: own, "purpose": purpose, "channel": channel, "urgency": urgency})


def nameless(party: Party) -> Party:
    """The party without any name or number of its bank."""
    return replace(party, bank_name=None, cnaps=None)


def route_of(made: Table) -> Route:
    """The facts about the bank that intake uses."""
    profile, name = made.bank.profile, made.name
    return Route(
        made.own[0],
        "demo",
        name,
        f"{name}.main",
        "CNY",
        profile.limits,
        frozenset(Kind),
        kind_limits=profile.kind_limits,
    )


def _order(usual: AnyOrder, changes: dict[str, Any]) -> AnyOrder:
    changed: Any = usual
    made: AnyOrder = replace(changed, **changes)
    return made


def written(made: Table, order: AnyOrder) -> None:
    """Run the conversation up to its Submit. Raises ProtocolError if the order cannot be written."""
    context = made.stage.context(made.reference())
    bundles = made.bank.bundles.get(order.kind)
    bundle = Bundle(order.kind, (Item(order, made.reference()),))
    talk: Any = made.bank.money[order.kind](order, context) if bundles is None else bundles.word(bundle, context)
    try:
        step = next(talk)
        while not isinstance(step, Submit):
            signs = isinstance(step, Sign)
            step = talk.send(
                made.stage.signers[step.key](step.octets) if signs else made.stage.exchange(step.port, step.data)
            )
    finally:
        talk.close()


@pytest.mark.parametrize(("name", "kind"), ALL, ids=str)
def test_what_intake_lets_through_can_be_written(name: str, kind: Kind) -> None:
    made, let_through, refused = table(name), 0, 0
    route = route_of(made)
    for order in variants(made, kind):
        if check(order, route, made.today):
            refused += 1
            continue
        let_through += 1
        try:
            written(made, order)
        except ProtocolError as error:
            pytest.fail(f"taken in, and then: {error}\n{order}")
    assert let_through and refused


@pytest.mark.parametrize(("name", "kind"), ALL, ids=str)
def test_the_barest_order_of_each_kind_is_let_through(name: str, kind: Kind) -> None:
    """A transfer or a payroll line need not name a bank: it then goes to this bank."""
    made = table(name)
    route = route_of(made)
    if kind not in (Kind.TRANSFER, Kind.PAYROLL_ITEM):
        assert not check(made.order(kind), route, made.today)
        return
    usual: Any = made.order(kind)
    bare = replace(usual, debtor=nameless(usual.debtor), creditor=nameless(usual.creditor))
    assert not check(bare, route, made.today)
    written(made, bare)
