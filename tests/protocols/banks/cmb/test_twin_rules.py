"""The bank's side judges: our own requests break no rule, every function has rules, and every transport is judged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

import pytest

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.cmb import twin
from protocols.banks.cmb.twin_orders import Orders
from protocols.banks.cmb.twin_rules import INTERFACES, RULES
from protocols.canon.money import Money
from protocols.judge import RequestFinding, RuleKind
from tests.protocols.banks.cmb.client_mistakes import (
    GOOD,
    HOLDER,
    LOGIN,
    OWN,
    changed,
    document,
    form_request,
    framed,
    mistakes,
    request,
    side,
)
from tests.protocols.banks.cmb.paper import bank
from tests.protocols.banks.cmb.test_dialogues import SCENES, shown
from tests.protocols.banks.every.bench import table
from tests.protocols.banks.every.test_page_against_twin import ACTS
from tests.world.dialogue import BankAndTwin, BankTime, Scene

AGENT = "agency=AgentRequest"
TRANSFERS = "transfer_code=N02041"
OTHER_BANKS = ("directory", "sweep", "push", "batch_receipt", "instant_payment", "payroll_line")
"""Acts that this bank's adapter does not have."""
PLAYED = (
    *((act, "") for act in ACTS if act not in OTHER_BANKS),
    *((act, AGENT) for act in ("payroll", "collection", "returns")),
    *((act, TRANSFERS) for act in ("transfer", "returns")),
)


@cache
def stage_of(act: str, option: str) -> BankAndTwin:
    """The stage after the act. A large batch is played with lines that no enquiry lists, so that notices are read."""
    given = dict([option.split("=")]) if option else {}
    made = table("cmb", bank_options=given, refused_unlisted=act == "large_batch")
    ACTS[act](made)
    return made.stage


def broken(findings: Sequence[RequestFinding]) -> list[str]:
    return [f"{one.place}: {one.rule.value} {one.value!r} {one.words.english}" for one in findings]


@pytest.mark.parametrize(("act", "option"), PLAYED)
def test_our_own_requests_break_no_rule(act: str, option: str) -> None:
    stage = stage_of(act, option)
    assert broken(stage.findings) == []
    assert stage.said or act == "sign_on"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_no_dialogue_breaks_a_rule(scene: Any) -> None:
    made: list[BankAndTwin] = []

    def one(accounts: Sequence[LedgerAccount]) -> BankAndTwin:
        time = BankTime()
        made.append(
            BankAndTwin(
                bank(), twin.build({"login": "U0001", "page_lines": 2}, {}), Ledger(time.now_ms, accounts), time
            )
        )
        return made[0]

    Scene(scene, one, shown).play()
    assert made and broken(made[0].findings) == []


def test_every_function_that_we_use_was_played() -> None:
    used = {shown(said.request)[0] for act, option in PLAYED for said in stage_of(act, option).said}
    assert set(RULES) - used == {"NTAGCAPY"}, "we send wages only; 代发 of other kinds is the bank's side's"


def test_every_function_of_the_bank_s_side_has_rules_and_a_good_request() -> None:
    played = {*Orders().functions, "ListMode", "NTQADINF", "SDKNTQABINF", "GetTransInfoEX", "SDKCSFDFBRT"}
    assert set(RULES) == played == set(GOOD)
    for name, parts in GOOD.items():
        assert {part for part, _leaves in parts} == INTERFACES[name]
        answer = side().answer(request(name))
        assert (broken(answer.findings), answer.operation) == ([], name)


@pytest.mark.parametrize("name", GOOD)
def test_each_required_field_is_missed(name: str) -> None:
    """A field whose absence no rule minds is one that the page does not demand."""
    for part, leaves in GOOD[name]:
        for leaf, content in leaves.items():
            answer = side().answer(request(name, {f"{part}/{leaf}": None}))
            for one in answer.findings:
                assert leaf in one.place or one.rule in (RuleKind.MISSING, RuleKind.TOGETHER), (leaf, one.place)
            assert content or not answer.findings, f"{leaf} may be empty and is missed when absent"


# ---- the three transports ----


def posted(body: bytes, *, method: str = "POST") -> bytes:
    return f"{method} / HTTP/1.1\r\nHost: fep\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body


GOOD_PAYMENT = changed("DCPAYMNT").encode("gbk")
WRONG: Sequence[tuple[str, bytes, str, RuleKind]] = [
    ("http", posted(GOOD_PAYMENT, method="PUT"), "HTTP method", RuleKind.HEADER),
    ("http", posted(b"REQDATA=" + GOOD_PAYMENT), "document", RuleKind.FRAME),
    ("http-form", posted(GOOD_PAYMENT), "REQDATA", RuleKind.FRAME),
    ("http-form", form_request(changed("DCPAYMNT")).replace(b"REQDATA", b"reqdata"), "REQDATA", RuleKind.FRAME),
    ("http-form", form_request(changed("DCPAYMNT", {"DCOPDPAYX/TRSAMT": "x"})), "TRSAMT", RuleKind.FORM),
]


@pytest.mark.parametrize(("transport", "frame", "place", "rule"), WRONG)
def test_what_is_wrong_in_a_transport_is_named(transport: str, frame: bytes, place: str, rule: RuleKind) -> None:
    books = Ledger(BankTime().now_ms, [LedgerAccount(OWN, HOLDER, Money(100_00))])
    answer = twin.build({"transport": transport, "login": LOGIN}, {}).answer("business", frame, books, {})
    assert any(place in one.place and one.rule is rule for one in answer.findings), broken(answer.findings)
    assert not books.executions and answer.code == "-3"


def test_the_benchmark_s_side_judges_too() -> None:
    made = side()
    made.twin = twin.build({"transport": "socket", "login": LOGIN, "cheap": True}, {})
    assert made.answer(request("DCPAYMNT", {"DCOPDPAYX/TRSAMT": "0"})).findings
    assert not made.ledger.executions


# ---- what the answers say ----


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("DCPAYMNT", {}, "0"),
        ("DCPAYMNT", {"DCOPDPAYX/NUSAGE": "#refuse"}, "FABZ002"),
        ("DCPAYMNT", {"DCOPDPAYX/DBTACC": "769900000010099"}, "FAAQ086"),
        ("NTQADINF", {}, "0"),
        ("NTQADINF", {"NTQADINFX/ACCNBR": "769900000010099"}, "FAAQ086"),
        ("NTAGCSAL", {"NTAGCAGCX1/TTLNUM": "2", "NTAGCAGCX1/BEGTAG": "N", "NTAGCAGCX1/REQNBR": "0000000009"}, "-2"),
    ],
)
def test_an_answer_says_its_code(name: str, changes: Mapping[str, str], code: str) -> None:
    assert side().answer(request(name, changes)).code == code


def test_a_repeat_is_told_with_the_bank_s_own_code_and_is_no_mistake() -> None:
    made = side()
    made.answer(request("DCPAYMNT"))
    again = made.answer(request("DCPAYMNT"))
    assert (again.code, again.reason, again.findings) == ("NCB4241", "NCB4241 -业务参考号重复", ())


def test_an_account_that_is_not_known_costs_no_other_account_its_balance() -> None:
    row = ("NTQADINFX", {"BBKNBR": "69", "ACCNBR": "769900000010099"})
    answer = side().answer(framed(document("NTQADINF", [*GOOD["NTQADINF"], row])))
    text = answer.data.decode("gbk")
    assert text.count("<NTQADINFZ>") == 2 and "<ERRCOD>SUC0000</ERRCOD>" in text and "<RETCOD>0</RETCOD>" in text
    assert [one.place for one in answer.findings] == ["NTQADINFX[2]/ACCNBR"]


def test_the_bank_s_side_says_no_code_of_our_own_making() -> None:
    page = {"-2", "-3", "-4", "FAAQ086", "FABZ002", "NCB4241"}
    assert {side().answer(one.request()).code for one in mistakes()} == page


def test_a_payroll_in_two_parts_is_booked_with_the_second() -> None:
    made, head = side(), "NTAGCAGCX1/"
    whole = {head + "TTLNUM": "2", head + "TTLCNT": "4", head + "TTLAMT": "6.00"}
    first = made.answer(request("NTAGCSAL", {**whole, head + "ENDTAG": "N"}))
    [number] = re.findall("<REQNBR>([0-9]{10})</REQNBR>", first.data.decode("gbk"))
    assert (first.code, first.findings, made.ledger.executions) == ("0", (), [])
    later = {
        **whole,
        head + "BEGTAG": "N",
        head + "REQNBR": number,
        "NTAGCDTLY1/TRXSEQ": "00000003",
        "NTAGCDTLY1[2]/TRXSEQ": "00000004",
    }
    wrong = side()
    wrong.answer(request("NTAGCSAL", {**whole, head + "ENDTAG": "N"}))
    assert wrong.answer(request("NTAGCSAL", {**later, head + "TTLAMT": "7.00"})).code == "-3"
    assert not wrong.ledger.executions
    second = made.answer(request("NTAGCSAL", later))
    assert (second.code, second.findings, len(made.ledger.executions)) == ("0", (), 4)
    state = made.answer(request("NTAGCINY")).data.decode("gbk")
    assert f"<REQNBR>{number}</REQNBR>" in state and "<TRSNUM>4</TRSNUM>" in state
    assert made.answer(request("NTAGDINF", {"NTAGDINFY1/REQNBR": number})).data.count(b"<TRXSEQ>") == 4
    assert made.answer(request("NTAGCSAL", {**whole, head + "ENDTAG": "N"})).reason.startswith("NCB4241")


def test_whatever_comes_is_answered_and_what_breaks_a_rule_books_nothing() -> None:
    chance, refused = Random(5), 0
    for _ in range(400):
        data = bytearray(request(chance.choice([*GOOD]))[8:])
        at = chance.randrange(len(data))
        data[at : at + chance.randrange(20)] = bytes(chance.choices(b"<>/&0A9.-\xbb\xf5\xff ", k=chance.randrange(12)))
        made = side()
        answer = made.twin.answer("business", bytes(data), made.ledger, {})
        refused += bool(answer.findings)
        assert answer.close and not (answer.findings and made.ledger.executions)
    assert refused > 100
