"""Every fault of an order at once, over all layers: the form of its fields, the register of accounts, the bank's
limits, the sender's limits. Nothing here admits or counts anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import tzinfo

from gateway.kernel.commit.store import Tx
from gateway.kernel.core import gate, policy
from gateway.kernel.core.gate import Refuse
from gateway.kernel.core.policy import Route
from gateway.payments.erp.command import ReceivedCommand
from gateway.payments.gates.lists import FUNDING, LISTS
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.payments.rows import batches, order_checks
from gateway.payments.rows.limits import OrderClaim
from protocols.canon.errors import Code, Fault, Refusal
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder
from protocols.erp.faults import MAX_FAULTS
from protocols.erp.sound_part import may_stand, sound_part
from protocols.erp.words import SubmitBatch


def with_register_faults(received: ReceivedCommand, tx: Tx, refusal: Refusal, zone: tzinfo) -> Refusal:
    """The refusal of a body for its form, with the faults that its sound fields have besides, at most MAX_FAULTS."""
    if refusal.code is not Code.SCHEMA:
        return refusal
    delivery = received.delivery
    command = sound_part(received.type, delivery.properties.content_type, delivery.body, zone)
    if command is None:
        return refusal
    if isinstance(command, SubmitBatch):
        found = batch_faults(received, tx, command)
    else:
        found = order_faults(received, tx, command.order)
    more = may_stand(found, refusal.faults)
    if not more:
        return refusal
    many = "1 other field" if len(more) == 1 else f"{len(more)} other fields"
    title = f"{refusal.title}; {many} cannot be sent"
    return replace(refusal, title=title, faults=(refusal.faults + more)[:MAX_FAULTS])


def order_faults(received: ReceivedCommand, tx: Tx, order: AnyOrder) -> tuple[Fault, ...]:
    """All faults of one order: its account, the bank's limits, and what the rules of admission refuse."""
    route = order_checks.account_route(received.source, order)
    if isinstance(route, Refusal):
        return route.faults
    late = order_checks.expired(received.source, order)
    return _faults_of(received, tx, order, route) + (() if late is None else late.faults)


def batch_faults(received: ReceivedCommand, tx: Tx, command: SubmitBatch) -> tuple[Fault, ...]:
    """All faults of a batch: those of its head, of its sum, and of each item."""
    first = command.orders[0]
    route = order_checks.account_route(received.source, first)
    if isinstance(route, Refusal):
        return route.faults
    late = order_checks.expired(received.source, first)
    of_head = () if late is None else late.faults
    total = Money(command.sum_minor, first.amount.currency)
    of_sum = policy.batch_faults(total, received.sender.allowance)
    per_item = {number: _faults_of(received, tx, order, route) for number, order in enumerate(command.orders)}
    return (*of_head, *of_sum, *batches.at_items(command.kind, per_item))[:MAX_FAULTS]


def _faults_of(received: ReceivedCommand, tx: Tx, order: AnyOrder, route: Route) -> tuple[Fault, ...]:
    of_bank = policy.check(order, route, received.day) + order_checks.transfer_faults(received.source, order)
    return of_bank + tuple(rule_faults(received, tx, order, route))


def rule_faults(received: ReceivedCommand, tx: Tx, order: AnyOrder, route: Route) -> Iterator[Fault]:
    """The faults for which the rules of admission would refuse the order now."""
    asked = order_checks.admission(received.source, order, route)
    claim = OrderClaim(tx, asked.sender, order, asked.day, asked.dup_key, asked.alike_since_ms)
    usage = claim.usage_facts()
    if isinstance(usage, str):
        return
    command = CommandFacts(tx, asked.sender, asked.approval, counts=False)
    facts = OrderFacts(command, asked.made, asked.day, asked.terms, usage)
    yield from judged(facts)[0]


def judged(order: OrderFacts) -> tuple[tuple[Fault, ...], set[str]]:
    """The verdict of the rules of admission on an order that is not counted: all faults, and the reasons to hold it."""
    faults: tuple[Fault, ...] = ()
    holds: set[str] = set()
    lists = order.tx.ports.of(LISTS)
    for rule in (*lists.of_order, *lists.of_command):
        against = gate.ask(rule, order)
        if against is None:
            continue
        if isinstance(against, Refuse):
            faults += against.faults
        else:
            holds.add(against.reason)
        # Tell whether approvers are needed, whatever the pool's verdict is.
        if not (rule.name == FUNDING and isinstance(against, Refuse)):
            order.note(against)
    return faults, holds
