"""What each operation makes of the bank's codes for "no entries", "no such order", "busy", "refused" and of an unlisted one.

The codes are those of the bank's page (cib.md 4 and 5). The last rows are codes that the settings declare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from protocols.bank import Ask, BadOptions, Submit
from protocols.banks.cib.options import CODE_WORDS, read_options
from protocols.banks.cib.table import DECLARATIONS
from protocols.canon.order import Kind, Order, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
)
from protocols.canon.statement import Page, ReturnsPage
from protocols.kit.declined import Declined
from tests.protocols.banks.cib.paper import (
    BASE,
    BUNDLE,
    CENTRE,
    DEBTOR,
    QUERY,
    TODAY,
    bank,
    body_of,
    bundle,
    context,
    fox,
    line,
    payment,
    question,
    sent,
    sent_bundle,
    told,
)

Talk = Generator[Any, bytes, Any]
OURS, DAY = AccountNumber(DEBTOR), TODAY - timedelta(days=1)
FIVE: Final = {
    "empty": ("6421", "没有符合条件的记录"),
    "order unknown": ("2000", "支付指令不存在"),
    "busy": ("1740", "查询超时"),
    "refused": ("2005", "没有权限"),
    "unknown": ("99999", "?"),
}
MONEY: Final = ("in_doubt, unlisted", "in_doubt", "in_doubt", "failed", "in_doubt, unlisted")
FATE: Final = ("ask again", "not_found", "declined: retry", "declined: failed", "ask again")
LIST: Final = ("no rows", "ask again", "declined: retry", "declined: failed", "ask again")
OTHER: Final = ("ask again", "ask again", "declined: retry", "declined: failed", "ask again")
CORE: Final = ("in_doubt",) * 5
"""The core system's refusal leaves what the first enquiry told: PENDING."""


def single(options: Mapping[str, Any], order: Any) -> Talk:
    return bank(**options).money[order.kind](order, context())


def pooled() -> Talk:
    ours, centre = Party(OURS, Name("甲公司")), Party(AccountNumber(CENTRE), Name("甲集团"))
    return single({}, Order("T", ours, centre, payment().amount, TransferDetail("sweep"), "调拨"))


def bundled(kind: Kind, options: Mapping[str, Any] = {}) -> Talk:
    return bank(**options).bundles[kind].word(bundle(line(1, kind), line(2, kind)), context(BUNDLE))


def bundle_fate(kind: Kind, options: Mapping[str, Any] = {}) -> Talk:
    asked = BundleFateQuestion(sent_bundle(bundle(line(1, kind), line(2, kind))))
    return bank(**options).bundles[kind].fate(asked, context())


def fate(options: Mapping[str, Any] = {}, *serials: str) -> Talk:
    ask = bank(**options).questions.fate
    assert ask is not None
    return ask(FateQuestion(replace(question().sent, serials=serials)), context())


def asked(name: str, about: Any, options: Mapping[str, Any] = {}) -> Talk:
    talk: Talk = getattr(bank(**options).questions, name)(about, context())
    return talk


RECEIPT = ReceiptQuestion(OURS, DAY, "20250107000001")
OPERATIONS: Mapping[str, tuple[Callable[[], Talk], tuple[str, ...]]] = {
    "XFERTRN": (lambda: single({}, payment()), MONEY),
    "XPMTTRN": (pooled, MONEY),
    "ICTRANSFERTRN": (lambda: single({"fast_pay": True}, payment(urgency=Urgency.URGENT)), MONEY),
    "ASYNBATCHTRSFRTRN": (lambda: bundled(Kind.BATCH_ITEM), MONEY),
    "RBATCHTRSFRTRN": (lambda: bundled(Kind.BATCH_ITEM, {"batch": "realtime"}), MONEY),
    "RPAYOFFTRN": (lambda: bundled(Kind.PAYROLL_ITEM), MONEY),
    "GATHERTRN": (lambda: bundled(Kind.COLLECTION), MONEY),
    "XFERINQTRN": (fate, FATE),
    "ICTRANSFERINQTRN": (lambda: fate({"fast_enquiry": "ICTRANSFERINQTRN"}, "ICTRANSFERTRN"), FATE),
    "ASYNBATCHTRSFRTRN asked": (lambda: bundle_fate(Kind.BATCH_ITEM), FATE),
    "RBATCHTRSFRTRN asked": (lambda: bundle_fate(Kind.BATCH_ITEM, {"batch": "realtime"}), FATE),
    "RPAYOFFINQTRN": (lambda: bundle_fate(Kind.PAYROLL_ITEM), FATE),
    "GATHERTRN asked": (lambda: bundle_fate(Kind.COLLECTION), FATE),
    "INQSTATETRN": (fate, CORE),
    "CURRACCTQUERYTRN": (lambda: asked("balance", BalanceQuestion(OURS)), OTHER),
    "HISBALQUERYTRN": (lambda: asked("balance", BalanceQuestion(OURS, on=DAY)), OTHER),
    "SCUSTSTMTTRN": (lambda: asked("lines", LinesQuestion(OURS, DAY, DAY)), LIST),
    "FSTMTTRN": (lambda: asked("lines", LinesQuestion(OURS, DAY, DAY), {"lines": "FSTMT"}), LIST),
    "SCUSTSTMTTRN returns": (lambda: asked("returns", ReturnsQuestion(OURS, DAY, DAY)), LIST),
    "ELECTRONICRECEIPTTRN": (lambda: asked("receipt", RECEIPT), OTHER),
    "ASYNRECEIPTINFOTRN": (lambda: asked("receipt", replace(RECEIPT, ticket="E1")), OTHER),
}
ROWS = [
    pytest.param(name, *FIVE[row], meant, id=f"{name}-{row}")
    for name, (_, outcomes) in OPERATIONS.items()
    for row, meant in zip(FIVE, outcomes, strict=True)
]


def made_of(talk: Talk, operation: str, code: str, words: str) -> str:
    """What the adapter makes of an answer with this code to the request of `operation`, in a few words."""
    step = next(talk)
    try:
        if operation == "INQSTATETRN":
            step = talk.send(told("PENDING", trnuid=QUERY))
        assert isinstance(step, (Ask, Submit))
        found = re.search(r"<SECURITIES_MSGSRQV1><([A-Z]+)RQ><TRNUID>(\w+)<", body_of(step))
        assert found is not None and found[1] == operation.partition(" ")[0]
        talk.send(fox(found[1], found[2], "", code, words))
    except Declined as declined:
        return f"declined: {declined.outcome}" if declined.listed else "ask again"
    except StopIteration as end:
        return _word(end.value)
    raise AssertionError("another step")


def _word(value: Any) -> str:
    if isinstance(value, (Page, ReturnsPage)):
        assert not (value.lines if isinstance(value, Page) else value.returns)
        return "no rows"
    outcomes = set(value.values()) if isinstance(value, Mapping) else {value}
    [outcome] = {replace(one, bank_serial=None) for one in outcomes}
    assert isinstance(outcome, Outcome)
    return outcome.fate.value if outcome.listed else f"{outcome.fate.value}, unlisted"


@pytest.mark.parametrize(("operation", "code", "words", "meant"), ROWS)
def test_five_rows(operation: str, code: str, words: str, meant: str) -> None:
    assert made_of(OPERATIONS[operation][0](), operation, code, words) == meant


# ---- refusals ----

REFUSALS = [
    ("2002", "账号与核心户名不符,应为:test1", frozenset(OPERATIONS)),
    ("2005", "没有权限", frozenset(OPERATIONS)),
    ("50006", "没有权限", frozenset(OPERATIONS)),
    ("2006", "金额格式错误", frozenset(OPERATIONS)),
    ("2000", "前置机代理软件参数需设置启用签名", frozenset(OPERATIONS)),
    ("2000", "批量指令提交失败,明细有误", frozenset({"ASYNBATCHTRSFRTRN", "RBATCHTRSFRTRN"})),
    ("60010", "明细有误", frozenset({"ASYNBATCHTRSFRTRN", "RBATCHTRSFRTRN"})),
    ("51027", "总笔数或总金额不符", frozenset({"ASYNBATCHTRSFRTRN", "RBATCHTRSFRTRN", "RPAYOFFTRN"})),
    ("6352", "文件总笔数或总金额校验失败", frozenset({"ASYNBATCHTRSFRTRN", "RBATCHTRSFRTRN"})),
]
SENT = [name for name, (_, outcomes) in OPERATIONS.items() if outcomes is MONEY]


@pytest.mark.parametrize("operation", SENT)
@pytest.mark.parametrize(("code", "words", "of"), REFUSALS)
def test_a_refusal_of_the_bank_s_own_manual_ends_a_first_send(
    operation: str, code: str, words: str, of: frozenset[str]
) -> None:
    told_ = made_of(OPERATIONS[operation][0](), operation, code, words)
    assert told_ == "failed" if operation in of else told_.startswith("in_doubt")


@pytest.mark.parametrize("operation", SENT)
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("6000", "未知失败"),
        ("51010", "操作执行异常，请查询"),
        ("52000", "操作执行异常，请查询"),
        ("2002", "请于15分钟后查询结果"),
        ("2002", "报文格式错误"),
        ("2001", "查询无数据"),
    ],
)
def test_what_is_no_known_refusal_stays_in_doubt_with_the_bank_s_words(operation: str, code: str, words: str) -> None:
    assert made_of(OPERATIONS[operation][0](), operation, code, words).startswith("in_doubt")


# ---- codes that the settings declare ----


def test_a_declared_refusal_ends_a_first_send_and_no_repeat() -> None:
    declared = {"codes": {"refused": ["20999"]}}
    refused = fox("XFERTRN", "CIB20250108000000001", "", "20999", "余额不足")
    assert bank().read(Kind.PAYMENT, sent(), refused).fate is Fate.UNKNOWN
    fates = [bank(**declared).read(Kind.PAYMENT, sent(attempt=attempt), refused).fate for attempt in (1, 2)]
    assert fates == [Fate.FAILED, Fate.UNKNOWN]
    for kind in (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION):
        name = {Kind.BATCH_ITEM: "ASYNBATCHTRSFRTRN", Kind.PAYROLL_ITEM: "RPAYOFFTRN"}.get(kind, "GATHERTRN")
        assert made_of(bundled(kind, declared), name, "20999", "余额不足") == "failed"


@pytest.mark.parametrize(
    ("word", "talk", "operation", "meant"),
    [
        ("duplicate", lambda options: single(options, payment()), "XFERTRN", "duplicate"),
        ("not_found", fate, "XFERINQTRN", "not_found"),
        ("empty", lambda options: asked("lines", LinesQuestion(OURS, DAY, DAY), options), "SCUSTSTMTTRN", "no rows"),
    ],
)
def test_other_declared_codes(word: str, talk: Callable[[Any], Talk], operation: str, meant: str) -> None:
    assert made_of(talk({"codes": {word: ["20999"]}}), operation, "20999", "") == meant


@pytest.mark.parametrize("code", ["2000", "2002", "2005", "6000", "51010", "6421", "12345"])
def test_a_code_of_the_bank_s_page_cannot_be_declared(code: str) -> None:
    with pytest.raises(BadOptions, match=code):
        bank(codes={"refused": [code]})


def test_a_code_is_never_duplicate_and_refused_and_never_0() -> None:
    for codes in ({"duplicate": ["7"], "refused": ["7"]}, {"refused": ["0"]}, {"settled": ["7"]}):
        with pytest.raises(BadOptions):
            read_options({**BASE, "codes": codes})
    assert set(DECLARATIONS) == set(CODE_WORDS)
