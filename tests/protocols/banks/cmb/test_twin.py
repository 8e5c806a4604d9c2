"""The bank's side with its faults switched on: the adapter's reaction to each fault, and the money that moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions
from protocols.banks.cmb import twin
from protocols.canon.money import Money
from protocols.canon.order import Kind, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, LinesQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    OURS,
    REFERENCE,
    THEIRS,
    TODAY,
    bundle,
    content,
    document,
    order,
    reference_of,
    sent,
    sent_bundle,
    show,
    stage,
)
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(OURS)


def pay(scene: BankAndTwin, given: Any = None, reference: str = REFERENCE) -> Outcome:
    one = given or order()
    return scene.talk(scene.bank.money[one.kind](one, scene.context(reference)))


def fate(scene: BankAndTwin, given: Any = None, reference: str = REFERENCE, code: str = "N02031") -> Outcome:
    ask = scene.bank.questions.fate
    assert ask is not None
    return scene.talk(ask(FateQuestion(sent(given, reference, serials=(code,))), scene.context()))


# ---- faults ------------------------------------------------------------------------------------------------------


def test_money_that_moved_at_once_is_still_only_handed_in() -> None:
    scene = stage({"at_once": True})
    assert pay(scene).fate is Fate.PENDING
    assert "<REQSTS>FIN</REQSTS><RTNFLG>S</RTNFLG>" in content(scene.said[-1].answer)
    assert fate(scene).fate is Fate.SETTLED


@pytest.mark.parametrize("bare", [False, True])
def test_a_refusal_without_a_number_is_asked_about(bare: bool) -> None:
    scene = stage({"refuse_bare": bare})
    assert pay(scene, order(purpose="#refuse")).fate is (Fate.UNKNOWN if bare else Fate.FAILED)
    assert fate(scene, order(purpose="#refuse")).fate is Fate.FAILED


def test_a_refusal_that_no_enquiry_knows_is_not_found_and_never_failed() -> None:
    scene = stage({"refuse_bare": True, "refused_unlisted": True})
    assert pay(scene, order(purpose="#refuse")).fate is Fate.UNKNOWN
    assert fate(scene, order(purpose="#refuse")).fate is Fate.NOT_FOUND


def test_a_duplicate_after_a_lost_answer_is_never_a_failure() -> None:
    scene = stage()
    scene.tamper = lambda frame: frame[:40]
    with pytest.raises(ProtocolError):
        pay(scene)
    scene.tamper = None
    assert pay(scene).fate is Fate.DUPLICATE
    assert fate(scene).fate is Fate.SETTLED
    assert len(scene.ledger.executions) == 1


def test_a_call_that_failed_beside_a_line_it_took_is_doubt() -> None:
    scene = stage({"call_fails": True})
    assert pay(scene).fate is Fate.UNKNOWN
    assert fate(scene).fate is Fate.SETTLED


def test_an_http_error_after_booking_is_no_answer() -> None:
    scene = stage({"http_500": True})
    with pytest.raises(ProtocolError):
        pay(scene)
    assert fate(scene).fate is Fate.SETTLED


def test_one_reference_twice_in_the_answer() -> None:
    scene = stage({"twice": True})
    pay(scene)
    assert fate(scene).fate is Fate.SETTLED
    late = order(purpose="#late")
    pay(scene, late, reference_of(2))
    assert fate(scene, late, reference_of(2)).fate is Fate.PENDING


def test_an_enquiry_that_sees_nothing_is_made_up_for_by_another() -> None:
    scene = stage({"blind": True})
    assert fate(scene).fate is Fate.NOT_FOUND
    pay(scene)
    assert fate(scene).fate is Fate.SETTLED


def test_hidden_for_two_minutes() -> None:
    scene = stage(conduct=BookingRules(hide_s=120))
    hidden = order(purpose="#hide")
    assert pay(scene, hidden).fate is Fate.PENDING
    assert fate(scene, hidden).fate is Fate.NOT_FOUND
    scene.time.later(121)
    assert fate(scene, hidden).fate is Fate.SETTLED


def test_too_fast_a_user_is_refused_and_doubted_or_told_so() -> None:
    scene = stage({"too_fast": True})
    pay(scene)
    again = pay(scene, reference=reference_of(2))
    assert (again.fate, again.code) == (Fate.UNKNOWN, "-5")
    assert len(scene.ledger.executions) == 1
    ask = scene.bank.questions.balance
    assert ask is not None
    scene.talk(ask(BalanceQuestion(ACCOUNT), scene.context()))
    with pytest.raises(Declined) as caught:
        scene.talk(ask(BalanceQuestion(ACCOUNT), scene.context()))
    assert caught.value.outcome == "rate_limited"
    scene.time.later(2)
    scene.talk(ask(BalanceQuestion(ACCOUNT), scene.context()))
    scene.time.later(2)
    assert fate(scene).fate is Fate.SETTLED


def test_entries_whose_sign_contradicts_their_side_are_left_out_and_said() -> None:
    scene = stage({"signed": True})
    pay(scene)
    ask = scene.bank.questions.lines
    assert ask is not None
    got = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))
    assert (got.lines, got.unread) == ((), 1) and "AMTCDR" in got.findings[0]


@pytest.mark.parametrize("switch", ["stuck", "wrong_sums"])
def test_pages_that_cannot_be_right_are_no_answers(switch: str) -> None:
    scene = stage({switch: True, "page_lines": 1})
    for number in (1, 2, 3):
        pay(scene, reference=reference_of(number))
    ask = scene.bank.questions.lines
    assert ask is not None
    asked, seen = LinesQuestion(ACCOUNT, TODAY, TODAY), 0
    with pytest.raises(ProtocolError):  # noqa: PT012 - which page of the walk shows it differs by switch
        for _page in range(3):
            got = scene.talk(ask(asked, scene.context()))
            seen += 1
            asked = replace(asked, cursor=got.cursor)
    assert seen == (1 if switch == "stuck" else 0)


def test_what_is_swept_within_the_day_shows_when_it_is_over() -> None:
    scene = stage({"sweeps": True})
    for number in (1, 2, 3):
        pay(scene, reference=reference_of(number))
    ask = scene.bank.questions.lines
    assert ask is not None
    said = []
    for later_s in (0, 86_400):
        scene.time.later(later_s)
        said.append(scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).lines)
    today, closed = said
    assert (len(today), len(closed)) == (2, 3), "only a closed day is whole"
    assert [line.bank_line_id for line in closed[:2]] == [line.bank_line_id for line in today]


@pytest.mark.parametrize("transport", ["http", "http-form", "socket"])
def test_bytes_beyond_gbk_under_a_smaller_label_are_read(transport: str) -> None:
    scene = stage({"gb18030": True}, transport=transport)
    assert pay(scene).fate is Fate.PENDING
    assert fate(scene).fate is Fate.SETTLED


def test_an_answer_wrapped_in_a_form_is_read() -> None:
    scene = stage({"form_answer": True, "gb18030": True}, transport="http-form")
    assert pay(scene).fate is Fate.PENDING
    assert b"REQDATA=" in scene.said[-1].answer


def test_a_length_in_characters_cuts_the_answer_and_leaves_doubt() -> None:
    scene = stage({"counts_characters": True}, transport="socket")
    pay(scene)
    with pytest.raises(ProtocolError):
        pay(scene)  # the duplicate's text is Chinese, so the frame ends too early and the next bytes are no length
    assert len(scene.ledger.executions) == 1


def test_a_payroll_said_to_be_done_pays_no_line() -> None:
    scene = stage({"whole_batch": True})
    given = bundle(Kind.PAYROLL_ITEM, (500,), creditor=Party(AccountNumber(THEIRS), Name("#late")), purpose="工资")
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert told[reference_of(1)].fate is Fate.PENDING


def test_an_answer_under_the_document_s_name_is_the_same_answer() -> None:
    scene = stage({"document_name": True})
    assert pay(scene).fate is Fate.PENDING
    assert b"<FUNNAM>Payment</FUNNAM>" in scene.said[-1].answer
    stranger = scene.said[-1].answer.replace(b"<FUNNAM>Payment<", b"<FUNNAM>Paymemt<")
    read = scene.bank.read
    assert read(Kind.PAYMENT, sent(), scene.said[-1].answer).fate is Fate.PENDING
    with pytest.raises(ProtocolError):
        read(Kind.PAYMENT, sent(), stranger)
    assert fate(scene).fate is Fate.SETTLED


def test_a_line_of_a_payroll_without_a_status_leaves_the_others_settled() -> None:
    scene = stage({"no_status": True})
    given = bundle(Kind.PAYROLL_ITEM, (500, 500, 700))
    rule = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(rule.word(given, scene.context(REFERENCE)))
    told = scene.talk(rule.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert [told[item.reference].fate for item in given.items] == [Fate.SETTLED, Fate.UNKNOWN, Fate.SETTLED]


def test_a_payroll_s_repeat_dressed_as_a_failure_fails_no_line() -> None:
    scene = stage({"dressed": True})
    given = bundle(Kind.PAYROLL_ITEM, (500, 600), purpose="工资")
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert {one.fate for one in told.values()} == {Fate.DUPLICATE}
    assert len(scene.ledger.executions) == 2


def test_a_payroll_whose_lines_may_not_be_read_is_known_as_far_as_its_state_goes() -> None:
    scene = stage({"no_details": True})
    given = bundle(Kind.PAYROLL_ITEM, (500,), creditor=Party(AccountNumber(THEIRS), Name("#late")), purpose="工资")
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert told[reference_of(1)].fate is Fate.PENDING


def test_notices_that_may_not_be_read_cost_no_line_that_is_known() -> None:
    scene = stage({"no_notices": True, "refused_unlisted": True})
    given = bundle(Kind.BATCH_ITEM, (100,) * 31)
    hidden = replace(given.items[30], order=replace(given.items[30].order, purpose="#refuse"))
    given = replace(given, items=(*given.items[:30], hidden))
    word = scene.bank.bundles[Kind.BATCH_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert [told[reference_of(n)].fate for n in (1, 30, 31)] == [Fate.SETTLED, Fate.SETTLED, Fate.NOT_FOUND]


def test_a_stranger_is_not_signed_in_and_nothing_is_tried_again() -> None:
    scene = stage({"login": "U0009"})
    with pytest.raises(Declined) as caught:
        scene.talk(scene.bank.sessions.probe(scene.context()))
    assert (caught.value.code, caught.value.outcome) == ("-4", "signed_out")
    assert len(scene.said) == 1
    assert pay(scene).fate is Fate.UNKNOWN


def test_a_transfer_s_whole_life() -> None:
    scene = stage(transfer_code="N02041")
    inside = order(TransferDetail())
    assert pay(scene, inside).fate is Fate.PENDING
    assert fate(scene, inside, code="N02041").fate is Fate.SETTLED


# ---- the bank's side itself, read without the adapter ------------------------------------------------------------


def asked(scene: BankAndTwin, function: str, inner: str) -> Any:
    info = f"<INFO><FUNNAM>{function}</FUNNAM><DATTYP>2</DATTYP><LGNNAM>U0001</LGNNAM><GWTRACE>T1</GWTRACE></INFO>"
    text = f'<?xml version="1.0" encoding="GBK"?><CMBSDKPGK>{info}{inner}</CMBSDKPGK>'.encode("gbk")
    answer = scene.twin.answer("business", text, scene.ledger, {})
    assert answer.close
    assert int(answer.data[:8]) == len(answer.data) - 8
    return show(answer.data[8:])[1]


LINE = (
    "<SDKPAYRQX><BUSCOD>N02031</BUSCOD><BUSMOD>00001</BUSMOD></SDKPAYRQX><DCOPDPAYX><YURREF>R1</YURREF>"
    f"<DBTACC>{OURS}</DBTACC><TRSAMT>1.00</TRSAMT><CCYNBR>10</CCYNBR><STLCHN>F</STLCHN><CRTACC>{THEIRS}</CRTACC>"
    "<CRTNAM>示例丙</CRTNAM><BNKFLG>N</BNKFLG><CRTBNK>某行</CRTBNK><CRTADR>某地</CRTADR></DCOPDPAYX>"
)


def test_the_captured_duplicate_is_shown_as_it_was_captured() -> None:
    scene = stage(transport="socket")
    first = asked(scene, "DCPAYMNT", LINE)
    assert (first["INFO.RETCOD"], first["INFO.GWTRACE"], first["NTQPAYRQZ.ERRCOD"]) == ("0", "T1", "SUC0000")
    again = asked(scene, "DCPAYMNT", LINE)
    assert {key: again[f"NTQPAYRQZ.{key}"] for key in ("ERRCOD", "ERRTXT", "REQNBR", "REQSTS", "RTNFLG", "SQRNBR")} == {
        "ERRCOD": "NCB4241",
        "ERRTXT": "NCB4241 -业务参考号重复",
        "REQNBR": "",
        "REQSTS": "FIN",
        "RTNFLG": "F",
        "SQRNBR": "0000000000",
    }
    assert len(scene.ledger.executions) == 1


@pytest.mark.parametrize(
    ("function", "inner", "code"),
    [
        ("Login", "", "-3"),
        ("NTNOSUCH", "", "-3"),
        ("DCPAYMNT", "", "-3"),
        ("DCPAYMNT", LINE.replace(">1.00<", ">-1<"), "-3"),
        ("DCPAYMNT", LINE.replace(">10<", ">32<"), "-3"),
        ("DCPAYMNT", LINE.replace(">某地<", "><"), "-3"),
        ("DCPAYMNT", LINE.replace("示例丙", ""), "-3"),
        ("DCPAYMNT", LINE.replace("<CRTNAM>", "<CRTNAM>x</CRTNAM><CRTNAM>"), "-3"),
        (
            "NTQRYSTY",
            "<NTQRYSTYX1><BUSCOD>N02031</BUSCOD><YURREF>R1</YURREF><BGNDAT>20261101</BGNDAT>"
            "<ENDDAT>20261108</ENDDAT></NTQRYSTYX1>",
            "-3",
        ),
        (
            "GetTransInfoEX",
            f"<SDKRBPTRSX><BBKNBR>69</BBKNBR><ACCNBR>{THEIRS}</ACCNBR><TRSDAT>20261124</TRSDAT></SDKRBPTRSX>",
            "-2",
        ),
        ("GetHisNoticeEX", "<DCHISMSGX><LSTNBR></LSTNBR><RECNUM>50</RECNUM></DCHISMSGX>", "-3"),
    ],
)
def test_what_the_bank_refuses(function: str, inner: str, code: str) -> None:
    scene = stage(transport="socket")
    shown = asked(scene, function, inner)
    assert (shown["INFO.RETCOD"], shown["INFO.FUNNAM"]) == (code, function)
    assert not scene.ledger.executions


def test_bytes_that_are_no_message_are_answered_and_not_believed() -> None:
    scene = stage(transport="socket")
    answer = scene.twin.answer("business", b"<nonsense", scene.ledger, {})
    assert b"<RETCOD>-3</RETCOD>" in answer.data


def test_an_answer_s_fields_come_in_alphabetical_order_and_ours_too() -> None:
    scene = stage()
    pay(scene)
    fields = [
        piece.partition(">")[0] for piece in content(scene.said[-1].answer).partition("<NTQPAYRQZ>")[2].split("<")
    ]
    names = [one for one in fields if one and not one.startswith("/")]
    assert names == sorted(names)
    assert document("X", "0").count(b"<RETCOD>") == 1


def test_a_switch_that_is_not_known_is_named() -> None:
    with pytest.raises(BadOptions) as caught:
        twin.build({"colour": True}, {})
    assert caught.value.key == "colour"


def test_money_is_moved_by_the_order_s_amount() -> None:
    scene = stage()
    pay(scene, order(amount=Money(12_345)))
    holding = scene.ledger.holding(OURS)
    assert holding is not None
    assert holding.book == Money(87_655)
