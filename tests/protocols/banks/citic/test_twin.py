"""The bank's side with its faults switched on: the adapter's reaction to each fault, and the money that moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions
from protocols.banks.citic import twin
from protocols.canon.order import Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import CODES, OURS, REFERENCE, THEIRS, TODAY, order, question, show, stage
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(OURS)


def pay(scene: BankAndTwin, given: Any = None, reference: str = REFERENCE) -> Outcome:
    one = given or order()
    return scene.talk(scene.bank.money[one.kind](one, scene.context(reference)))


def fate(scene: BankAndTwin, **changes: Any) -> Outcome:
    ask = scene.bank.questions.fate
    assert ask is not None
    return scene.talk(ask(question(**changes), scene.context()))


@pytest.mark.parametrize("switch", ["eeeeeee", "client_code"])
def test_a_code_after_booking_is_doubt_and_the_enquiry_tells(switch: str) -> None:
    scene = stage({switch: True})
    told = pay(scene)
    assert (told.fate, told.listed) == (Fate.UNKNOWN, True)
    assert fate(scene).fate is Fate.SETTLED
    assert len(scene.ledger.executions) == 1


@pytest.mark.parametrize("switch", ["http_500", "another"])
def test_an_answer_that_is_none_after_booking_raises_and_the_enquiry_tells(switch: str) -> None:
    scene = stage({switch: True})
    with pytest.raises(ProtocolError):
        pay(scene)
    assert fate(scene).fate is Fate.SETTLED


def test_waiting_for_an_audit_is_not_success() -> None:
    scene = stage({"approval": True})
    assert (pay(scene).fate, pay(scene, reference="2").code) == (Fate.PENDING, "AAAAAAB")
    told = fate(scene)
    assert (told.fate, told.code) == (Fate.PENDING, "2/ED02087")


@pytest.mark.parametrize("switch", ["unlisted", "contradicts"])
def test_a_row_that_is_not_clear_is_doubt(switch: str) -> None:
    scene = stage({switch: True})
    pay(scene)
    told = fate(scene)
    assert (told.fate, told.listed) == (Fate.UNKNOWN, False)


def test_an_enquiry_that_does_not_get_through_says_nothing() -> None:
    scene = stage({"query_fails": True})
    pay(scene)
    with pytest.raises(Declined) as caught:
        fate(scene)
    assert caught.value.outcome == "retry"


def test_a_refusal_without_being_taken_needs_the_bank_s_word_on_its_code() -> None:
    scene = stage({"refuse_at_once": True})
    refused = order(purpose="#refuse")
    assert pay(scene, refused).fate is Fate.UNKNOWN
    assert fate(scene).fate is Fate.NOT_FOUND
    told = stage({"refuse_at_once": True}, codes=CODES)
    assert pay(told, refused).fate is Fate.FAILED
    assert fate(told).fate is Fate.NOT_FOUND


def test_a_repeat_after_a_lost_answer_moves_nothing_and_is_never_a_failure() -> None:
    scene = stage()
    scene.tamper = lambda frame: frame[:40]
    with pytest.raises(ProtocolError):
        pay(scene)
    scene.tamper = None
    assert pay(scene).fate is Fate.UNKNOWN
    assert pay(stage(codes=CODES)).fate is Fate.PENDING
    assert fate(scene).fate is Fate.SETTLED
    assert len(scene.ledger.executions) == 1


def test_a_payment_that_came_back_shows_in_the_entries() -> None:
    scene = stage(conduct=BookingRules(return_s=60))
    pay(scene, order(purpose="#return"))
    scene.time.later(61)
    assert fate(scene).fate is Fate.SETTLED
    ask = scene.bank.questions.lines
    assert ask is not None
    got = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))
    assert [one.text.startswith("(退汇)") for one in got.lines] == [False, True]


def test_a_fee_under_its_payment_s_number_has_a_name_of_its_own() -> None:
    scene = stage(conduct=BookingRules(fee_minor=100))
    pay(scene)
    ask = scene.bank.questions.lines
    assert ask is not None
    got = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))
    assert [one.bank_line_id.rpartition("-")[0] for one in got.lines] == ["20261124-00000000000001"] * 2
    assert len({(one.bank_line_id, one.occurrence) for one in got.lines}) == 2


@pytest.mark.parametrize(("switch", "pages"), [("stuck", 1), ("wrong_count", 0)])
def test_pages_that_cannot_be_right_are_no_answers(switch: str, pages: int) -> None:
    scene = stage({switch: True})
    for number in range(41):
        pay(scene, order(), f"R{number}")
    ask = scene.bank.questions.lines
    assert ask is not None
    asked, seen = LinesQuestion(ACCOUNT, TODAY, TODAY), 0
    with pytest.raises(ProtocolError):  # noqa: PT012 - which page of the walk shows it differs by switch
        for _page in range(3):
            got = scene.talk(ask(asked, scene.context()))
            seen += 1
            asked = replace(asked, cursor=got.cursor)
    assert seen == pages


@pytest.mark.parametrize("status", ["PBRA001", "ES88363", "EEEEEEE", "AAAAAAA"])
def test_no_entries_said_with_a_status(status: str) -> None:
    scene = stage({"no_data": status})
    ask = scene.bank.questions.lines
    assert ask is not None
    assert scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).lines == ()


def test_bytes_beyond_gbk_under_a_smaller_label_are_read() -> None:
    scene = stage({"gb18030": True})
    assert pay(scene).text.endswith("𬭎")
    assert fate(scene).fate is Fate.SETTLED


def test_a_stranger_is_declined() -> None:
    scene = stage({"login": "other"})
    with pytest.raises(Declined):
        scene.talk(scene.bank.sessions.probe(scene.context()))
    assert pay(scene).fate is Fate.UNKNOWN
    assert not scene.ledger.executions


def test_an_unknown_probe_account_still_proves_the_way() -> None:
    scene = stage(probe_account="0000000000000000099")
    scene.talk(scene.bank.sessions.probe(scene.context()))
    ask = scene.bank.questions.balance
    assert ask is not None
    with pytest.raises(Declined):
        scene.talk(ask(BalanceQuestion(AccountNumber("0000000000000000099")), scene.context()))


# ---- the bank's side itself, read without the adapter ------------------------------------------------------------

PAYMENT = (
    "<clientID>R1</clientID><preFlg>0</preFlg><preDate/><preTime/><payType>03</payType><recBankNo/>"
    f"<payAccountNo>{OURS}</payAccountNo><recAccountNo>{THEIRS}</recAccountNo><recAccountName>乙公司</recAccountName>"
    "<recOpenBankName>中国工商银行</recOpenBankName><recOpenBankCode>102100099996</recOpenBankCode>"
    "<citicbankFlag>1</citicbankFlag><cityFlag>1</cityFlag><tranAmount>10.00</tranAmount><abstract>货款</abstract><memo/>"
    "<takerName/><takerID/><takerIDType/><chkNum/>"
)

AMOUNTS = "<lowAmount>0.00</lowAmount><upAmount>9999999999999.99</upAmount>"


def asked(scene: BankAndTwin, action: str, inner: str) -> Any:
    xml = f"<stream><action>{action}</action><userName>erpuser1</userName>{inner}</stream>".encode("gbk")
    request = b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(xml), xml)
    answer = scene.twin.answer("business", request, scene.ledger, {})
    assert answer.close
    return show(answer.data)[1]


def test_a_payment_by_hand() -> None:
    scene = stage()
    told = asked(scene, "DLOUTTRN", PAYMENT)
    assert (told["status"], told["tranAmount"], "clientID" in told) == ("AAAAAAE", "10.00", False)
    assert asked(scene, "DLOUTTRN", PAYMENT)["status"] == "TWIN001"
    state = asked(scene, "DLCIDSTT", "<clientID>R1</clientID><type>DLOUTTRN</type>")
    assert (state["status"], state["1.stt"], state["1.status"]) == ("AAAAAAA", "0", "AAAAAAA")
    assert "1.stt" not in asked(scene, "DLCIDSTT", "<clientID>R1</clientID><type>DLINETRN</type>")
    assert len(scene.ledger.executions) == 1


@pytest.mark.parametrize(
    ("action", "inner"),
    [
        ("DLNOSUCH", ""),
        ("DLOUTTRN", PAYMENT.replace("<memo/>", "")),
        ("DLOUTTRN", PAYMENT.replace(">10.00<", ">10<")),
        ("DLOUTTRN", PAYMENT.replace(">10.00<", ">0.00<")),
        ("DLOUTTRN", PAYMENT.replace(">03<", ">01<")),
        ("DLOUTTRN", PAYMENT.replace("<preFlg>0", "<preFlg>1")),
        ("DLOUTTRN", PAYMENT.replace("<memo/>", "<memo/><memo/>")),
        ("DLPAYBAT", "<clientID>R2</clientID><totalNumber>1</totalNumber><totalAmount>1.00</totalAmount>"),
        (
            "DLTRNALL",
            f"<accountNo>{OURS}</accountNo>{AMOUNTS}<startDate>20260101</startDate><endDate>20261124</endDate>"
            "<pageNumber>20</pageNumber><startRecord>1</startRecord><controlFlag>0</controlFlag>",
        ),
        (
            "DLTRNALL",
            f"<accountNo>{OURS}</accountNo>{AMOUNTS}<startDate>20261124</startDate><endDate>20261124</endDate>"
            "<pageNumber>21</pageNumber><startRecord>1</startRecord><controlFlag>0</controlFlag>",
        ),
    ],
)
def test_what_the_bank_refuses(action: str, inner: str) -> None:
    scene = stage()
    assert asked(scene, action, inner)["status"] == "TWIN000"
    assert not scene.ledger.executions


def test_large_value_is_refused_outside_its_hours() -> None:
    scene = stage()
    scene.time.later(6 * 3600)
    assert asked(scene, "DLOUTTRN", PAYMENT.replace(">03<", ">02<"))["status"] == "TWIN000"
    assert pay(scene, order(urgency=Urgency.URGENT)).fate is Fate.PENDING, "the adapter keeps to the hours"


def test_bytes_that_are_no_message_are_answered_and_not_believed() -> None:
    scene = stage()
    answer = scene.twin.answer("business", b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n<", scene.ledger, {})
    assert b"<status>TWIN000</status>" in answer.data


def test_a_switch_that_is_not_known_is_named() -> None:
    with pytest.raises(BadOptions) as caught:
        twin.build({"colour": True}, {})
    assert caught.value.key == "colour"
