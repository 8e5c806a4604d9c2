"""Signing on: one token, and a login that is never locked by trying again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.bank import Ask, Bank
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.boc.paper import (
    OURS,
    PASSWORD,
    REFERENCE,
    TODAY,
    TOKEN,
    answer,
    bank,
    content,
    context,
    first_step,
    order,
    question,
    row,
    stage,
    talk,
)


def sign_on(adapter: Bank, *frames: bytes) -> object:
    word = adapter.sessions.sign_on
    assert word is not None
    return talk(word(context(token="")), *frames)


SIGNED_ON = answer("b2e0001", "B001", before=f"<serverdt>20260105090001</serverdt><token>{TOKEN}</token>")


def test_a_sign_on_as_the_page_writes_it() -> None:
    word = bank().sessions.sign_on
    assert word is not None
    told, [asked] = talk(word(context(token="")), SIGNED_ON)
    assert told == {"token": TOKEN}
    assert content(asked) == (
        '<?xml version="1.0" encoding="UTF-8"?><bocb2e version="120" security="true" locale="zh_CN"><head>'
        "<termid>E192168001010</termid><trnid>20261124120000001</trnid><custid>100000001</custid><cusopr>200000001</cusopr>"
        "<trncod>b2e0001</trncod></head><trans><trn-b2e0001-rq><b2e0001-rq><custdt>20261124120000</custdt>"
        f"<oprpwd>{PASSWORD}</oprpwd></b2e0001-rq></trn-b2e0001-rq></trans></bocb2e>"
    )
    request = http.parse_request(asked)
    assert (request.method, request.target, request.headers["connection"]) == ("POST", "/B2EC/E2BServlet", "close")


def test_a_refusal_is_declined_once_and_then_nothing_is_sent() -> None:
    adapter = bank()
    with pytest.raises(Declined) as caught:
        sign_on(adapter, answer("b2e0001", "TW05"))
    assert (caught.value.code, caught.value.outcome) == ("TW05", "failed")
    for _ in range(300):
        with pytest.raises(Declined, match="not tried"):
            sign_on(adapter)


def test_a_success_forgets_refusals_before_it() -> None:
    adapter = bank(sign_on_tries=2)
    for _ in range(3):
        with pytest.raises(Declined):
            sign_on(adapter, answer("b2e0001", "TW05"))
        sign_on(adapter, SIGNED_ON)


NOISE = (
    http.answer(500, (), b""),
    answer("b2e0001", "B001"),
    answer("b2e0005", "B001"),
    http.answer(200, (), b"<html/>"),
)


def passwords(adapter: Bank, tries: int, *, frame: bytes | None = None, connected: bool = True) -> int:
    """The number of passwords that are sent in this many tries, each of which is answered with `frame` or not at
    all."""
    left = 0
    for _ in range(tries):
        word = adapter.sessions.sign_on
        assert word is not None
        conversation = word(context(token=""))
        try:
            step = next(conversation)
        except Declined:
            continue
        assert isinstance(step, Ask)
        assert PASSWORD.encode() in step.data
        if connected:
            adapter.ports["business"].answers()  # as for a connection that was made
        left += 1
        if frame is None:
            conversation.close()
        else:
            with pytest.raises(ProtocolError):
                conversation.send(frame)
    return left


def test_noise_is_no_refusal_but_a_password_left_with_it() -> None:
    adapter = bank()
    for frame in NOISE[:3]:
        with pytest.raises(ProtocolError) as caught:
            sign_on(adapter, frame)
        assert not isinstance(caught.value, Declined)
        with pytest.raises(Declined, match="not tried yet") as paused:
            sign_on(adapter)
        assert paused.value.outcome == "failed", "so the lane pauses before the next one"
    sign_on(adapter, SIGNED_ON)
    assert passwords(adapter, 6, frame=NOISE[0]) == 3, "a token forgets what was before it"


@pytest.mark.parametrize("frame", [*NOISE, None])
@pytest.mark.parametrize("tries", [1, 4])
def test_answers_that_are_none_and_silence_never_lock_the_operator(frame: bytes | None, tries: int) -> None:
    adapter = bank(sign_on_tries=tries)
    assert passwords(adapter, 60, frame=frame) == 4, "the bank locks an operator after five"
    with pytest.raises(Declined, match="not tried: 4") as caught:
        sign_on(adapter)
    assert caught.value.outcome == "failed", "the lane leaves the login alone"


def test_refusals_and_silence_count_together() -> None:
    adapter = bank(sign_on_tries=4)
    assert passwords(adapter, 2, frame=answer("b2e0001", "TW05")) == 2
    assert passwords(adapter, 60) == 2


def test_a_front_end_that_is_away_for_hours_uses_nothing_up() -> None:
    adapter = bank()
    assert passwords(adapter, 500, connected=False) == 500
    sign_on(adapter, SIGNED_ON)


@pytest.mark.parametrize("token", ["", "x" * 65, "令牌", "a b"])
def test_a_token_must_look_like_one(token: str) -> None:
    with pytest.raises(ProtocolError):
        sign_on(bank(), answer("b2e0001", "B001", before=f"<token>{token}</token>"))


def test_a_wrong_password_never_locks_the_operator() -> None:
    scene = stage({"password": "another"}, signed_on=False)
    for _ in range(100):
        with pytest.raises(Declined):
            scene.sign_on()
    assert len(scene.said) == 1


def test_five_wrong_ones_would() -> None:
    scene = stage({"password": "another"}, signed_on=False)
    codes = []
    for _ in range(6):
        scene.bank = bank()  # a new process each time
        with pytest.raises(Declined) as caught:
            scene.sign_on()
        codes.append(caught.value.code)
    assert codes == ["TW05"] * 5 + ["TW06"]


def test_without_a_token_nothing_leaves() -> None:
    adapter = bank()
    with pytest.raises(Declined) as caught:
        first_step(adapter.money[Kind.PAYMENT](order(), context(token="")))
    assert caught.value.outcome == "signed_out"
    with pytest.raises(Declined):
        first_step(adapter.sessions.probe(context(token="")))


@pytest.mark.parametrize("code", ["1033", "B107"])
def test_a_question_that_is_not_signed_on_ends_the_session(code: str) -> None:
    adapter = bank()
    assert adapter.questions.fate is not None
    for conversation, name in (
        (adapter.sessions.probe(context()), "b2e0005"),
        (adapter.questions.fate(question(), context()), "b2e0007"),
    ):
        with pytest.raises(Declined) as caught:
            talk(conversation, answer(name, code))
        assert caught.value.outcome == "signed_out"


@pytest.mark.parametrize("code", ["1033", "B107"])
def test_a_row_of_a_question_that_is_not_signed_on_ends_the_session(code: str) -> None:
    adapter, account = bank(), AccountNumber(OURS)
    balance, lines = adapter.questions.balance, adapter.questions.lines
    assert balance is not None
    assert lines is not None
    for conversation, name in (
        (adapter.sessions.probe(context()), "b2e0005"),
        (balance(BalanceQuestion(account), context()), "b2e0005"),
        (lines(LinesQuestion(account, TODAY, TODAY), context()), "b2e0035"),
    ):
        with pytest.raises(Declined) as caught:
            talk(conversation, answer(name, "B001", row(code)))
        assert caught.value.outcome == "signed_out"


def test_a_payment_that_is_not_signed_on_is_doubt_and_asked_about_first() -> None:
    scene = stage({"forgets": True})
    with pytest.raises(Declined) as caught:
        scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE)))
    assert (caught.value.code, caught.value.outcome) == ("1033", "signed_out")
    ask = scene.bank.questions.fate
    assert ask is not None
    with pytest.raises(Declined) as caught:
        scene.talk(ask(question(), scene.context()))
    assert caught.value.outcome == "signed_out"
    scene.sign_on()
    assert scene.talk(ask(question(), scene.context())).fate is Fate.SETTLED
    assert len(scene.ledger.executions) == 1


def test_a_token_that_ends_in_the_middle() -> None:
    scene = stage({"lasts": 2})
    ask = scene.bank.questions.balance
    assert ask is not None
    for number in range(4):
        if number == 2:
            with pytest.raises(Declined):
                scene.talk(ask(BalanceQuestion(AccountNumber(OURS)), scene.context()))
            scene.sign_on()
        scene.talk(ask(BalanceQuestion(AccountNumber(OURS)), scene.context()))


def test_another_sign_on_of_the_operator_ends_ours() -> None:
    scene = stage()
    ours = dict(scene.session)
    scene.sign_on()
    theirs, scene.session = scene.session, ours
    with pytest.raises(Declined):
        scene.talk(scene.bank.sessions.probe(scene.context()))
    scene.session = theirs
    scene.talk(scene.bank.sessions.probe(scene.context()))


def test_the_password_shows_nowhere() -> None:
    given = replace(context(), session={"token": TOKEN})
    assert PASSWORD not in repr(given) and TOKEN not in repr(given)
    scene = stage({"password": "another"}, signed_on=False)
    with pytest.raises(Declined) as caught:
        scene.sign_on()
    assert PASSWORD not in str(caught.value)
