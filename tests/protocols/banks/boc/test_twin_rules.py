"""The rules of the bank's side: the adapter breaks none, every operation has them, and honest clients are served."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from protocols.banks.boc import twin
from protocols.banks.boc.twin_rules import RULES
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber, PartyKind
from protocols.canon.query import BalanceQuestion, ReceiptQuestion
from protocols.canon.statement import Receipt
from tests.protocols.banks.boc.client_mistakes import INSID, request, side
from tests.protocols.banks.every.bench import Table, bundled, kinds, table

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"version": "100", "charset": "GBK", "currency": "001"},
    {"reference_chars": 20, "fee_account": "0000000000000000017", "payee_address": "深圳"},
)
NOT_THE_ADAPTER_S = {"b2e0002"}
"""The operations that the adapter never uses: its lane does not sign off."""


def everything(scene: Table) -> set[str]:
    """Play every operation of the adapter; the operations that the bank's side met."""
    met = {"b2e0001"}
    answer = type(scene.stage.twin).answer

    def noted(*given: Any) -> Any:
        told = answer(*given)
        met.add(told.operation)
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(scene.stage.twin), "answer", noted)
        for kind in kinds("boc"):
            reference = scene.reference()
            scene.pay(scene.order(kind), reference)
            scene.fate(reference)
        order: Any = scene.order(Kind.PAYMENT, minor=4_321)
        person = replace(order.creditor, kind=PartyKind.PERSON)
        scene.pay(replace(order, creditor=person), scene.reference())
        for kind in bundled("boc"):
            bundle, reference = scene.bundle(kind, ("货款", "#refuse", "货款"))
            scene.pay_bundle(bundle, reference)
            scene.bundle_fate(kind, reference)
        account = AccountNumber(scene.own[0])
        balance, receipt = scene.bank.questions.balance, scene.bank.questions.receipt
        assert balance is not None and receipt is not None
        for day in (None, scene.today - timedelta(days=1)):
            scene.stage.talk(balance(BalanceQuestion(account, on=day), scene.stage.context()))
        asked = ReceiptQuestion(account, scene.today, amount=order.amount)
        assert isinstance(scene.stage.talk(receipt(asked, scene.stage.context())), Receipt)
        scene.stage.time.later(86_400)
        assert scene.walk(scene.own[0], scene.today - timedelta(days=70), scene.today)
    return met


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_adapter_breaks_no_rule(options: dict[str, Any]) -> None:
    scene = table("boc", bank_options=options)
    met = everything(scene)
    assert scene.stage.findings == []
    assert met == {*RULES, "GET"} - NOT_THE_ADAPTER_S


@pytest.mark.parametrize("operation", RULES)
def test_a_good_request_of_each_operation_breaks_no_rule_and_a_spoilt_one_does(operation: str) -> None:
    good = side().answer(request(operation))
    assert (good.operation, good.findings) == (operation, ())
    spoilt = side().answer(request(operation, {"head/termid": "E1"}))
    assert [one.place for one in spoilt.findings] == ["head/termid"] and spoilt.code == "TW00"


def test_every_finding_of_a_message_is_told_not_the_first_only() -> None:
    changes = {"transtype": "9", "b2e0009-rq[1]/trncur": "RMB", "b2e0009-rq[2]/trnamt": "x"}
    told = side().answer(request("b2e0009", changes, lines=2))
    assert [one.place for one in told.findings] == ["transtype", "b2e0009-rq[1]/trncur", "b2e0009-rq[2]/trnamt"]


def test_a_session_that_ended_is_no_mistake_but_a_message_without_a_token_is() -> None:
    bank = side()
    assert bank.answer(request("b2e0002")).code == "B001"
    after = bank.answer(request("b2e0005"))
    assert (after.code, after.findings) == ("B107", ())
    without = side().answer(request("b2e0005", {"head/token": None}))
    assert (without.code, [one.place for one in without.findings]) == ("B107", ["head/token"])


def test_an_order_is_found_by_the_bank_s_number_too() -> None:
    bank = side()
    serial = bank.answer(request("b2e0009")).data.partition(b"<obssid>")[2].partition(b"<")[0].decode()
    told = bank.answer(request("b2e0007", {"b2e0007-rq[1]/insid": "", "b2e0007-rq[1]/obssid": serial}))
    assert f"<insid>{INSID}</insid>".encode() in told.data


def test_a_list_of_one_direction_has_that_direction_only() -> None:
    bank = side()
    bank.answer(request("b2e0009"))
    today = {
        "b2e0035-rq[1]/type": "2001",
        "b2e0035-rq[1]/datescope/from": "20261124",
        "b2e0035-rq[1]/datescope/to": "20261124",
    }
    for direction, count in (("0", 1), ("1", 0), ("2", 1)):
        told = bank.answer(request("b2e0035", {**today, "b2e0035-rq[1]/direction": direction}))
        assert f"<totalnum>{count}</totalnum>".encode() in told.data


def test_one_bad_account_of_a_balance_question_does_not_hide_the_good_one() -> None:
    told = side().answer(request("b2e0005", {"b2e0005-rq[2]/account/actacn": "000000000099"}, lines=2))
    assert told.code == "TW07" and told.data.count(b"<avabal>") == 1
    assert [one.place for one in told.findings] == ["b2e0005-rq[2]/account/actacn"]


def test_the_cheap_side_judges_too() -> None:
    bank = side()
    cheap = twin.build({"cheap": True}, {})
    told = cheap.answer("business", request("b2e0009", {"b2e0009-rq[1]/trnamt": "x"}), bank.ledger, {})
    assert [one.place for one in told.findings] == ["b2e0009-rq[1]/trnamt"] and not bank.ledger.executions
