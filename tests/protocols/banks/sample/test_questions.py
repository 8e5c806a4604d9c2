"""The questions to Sample Bank, and the life of its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from lxml import etree

from protocols.bank import BadOptions
from protocols.banks import sample
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Direction, Page
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.sample.paper import CREDITOR, DEBTOR, SENT, answer, keys, public_pem, stage, xmlsec_signed
from tests.world.dialogue import NOON, BankAndTwin, order_of

TODAY = NOON.date()
OWN = AccountNumber(DEBTOR)


def paid(made: BankAndTwin, count: int) -> None:
    for n in range(count):
        order = order_of({"amount": f"{n + 1}.00", "purpose": f"no {n}"})
        made.talk(made.bank.money[Kind.PAYMENT](order, made.context(f"PAGE{n:016d}")))


def lines(made: BankAndTwin, cursor: str | None = None, first: date = TODAY, last: date = TODAY) -> Page:
    assert made.bank.questions.lines is not None
    question = LinesQuestion(OWN, first, last, cursor=cursor)
    return made.talk(made.bank.questions.lines(question, made.context()))


def rewritten(made: BankAndTwin, changes: Mapping[str, str], nth: int = 0) -> None:
    """Replace the content of the bank's next answers, properly signed."""

    def tamper(frame: bytes) -> bytes:
        root = etree.fromstring(frame)
        root.remove(root[-1])
        for name, text in changes.items():
            list(root.iter(f"{{urn:sample-bank:1}}{name}"))[nth].text = text
        return xmlsec_signed(etree.tostring(root, encoding="UTF-8"), keys().bank)

    made.tamper = tamper


def test_a_walk_over_pages_finds_every_entry_once() -> None:
    made = stage(page_lines=3)
    paid(made, 8)
    pages = [lines(made)]
    while pages[-1].cursor is not None:
        pages.append(lines(made, pages[-1].cursor))
    found = [line for page in pages for line in page.lines]
    assert [len(page.lines) for page in pages] == [3, 3, 2]
    assert [line.amount.minor for line in found] == [100 * (n + 1) for n in range(8)]
    assert {line.reference for line in found} == {f"PAGE{n:016d}" for n in range(8)}
    assert len({line.bank_line_id for line in found}) == 8
    first = found[0]
    assert (first.direction, first.bank_date, first.text) == (Direction.DEBIT, TODAY, "no 0")
    assert first.counterparty_account == AccountNumber(CREDITOR)
    assert (pages[0].opening, pages[0].closing) == (Money(10_000_000), Money(10_000_000 - 3600))
    assert {page.total_lines for page in pages} == {8}
    assert found[-1].balance == pages[-1].closing


def test_a_cursor_of_another_question_is_refused_before_anything_is_sent() -> None:
    made = stage(page_lines=1)
    paid(made, 2)
    cursor = lines(made).cursor
    assert cursor is not None
    asked = len(made.said)
    with pytest.raises(ProtocolError) as refused:
        lines(made, cursor, last=TODAY + timedelta(days=1))
    assert refused.value.reason == "paging"
    assert len(made.said) == asked


def test_a_bank_that_goes_round_is_stopped() -> None:
    made = stage(page_lines=1)
    paid(made, 3)
    rewritten(made, {"Cursor": "1"})
    cursor = lines(made).cursor
    with pytest.raises(ProtocolError) as refused:
        lines(made, cursor)
    assert refused.value.reason == "paging"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Account": CREDITOR}, "correlation"),
        ({"Currency": "USD"}, "correlation"),
        ({"BankDate": "2026-11-25"}, "correlation"),
        ({"Opening": ""}, "value"),
        ({"Total": "-1"}, "value"),
        ({"Serial": "1"}, "correlation"),
    ],
)
def test_entries_that_cannot_be_used(changes: Mapping[str, str], reason: str) -> None:
    made = stage()
    paid(made, 1)
    rewritten(made, changes)
    with pytest.raises(ProtocolError) as refused:
        lines(made)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "changes", [{"Direction": "X"}, {"Amount": "1e2"}, {"Amount": "1.001"}, {"BookedAt": "2026-11-24T12:00:00"}]
)
def test_an_entry_that_cannot_be_read_is_left_out_and_told(changes: Mapping[str, str]) -> None:
    made = stage()
    paid(made, 1)
    rewritten(made, changes)
    page = lines(made)
    assert (page.lines, page.unread, page.total_lines, len(page.findings)) == ((), 1, None, 1)


def test_balance_of_a_past_day_states_that_day_and_nothing_else() -> None:
    made = stage()
    paid(made, 1)
    made.time.later(86_400)
    paid_late = order_of({"amount": "50.00"})
    made.talk(made.bank.money[Kind.PAYMENT](paid_late, made.context("PAGE9999999999999999")))
    assert made.bank.questions.balance is not None
    past = made.talk(made.bank.questions.balance(BalanceQuestion(OWN, on=TODAY), made.context()))
    assert (past.book, past.available, past.previous_day) == (Money(9_999_900), None, None)
    now = made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context()))
    assert (now.book, now.previous_day) == (Money(9_994_900), Money(9_999_900))
    assert now.as_of == made.time.now


def test_balance_of_another_account_is_not_believed() -> None:
    made = stage()
    rewritten(made, {"Account": CREDITOR})
    assert made.bank.questions.balance is not None
    with pytest.raises(ProtocolError) as refused:
        made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context()))
    assert refused.value.reason == "correlation"


def test_returns_page_by_page() -> None:
    made = stage(page_lines=2)
    for n in range(3):
        order = order_of({"amount": "1.00", "purpose": "#return"})
        made.talk(made.bank.money[Kind.PAYMENT](order, made.context(f"BACK{n:016d}")))
    made.time.later(61)
    assert made.bank.questions.returns is not None
    question = ReturnsQuestion(OWN, TODAY, TODAY)
    page = made.talk(made.bank.questions.returns(question, made.context()))
    assert [one.reference for one in page.returns] == ["BACK0000000000000000", "BACK0000000000000001"]
    assert (page.returns[0].amount, page.returns[0].returned_on) == (Money(100), TODAY)
    again = ReturnsQuestion(OWN, TODAY, TODAY, cursor=page.cursor)
    last = made.talk(made.bank.questions.returns(again, made.context()))
    assert ([one.reference for one in last.returns], last.cursor) == (["BACK0000000000000002"], None)


def test_sign_on_probe_sign_off() -> None:
    made = stage()
    assert set(made.session) == {"token"}
    made.talk(made.bank.sessions.probe(made.context()))
    assert made.bank.sessions.sign_off is not None
    made.talk(made.bank.sessions.sign_off(made.context()))
    with pytest.raises(Declined) as declined:
        made.talk(made.bank.sessions.probe(made.context()))
    assert (declined.value.code, declined.value.outcome, declined.value.listed) == ("S100", "signed_out", True)


def test_wrong_password_is_declined() -> None:
    made = stage()
    made.credentials = {"user": "u", "password": "other"}
    made.connection.clear()
    with pytest.raises(Declined) as declined:
        made.sign_on()
    assert (declined.value.code, declined.value.outcome) == ("S200", "signed_out")


def test_a_lane_without_password_says_so_and_sends_nothing() -> None:
    made = stage()
    made.credentials = {"user": "u"}
    asked = len(made.said)
    with pytest.raises(ProtocolError, match="password"):
        made.sign_on()
    assert len(made.said) == asked


def test_unlisted_code_of_a_question_is_a_retry() -> None:
    made = stage()
    rewritten(made, {"Code": "Z999"})
    with pytest.raises(Declined) as declined:
        made.talk(made.bank.sessions.probe(made.context()))
    assert (declined.value.code, declined.value.outcome, declined.value.listed) == ("Z999", "retry", False)


def test_money_carries_no_token_and_questions_do() -> None:
    made = stage()
    paid(made, 1)
    lines(made)
    pay, entries = made.said[-2].request, made.said[-1].request
    assert made.session["token"].encode() not in pay
    assert made.session["token"].encode() in entries
    assert (made.said[-2].money, made.said[-1].money) == (True, False)


# ---- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bank_certificate", ""),
        ("bank_certificate", 7),
        ("bank_certificate", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        ("customer", "a b"),
        ("customer", 1),
        ("sessions", 0),
        ("sessions", 17),
        ("sessions", True),
        ("heartbeat_s", 500),
        ("answer_s", "60"),
        ("quarantine_s", -1),
        ("first_enquiry_s", None),
        ("per_second", 0),
        ("verify", "openssl"),
        ("sesions", 4),
    ],
)
def test_bad_options_name_the_key(key: str, value: Any) -> None:
    good = {"bank_certificate": public_pem(keys().bank)}
    assert sample.build(good).profile.name == "sample"
    with pytest.raises(BadOptions) as refused:
        sample.build({**good, key: value})
    assert refused.value.key == key


def test_both_keys_are_believed_during_a_change() -> None:
    pem = (public_pem(keys().stranger) + public_pem(keys().bank)).decode()
    both = sample.build({"bank_certificate": pem})
    old, new = answer(), answer(key=keys().stranger)
    assert both.read(Kind.PAYMENT, SENT, old) == both.read(Kind.PAYMENT, SENT, new)


def test_profile_declares_what_intake_checks() -> None:
    profile = stage().bank.profile
    limits = {one.at: one for one in profile.limits.fields}
    assert limits["/purpose"].max_bytes == 140
    assert limits["/creditor/name"].max_bytes == 120
    assert limits["/creditor/name"].required
    assert profile.limits.amount.max_minor == 9_999_999_999_999
    assert (profile.limits.reference.length, profile.limits.charset) == (20, "UTF-8")
    assert {rule.policy.value for rule in profile.replay.values()} == {"replay_safe"}
