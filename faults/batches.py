"""Batches in a campaign: some orders are sent together in a batch, and each still has its own result."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway import capabilities
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import JSON, SUBMIT, DemoCommand, DemoOrder, ExpectedAnswer, Story, amount_text
from gateway.demo.verdict import BrokenPromise, FindingKind
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State

BATCH = "batch.submit"
ACCEPTED, COMPLETED = "batch.accepted", "batch.completed"
SIZES = (2, 3, 5, 8, 13)
SHARE = 0.2
"""The share of the batchable orders that are sent in a batch."""
_SORTS = frozenset({"plain", "#late", "#late-refuse", "#refuse", "#hide", "#return"})
_OWN = frozenset({"id", "amount", "creditor", "purpose"})


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: its id, and the orders that are its items."""

    id: str
    items: tuple[DemoOrder, ...]


def carries(bank: str) -> bool:
    """Whether a bank takes the items of a batch, in one message or separately."""
    built = capabilities.tried(bank)
    return Kind.BATCH_ITEM in built.bundles or Kind.BATCH_ITEM in built.money


def bundled(story: Story, run: str) -> tuple[Story, tuple[Batch, ...]]:
    """The same orders, some of them grouped into batches, and these batches. The same story always gives the same
    batches."""
    dice = random.Random(f"batches {story.seed}")
    alone = Counter(command.order_id for command in story.commands)
    sorts = {order.id: order.sort for order in story.orders}
    bodies = {
        command.order_id: json.loads(command.body)
        for command in story.commands
        if sorts.get(command.order_id) in _SORTS
        and command.key == SUBMIT
        and command.content_type == JSON
        and alone[command.order_id] == 1
    }
    takes = {bank for bank in {order.bank for order in story.orders} if carries(bank)}
    fit: dict[tuple[str, str], list[DemoOrder]] = {}
    for order in story.orders:
        if order.id in bodies and order.bank in takes and dice.random() < SHARE:
            fit.setdefault((order.bank, order.debtor), []).append(order)
    batches = tuple(_cut(fit, story.seed, dice))
    first = {batch.items[0].id: batch for batch in batches}
    others = {order.id for batch in batches for order in batch.items[1:]}
    commands = tuple(
        _command(first[command.order_id], bodies, run) if command.order_id in first else command
        for command in story.commands
        if command.order_id not in others
    )
    return replace(story, commands=commands), batches


def _cut(fit: Mapping[tuple[str, str], Sequence[DemoOrder]], seed: int, dice: random.Random) -> Iterator[Batch]:
    number = 0
    for account in sorted(fit):
        waiting = list(fit[account])
        while len(waiting) >= SIZES[0]:
            size = dice.choice(SIZES)
            items, waiting = waiting[:size], waiting[size:]
            number += 1
            yield Batch(f"BT-{seed}-{number:04d}", tuple(items))


def _command(batch: Batch, bodies: Mapping[str, Any], run: str) -> DemoCommand:
    head = bodies[batch.items[0].id]
    body = {
        "id": batch.id,
        "count": len(batch.items),
        "currency": "CNY",
        "sum": amount_text(sum(order.amounts_minor[0] for order in batch.items)),
        "debtor": head["debtor"],
        "items": [{key: bodies[order.id][key] for key in sorted(_OWN)} for order in batch.items],
    }
    octets = json.dumps(body, ensure_ascii=False).encode()
    return DemoCommand(f"{run}-{batch.id}", batch.id, BATCH, octets, frozenset({ACCEPTED}))


def judge(
    batches: Sequence[Batch],
    heard: Sequence[ReceivedNews],
    told: Mapping[str, State | None],
    others: frozenset[str] = frozenset(),
) -> Iterator[BrokenPromise]:
    """The faults in the events about batches. The last `batch.completed` must give the state of every item.

    `others` are ids that the story used too.
    """
    last: dict[str, Mapping[str, Any]] = {}
    for one in heard:
        if one.where is ExpectedAnswer.EVENT and one.name == COMPLETED:
            id_, seq = str(one.said["id"]), int(one.said["seq"])
            if id_ not in last or int(last[id_]["seq"]) < seq:
                last[id_] = one.said
    for id_ in sorted(last.keys() - {batch.id for batch in batches} - others):
        yield BrokenPromise(FindingKind.DISAGREES, id_, "the gateway speaks of a batch that nobody sent")
    for batch in batches:
        yield from (BrokenPromise(wrong, batch.id, text) for wrong, text in _faults(batch, last.get(batch.id), told))


def _faults(
    batch: Batch, said: Mapping[str, Any] | None, told: Mapping[str, State | None]
) -> Iterator[tuple[FindingKind, str]]:
    states = [told.get(order.id) for order in batch.items]
    over = all(state is not None and STATE_TABLE[state].final for state in states)
    if said is None:
        if over:
            yield FindingKind.LOST, "every item came to an end, and batch.completed was never told"
        return
    if not over:
        yield FindingKind.DISAGREES, f"told batch.completed, and items ended as {_words(states)}"
        return
    counts = {str(share["state"]): (int(share["count"]), str(share["sum"])) for share in said["states"]}
    right: dict[str, tuple[int, str]] = {}
    for state in {state for state in states if state is not None}:
        minors = [order.amounts_minor[0] for order in batch.items if told.get(order.id) is state]
        right[state.value] = (len(minors), amount_text(sum(minors)))
    if counts != right:
        yield FindingKind.DISAGREES, f"batch.completed says {counts}, its items ended as {right}"


def _words(states: Sequence[State | None]) -> str:
    return ", ".join(sorted("nothing" if state is None else state.value for state in states))
