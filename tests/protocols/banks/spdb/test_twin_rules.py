"""The rules by which the bank's side judges requests: the adapter breaks none, and every operation has some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.bank import Cutter
from protocols.banks import spdb
from protocols.banks.spdb import twin, twin_rules
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, PartyKind
from protocols.canon.query import BalanceQuestion
from protocols.judge import FieldRule, RequestRules, RowsRule, RuleKind
from protocols.trial import trial
from protocols.twin import Answer, Books, Twin
from tests.protocols.banks.every.bench import Table, bundled, kinds, table
from tests.protocols.banks.spdb.client_mistakes import BODIES, HOLDER, LINE, ROWS, request, side
from tests.protocols.banks.spdb.paper import DEBTOR, MASTER, NOW, TODAY, key_pem
from tests.world.dialogue import BankTime

BANK = "spdb"
WEB: Mapping[str, Any] = {"authorisation": True, "auth_master_id": "2000000002"}
SETTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"length_padding": "blanks", "schedule_date": "today", "payee_bank_flag": "1", "payee_address": "上海"}, {}),
    (dict(WEB), {"authorise_s": 3_600}),
    ({}, {"cheap": True}),
]


@dataclass
class Listening:
    """The bank's side, with the operation of each answer that it gave."""

    twin: Twin
    ports: tuple[str, ...] = ("business", "sign")
    heard: set[str] = field(default_factory=set)

    def requests(self, port: str) -> Cutter:
        return self.twin.requests(port)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        told = self.twin.answer(port, request, books, session)
        assert told.code and told.operation, "an answer without its code or operation"
        self.heard.add(told.operation)
        return told


def whole_day(made: Table) -> set[str]:
    """Ask for everything that the adapter can ask; returns the operations that the bank received."""
    made.stage.twin = listening = Listening(made.stage.twin)
    for kind in kinds(BANK):
        for purpose in ("货款", "货款 #refuse", "货款 #late"):
            for person in (PartyKind.CORPORATE, PartyKind.PERSON):
                usual: Any = made.order(kind, purpose=purpose)
                reference = made.reference()
                made.pay(replace(usual, creditor=replace(usual.creditor, kind=person)), reference)
                made.fate(reference)
    for kind in bundled(BANK):
        bundle, reference = made.bundle(kind, ("货款", "货款 #refuse", "货款"))
        made.pay_bundle(bundle, reference)
        made.bundle_fate(kind, reference)
    assert made.bank.questions.balance is not None
    account = BalanceQuestion(AccountNumber(made.own[0]))
    made.stage.talk(made.bank.questions.balance(account, made.stage.context()))
    made.walk(made.own[0], made.today - timedelta(days=2), made.today)
    made.returns()
    made.stage.talk(made.bank.sessions.probe(made.stage.context()))
    return listening.heard


@pytest.mark.parametrize(("options", "twin_options"), SETTINGS)
def test_the_adapter_s_own_requests_break_no_rule(options: dict[str, Any], twin_options: dict[str, Any]) -> None:
    made = table(BANK, bank_options=options, **twin_options)
    heard = whole_day(made)
    assert made.stage.findings == []
    web = {"DO48", "EY03"} if options.get("authorisation") else set()
    assert heard == {"sign", "8801", "8800", "8804", "4402", "8924", *web}


def test_what_the_front_end_verifies_breaks_no_rule() -> None:
    made = table(BANK)
    made.stage.bank = spdb.build(trial(BANK).options)
    assert "verify" in whole_day(made) and made.stage.findings == []


# ---- the rules themselves ----


def rows_of(judge: RequestRules) -> Iterator[FieldRule]:
    for one in judge.fields:
        yield from one.fields if isinstance(one, RowsRule) else (one,)


def test_each_operation_that_is_answered_has_rules_and_each_field_a_row_of_the_page() -> None:
    known = twin_rules.rules(TODAY)
    answered = re.findall(
        r'^            "(\w+)": self\.operations\.', Path(twin.__file__).read_text("utf-8"), re.MULTILINE
    )
    assert set(answered) == set(known) and not twin_rules.NOT_ANSWERED & set(known)
    for judge in (twin_rules.PACKET, *known.values()):
        for one in rows_of(judge):
            assert one.source.startswith("spdb.md"), one.place
        assert all(one.source.startswith("spdb.md") for one in judge.together)
        # A code that the page has not for a mistake is said to be reconstructed.
        assert judge.refusal.reconstructed


@pytest.mark.parametrize("operation", BODIES)
def test_a_good_request_has_every_field_of_the_rules_and_no_other(operation: str) -> None:
    judge = twin_rules.rules(TODAY)[operation]
    fields = {one.place for one in judge.fields if isinstance(one, FieldRule)} - {"lists", "lists@name"}
    assert fields == set(BODIES[operation])
    rows = [{one.place for one in part.fields} for part in judge.fields if isinstance(part, RowsRule)]
    assert rows == [set(line) for line in ROWS.get(operation, ())[:1]]


@pytest.mark.parametrize("operation", BODIES)
def test_a_good_request_of_each_operation_is_answered_with_the_bank_s_own_code(operation: str) -> None:
    answer = side().answer(request(operation))
    empty = operation in ("8804", "DO48", "EY03", "8924")
    assert (answer.code, answer.findings) == ("EGG0521" if empty else "AAAAAAA", ())
    assert answer.operation == operation
    assert answer.reason == ("已无符合条件的记录" if empty else "")


def test_an_operation_of_the_page_that_is_not_simulated_is_no_mistake_of_the_client() -> None:
    for operation in twin_rules.NOT_ANSWERED:
        answer = side().answer(request(operation))
        assert (answer.code, answer.findings) == ("EGG0042", ()) and operation in answer.reason


def test_the_cheap_side_judges_too() -> None:
    books = Ledger(BankTime(NOW).now_ms, [LedgerAccount(DEBTOR, HOLDER, Money(1_000_000))])
    cheap = twin.build({"master_id": MASTER, "cheap": True}, {"bank": key_pem()})
    [frame] = cheap.requests("business").feed(request("8801", {"amount": "0.1.1"}))
    answer = cheap.answer("business", frame, books, {})
    assert [(one.place, one.rule) for one in answer.findings] == [("amount", RuleKind.FORM)]
    assert not books.executions


def test_every_mistake_of_one_request_is_named_and_the_bank_answers_the_first() -> None:
    rows = ({**LINE, "amount": "1,5", "sysFlag": ""}, {**LINE, "payeeName": ""})
    answer = side().answer(request("8800", {"packageNo": ""}, rows=rows))
    assert [one.place for one in answer.findings] == [
        "packageNo",
        "lists/list[1]/amount",
        "lists/list[1]/sysFlag",
        "lists/list[2]/payeeName",
    ]
    assert (answer.code, answer.reason) == ("EGG0042", "处理失败")


def test_the_bank_s_own_sentence_stands_in_the_answer() -> None:
    told = side().answer(request("8801", {"head/masterID": "2000000009"}))
    assert b"<returnCode>B2E0005</returnCode>" in told.data and told.reason == "网银授权设置不匹配"
    assert told.reason.encode("gb18030") in told.data


# ---- days ----


def scheduled(today: date, day: str) -> list[str]:
    """The findings about a payment for this day, at a bank whose own date is `today`."""
    time = BankTime(NOW)
    ledger = Ledger(
        time.now_ms,
        [LedgerAccount(DEBTOR, HOLDER, Money(1_000_000))],
        ahead_ms=round((today - TODAY) / timedelta(milliseconds=1)),
    )
    made = replace(side(), ledger=ledger)
    return [one.place for one in made.answer(request("8801", {"bespeakDate": day})).findings]


def test_a_day_stated_by_a_client_is_judged_by_the_bank_s_own_date() -> None:
    """The date of a test environment is weeks before or after the machine's date."""
    for today in (TODAY, TODAY - timedelta(days=33), TODAY + timedelta(days=20)):
        assert scheduled(today, f"{today:%Y%m%d}") == []
        assert scheduled(today, f"{today - timedelta(days=1):%Y%m%d}") == ["bespeakDate"]
        assert scheduled(today, f"{today + timedelta(days=28):%Y%m%d}") == []
        assert scheduled(today, f"{today + timedelta(days=32):%Y%m%d}") == ["bespeakDate"]
