"""NTAGDRFD: lines of payrolls that came back, by our reference in CPRACT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import ReturnsQuestion
from protocols.canon.statement import Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    OURS,
    REFERENCE,
    THEIRS,
    TODAY,
    answer,
    bank,
    bundle,
    content,
    context,
    first_step,
    reference_of,
    stage,
    talk,
)

ASKED = ReturnsQuestion(AccountNumber(OURS), TODAY, TODAY)
ON: Mapping[str, Any] = {"refund_reference": True, "payroll_mode": "00002"}
ROW = {
    "BTHDTL": "00000002",
    "CPRACT": reference_of(2),
    "CPRCNV": "",
    "EACNAM": "示例丁",
    "EACNBR": THEIRS,
    "REQNBR": "0000000077",
    "RTNCOD": "002",
    "RTNTXT": "账号、户名不符",
    "STSCOD": "E",
    "TRSAMT": "5.00",
    "TRSDAT": "20261120",
    "TXTCLT": "工资",
    "YURREF": REFERENCE,
}
CAME_BACK = Return(reference_of(2), Money(500), None, "账号、户名不符")


def refunds(*frames: bytes, options: Mapping[str, Any] = ON) -> tuple[list[ReturnsPage], list[str]]:
    """Every page of the walk, and the questions. NTQRYSTN finds nothing, `frames` answer NTAGDRFD."""
    ask = bank(**options).questions.returns
    assert ask is not None
    pages, asked, left, cursor = list[ReturnsPage](), list[str](), list(frames), None
    while True:
        question = ReturnsQuestion(ASKED.account, ASKED.first, ASKED.last, cursor)
        [name] = [
            one for one in ("NTQRYSTN", "NTAGDRFD") if f">{one}<" in content(first_step(ask(question, context())).data)
        ]
        page, [request] = talk(ask(question, context()), answer(name, "0") if name == "NTQRYSTN" else left.pop(0))
        pages.append(page)
        asked += [content(request)] if name == "NTAGDRFD" else []
        cursor = page.cursor
        if cursor is None:
            assert not left
            return pages, asked


def drfd(*rows: Mapping[str, str], code: str = "0", key: str | None = None) -> bytes:
    more = [] if key is None else [("NTAGDRFDY1", {"CTNKRY": key})]
    return answer("NTAGDRFD", code, *[("NTAGDRFDZ1", {**ROW, **one}) for one in rows], *more)


def found(pages: list[ReturnsPage]) -> list[Return]:
    return [one for page in pages for one in page.returns]


def test_a_line_that_came_back_is_found_by_our_reference() -> None:
    pages, asked = refunds(drfd(), drfd({}))
    assert found(pages) == [CAME_BACK]
    assert all("<TRSTYP>BYSA</TRSTYP>" in one and f"<ACCNBR>{OURS}</ACCNBR>" in one for one in asked)
    assert ["<BGNDAT>20261117</BGNDAT>" in asked[0], "<ENDDAT>20261124</ENDDAT>" in asked[-1]] == [True, True]


def test_it_is_asked_only_where_our_reference_stands_in_the_lines() -> None:
    for options in ({}, {"payroll_mode": "00002"}, {"refund_reference": True, "payroll_mode": ""}):
        assert refunds(options=options)[1] == []
    step = first_step(bank(**ON).bundles[Kind.PAYROLL_ITEM].word(bundle(Kind.PAYROLL_ITEM, (500,)), context()))
    assert f"<CPRACT>{reference_of(1)}</CPRACT>" in content(step.data)
    step = first_step(
        bank(payroll_mode="00002").bundles[Kind.PAYROLL_ITEM].word(bundle(Kind.PAYROLL_ITEM, (500,)), context())
    )
    assert "<CPRACT/>" in content(step.data)


def test_an_agent_request_has_our_reference_in_its_text() -> None:
    pages, _ = refunds(
        drfd(), drfd({"CPRACT": "", "TXTCLT": reference_of(2)}), options={**ON, "agency": "AgentRequest"}
    )
    assert found(pages) == [CAME_BACK]


@pytest.mark.parametrize(
    "odd", [{"STSCOD": "S"}, {"STSCOD": ""}, {"CPRACT": ""}, {"CPRACT": "工资"}, {"TRSAMT": "x"}, {"TRSAMT": "-5.00"}]
)
def test_a_row_that_cannot_be_read_hides_no_other(odd: dict[str, str]) -> None:
    pages, _ = refunds(drfd(), drfd(odd, {}))
    assert found(pages) == [CAME_BACK]
    assert [len(page.findings) for page in pages] == [0] * (len(pages) - 1) + [1]


def test_the_bank_s_key_is_handed_back_until_there_is_none() -> None:
    pages, asked = refunds(drfd({}, key="A 1"), drfd({"CPRACT": reference_of(3)}, key=""), drfd())
    assert [one.reference for one in found(pages)] == [reference_of(2), reference_of(3)]
    assert ["<CTNKRY>A 1</CTNKRY>" in one for one in asked] == [False, True, False]
    with pytest.raises(ProtocolError):
        refunds(drfd({}, key="A"), drfd({}, key="A"))


def test_a_no_to_this_list_hides_no_other_list() -> None:
    pages, _ = refunds(drfd(code="-2"), drfd(code="-2"))
    assert found(pages) == [] and "declined with -2" in pages[-1].findings[0]
    for code in ("-4", "-5"):
        with pytest.raises(Declined):
            refunds(drfd(code=code))


@pytest.mark.parametrize("agency", ["NTAGC", "AgentRequest"])
def test_a_payroll_line_comes_back_and_is_told_by_the_twin(agency: str) -> None:
    scene = stage(conduct=BookingRules(return_s=60), **{**ON, "agency": agency, "line_reference": True})
    given = bundle(
        Kind.PAYROLL_ITEM, (500, 600), creditor=Party(AccountNumber(THEIRS), Name("#return")), purpose="工资"
    )
    scene.talk(scene.bank.bundles[Kind.PAYROLL_ITEM].word(given, scene.context(REFERENCE)))
    scene.time.later(3_600)
    ask, told, cursor = scene.bank.questions.returns, list[Return](), None
    assert ask is not None
    while True:
        got = scene.talk(ask(ReturnsQuestion(ASKED.account, ASKED.first, ASKED.last, cursor), scene.context()))
        told += got.returns
        cursor = got.cursor
        if cursor is None:
            break
    assert [(one.reference, one.amount) for one in told] == [
        (reference_of(1), Money(500)),
        (reference_of(2), Money(600)),
    ]
