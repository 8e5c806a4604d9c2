"""Batches in a campaign's story, and the judge of the events about batches."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from faults.batches import BATCH, COMPLETED, Batch, bundled, judge
from gateway.demo import stage
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import JSON, DemoOrder, ExpectedAnswer, Story, write_story
from gateway.demo.verdict import BrokenPromise, FindingKind
from protocols.canon.outcome import State

BANKS = ("sample", "pab")


@pytest.fixture(scope="module")
def story() -> Story:
    return write_story(3, 400, 10, stage.stage(BANKS, "run", datetime(2026, 11, 25, tzinfo=UTC)))


def test_every_order_is_still_asked_for_once(story: Story) -> None:
    together, batches = bundled(story, "run")
    assert together.orders == story.orders
    assert len(batches) > 5 and {batch.items[0].bank for batch in batches} == set(BANKS)
    inside = [order.id for batch in batches for order in batch.items]
    assert len(set(inside)) == len(inside)
    alone = [command.order_id for command in together.commands if command.key != BATCH]
    assert not set(inside) & set(alone)
    before = {command.order_id for command in story.commands}
    own = {command.order_id for command in story.commands if command.key == BATCH}
    assert before == set(alone) | set(inside) | own
    assert bundled(story, "run") == (together, batches)


def test_a_batch_is_whole_and_of_one_account(story: Story) -> None:
    together, batches = bundled(story, "run")
    commands = {command.order_id: command for command in together.commands if command.key == BATCH}
    assert {batch.id for batch in batches} < commands.keys()
    for batch in batches:
        body = json.loads(commands[batch.id].body)
        assert [item["id"] for item in body["items"]] == [order.id for order in batch.items]
        assert {order.debtor for order in batch.items} == {body["debtor"]["account"]}
        assert body["count"] == len(batch.items) >= 2
        assert round(float(body["sum"]) * 100) == sum(order.amounts_minor[0] for order in batch.items)


def order(n: int) -> DemoOrder:
    return DemoOrder(f"AP-{n}", "sample", "0000100", f"00009{n}", "示例乙公司", (100 * n,), "货款", "plain")


def completed(seq: int, *shares: tuple[str, int, str], id_: str = "B-1") -> ReceivedNews:
    said: dict[str, Any] = {
        "id": id_,
        "seq": seq,
        "states": [{"state": state, "count": count, "sum": total} for state, count, total in shares],
    }
    return ReceivedNews(ExpectedAnswer.EVENT, f"m-{seq}", "c", COMPLETED, said, JSON, 0.0)


PAIR = (Batch("B-1", (order(1), order(2))),)
SETTLED = {"AP-1": State.SETTLED, "AP-2": State.SETTLED}
BOTH = ("settled", 2, "3.00")


def found(*heard: ReceivedNews, told: dict[str, State | None] | None = None) -> list[BrokenPromise]:
    return list(judge(PAIR, heard, SETTLED if told is None else told))


def test_a_perfect_account() -> None:
    assert found(completed(2, BOTH)) == []
    assert (
        found(
            completed(3, ("settled", 1, "1.00"), ("returned", 1, "2.00")),
            completed(2, BOTH),
            told={**SETTLED, "AP-2": State.RETURNED},
        )
        == []
    )
    assert found(told={"AP-1": State.SETTLED, "AP-2": State.IN_DOUBT}) == [], "an item in doubt keeps it back"


@pytest.mark.parametrize(
    ("heard", "told", "wrong"),
    [
        ((), SETTLED, FindingKind.LOST),
        ((completed(2, BOTH),), {**SETTLED, "AP-2": State.RETURNED}, FindingKind.DISAGREES),
        ((completed(2, ("settled", 2, "3.01")),), SETTLED, FindingKind.DISAGREES),
        ((completed(2, BOTH),), {**SETTLED, "AP-2": State.IN_DOUBT}, FindingKind.DISAGREES),
        ((completed(2, BOTH),), {"AP-1": State.SETTLED}, FindingKind.DISAGREES),
        ((completed(2, BOTH), completed(2, BOTH, id_="B-9")), SETTLED, FindingKind.DISAGREES),
    ],
)
def test_what_is_wrong_is_found(
    heard: tuple[ReceivedNews, ...], told: dict[str, State | None], wrong: FindingKind
) -> None:
    assert [one.wrong for one in found(*heard, told=told)] == [wrong]
