"""An order that an adapter cannot build is refused alone, before it is in one message with others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.capabilities import tried
from gateway.kernel.core.policy import Route
from gateway.payments.erp.dry_build import DryBuild
from protocols.bank import Bank, Context
from protocols.canon.errors import FieldCode
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, BatchItemDetail, Bundle, Kind, Order
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.errors import ProtocolError
from tests.world.batching import SENDER, batch, completed, states
from tests.world.world import World

OWN = Party(AccountNumber("0000000000000000017"), Name("示例甲公司"))
OTHER = Party(AccountNumber("0000000000000000025"), Name("示例乙公司"), "示例银行某支行", "000000000000")
ORDER: AnyOrder = Order("A", OWN, OTHER, Money(100, "CNY"), BatchItemDetail("B", 1), "货款")
BLANK = replace(ORDER, creditor=replace(OTHER, name=Name("\u3000")))
BROKEN = replace(ORDER, purpose="a]]>b")
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)


def dry(name: str) -> DryBuild:
    bank = tried(name)
    route = cast(Route, SimpleNamespace(bank=name, limits_of=lambda _kind: bank.profile.limits))
    return DryBuild(bank, route, Kind.BATCH_ITEM, date(2026, 11, 24), NOW)


@pytest.mark.parametrize(
    ("bank", "order", "at"),
    [("cmb", BROKEN, "/purpose"), ("icbc", BLANK, "/creditor/name"), ("spdb", BLANK, "/creditor/name")],
)
def test_the_text_that_a_bank_cannot_carry_is_named(bank: str, order: AnyOrder, at: str) -> None:
    [fault] = dry(bank).faults(order)
    assert (fault.at, fault.code) == (at, FieldCode.PATTERN) and "cannot be built" in fault.detail
    assert [bool(found) for found in dry(bank).of_all([ORDER, order, ORDER])] == [False, True, False]


@pytest.mark.parametrize("bank", ["boc", "cib", "citic", "cmb", "icbc", "pab", "sample", "spdb"])
def test_a_sound_order_has_no_fault_with_any_bank(bank: str) -> None:
    assert dry(bank).of_all([ORDER] * 3) == [(), (), ()]


def test_a_bank_that_cannot_be_asked_dry_finds_no_fault() -> None:
    """The account is too long for this bank's form and would be refused earlier, so the texts are not checked."""
    assert dry("cib").faults(BROKEN) == ()


def fussy(bank: Bank) -> Bank:
    """The sample bank, whose message cannot be built with such a text in any item."""
    rule = bank.bundles[Kind.BATCH_ITEM]

    def word(bundle: Bundle, context: Context) -> Any:
        if any("]]>" in item.order.purpose for item in bundle.items):
            raise ProtocolError("value", "Text cannot carry ]]>")
        return (yield from rule.word(bundle, context))

    return replace(bank, bundles={**bank.bundles, Kind.BATCH_ITEM: replace(rule, word=word)})


def test_an_item_that_cannot_be_built_fails_alone(tmp_path: Path) -> None:
    world = World(tmp_path, sender=SENDER, adapters={"sample": fussy})
    world.start()
    world.run(1)
    body = batch(world, "B-1", [100, 200, 300], on_item_error="refuse_item")
    body["items"][1]["purpose"] = "a]]>b"
    world.command("batch.submit", body)
    world.run(10)
    assert states(world, "B-1") == ["settled", "rejected", "settled"]
    assert completed(world, "B-1")[-1][1] == {"settled": 2, "rejected": 1}
    [said] = [answer for _head, answer in world.replies if answer.get("id") == "B-1"]
    [fault] = said["items"][1]["error"]["errors"]
    assert fault["code"] == "pattern" and fault["at"].endswith("/purpose")
