"""The rules of the bank's side: the adapter breaks none, every operation has them, and a refused line stays known."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta
from typing import Any

import pytest

from protocols.banks.icbc import twin
from protocols.banks.icbc.twin_rules import RULES
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from tests.protocols.banks.every.bench import Table, bundled, kinds, table
from tests.protocols.banks.icbc.client_mistakes import HOLDER, OWN, PACKAGE, request, side

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"version": "0.0.0.1"},
    {"query_data": "base64", "language_and_zip": True},
    {"work_date": "balance", "batch_flag": "2", "reference_in_ref": True},
    {"payroll": "payent"},
)


def everything(scene: Table) -> set[str]:
    """Play every operation of the adapter; the operations that the bank's side met."""
    met = set[str]()
    answer = scene.stage.twin.answer

    def noted(*given: Any) -> Any:
        told = answer(*given)
        met.add(told.operation)
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(scene.stage.twin), "answer", lambda _twin, *given: noted(*given))
        for kind in kinds("icbc"):
            reference = scene.reference()
            assert scene.pay(scene.order(kind), reference).fate is Fate.SETTLED
            assert scene.fate(reference).fate is Fate.SETTLED
        for kind in bundled("icbc"):
            bundle, reference = scene.bundle(kind, ("货款", "#refuse", "货款"))
            scene.pay_bundle(bundle, reference)
            assert scene.bundle_fate(kind, reference)
        ask = scene.bank.questions.balance
        assert ask is not None
        scene.stage.talk(ask(BalanceQuestion(AccountNumber(scene.own[0])), scene.stage.context()))
        scene.stage.time.later(86_400)
        assert scene.walk(scene.own[0], scene.today - timedelta(days=40), scene.today)
    return met


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_adapter_breaks_no_rule(options: dict[str, Any]) -> None:
    scene = table("icbc", bank_options=options)
    met = everything(scene)
    assert scene.stage.findings == []
    assert met == {*RULES, "INFOSEC_SIGN"} - ({"PAYPER", "QPAYPER"} if options.get("payroll") == "payent" else set())


@pytest.mark.parametrize("operation", RULES)
def test_a_good_request_of_each_operation_breaks_no_rule_and_a_spoilt_one_does(operation: str) -> None:
    good = side().answer(request(operation))
    assert (good.operation, good.findings) == (operation, ())
    spoilt = side().answer(request(operation, {"pub/TranDate": "24.11.2026"}))
    assert [one.place for one in spoilt.findings] == ["pub/TranDate"] and spoilt.code == spoilt.findings[0].refusal.code


def test_every_finding_of_a_message_is_told_not_the_first_only() -> None:
    changes = {"in/rd[1]/PayAmt": "1.00", "in/rd[2]/CurrType": "RMB", "in/OnlBatF": "9"}
    told = side().answer(request("PAYENT", changes, lines=2))
    assert [one.place for one in told.findings] == ["in/OnlBatF", "in/rd[1]/PayAmt", "in/rd[2]/CurrType"]


def test_a_package_in_another_s_name_is_refused_line_by_line_and_stays_known() -> None:
    bank = side()
    wrong = {"in/rd[2]/PayAccNameCN": "别人公司"}
    refused = bank.answer(request("PAYENT", wrong, lines=2))
    assert (refused.code, refused.reason) == ("B0043", "账号中文户名不符PayAccNameCN")
    assert b"<Result>6</Result>" in shown(refused.data) and b"<RetCode>0</RetCode>" in shown(refused.data)
    assert not bank.ledger.executions
    enquired = shown(bank.answer(request("QPAYENT", {"pub/fSeqno": "Q1"}, lines=2)).data)
    assert enquired.count(b"<Result>6</Result><instrRetCode>B0043</instrRetCode>") == 2
    assert bank.answer(request("PAYENT", lines=2)).code == "TWIN01"
    assert bank.answer(request("PAYENT", wrong, lines=2)).code == "TWIN01"


def test_a_package_is_found_by_the_bank_s_serial_too() -> None:
    bank = side()
    serial = shown(bank.answer(request("PAYENT")).data).partition(b"<SerialNo>")[2].partition(b"<")[0].decode()
    by_serial = {"in/QryfSeqno": "", "in/QrySerialNo": serial, "pub/fSeqno": "Q1"}
    assert f"<QryfSeqno>{PACKAGE}</QryfSeqno>".encode() in shown(bank.answer(request("QPAYENT", by_serial)).data)


def test_one_bad_account_of_a_balance_question_does_not_hide_the_good_one() -> None:
    told = side().answer(request("QACCBAL", {"in/rd[2]/AccNo": "0000021001000000099"}, lines=2))
    assert told.code == "TWIN05" and shown(told.data).count(b"<UsableBalance>") == 1


def test_the_cheap_side_judges_too() -> None:
    bank = side()
    cheap = twin.build({"cheap": True}, {})
    told = cheap.answer("business", request("PAYENT", {"in/rd[1]/PayAmt": "x"}), bank.ledger, {})
    assert [one.place for one in told.findings] == ["in/rd[1]/PayAmt"] and not bank.ledger.executions


def shown(answer: bytes) -> bytes:
    """The message in an answer."""
    return b64decode(answer.partition(b"reqData=")[2])


def test_the_sample_names_are_those_of_the_books() -> None:
    assert side().ledger.holder_of(OWN) == HOLDER
