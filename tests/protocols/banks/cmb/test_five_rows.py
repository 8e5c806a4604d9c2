"""Five answers to each operation (nothing, an order that is not known, busy, refused, a code nobody has seen).

Every cell says what we make of the answer: the fate of an order, the outcome of a declined question, "no answer" for
what cannot be believed, or what was found. Codes are the bank's own, except those of the last row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from protocols.bank import Bank
from protocols.canon.order import Kind, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
)
from protocols.canon.statement import ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    NUMBER,
    OURS,
    REPEATED,
    TODAY,
    answer,
    bank,
    bundle,
    context,
    handed_in,
    order,
    question,
    record,
    reference_of,
    sent,
    sent_bundle,
    talk,
)

ACCOUNT = AccountNumber(OURS)
BATCH, MANY = bundle(Kind.BATCH_ITEM, (500, 500)), bundle(Kind.BATCH_ITEM, (500,) * 31)
WAGES, CLAIMS = bundle(Kind.PAYROLL_ITEM, (500,)), bundle(Kind.COLLECTION, (500,))
REFUSED: Mapping[str, str] = {"REQSTS": "FIN", "RTNFLG": "F", "ERRCOD": "FABZ002", "ERRTXT": "业务检查"}
NO_ACCOUNT = "FAAQ086 -CSAB051 户口不存在"


def line(**changes: str) -> Any:
    return handed_in(**{"YURREF": reference_of(1), **changes})


def told(outcome: Outcome) -> str:
    return f"{outcome.fate.value}{'' if outcome.listed else ' unlisted'}"


def fates(got: Mapping[str, Outcome]) -> str:
    """The fates of a bundle's items; "(none)" for one that has no word."""
    return ", ".join(sorted({told(one) for one in got.values()})) or "(none)"


Act = Callable[[Bank, tuple[bytes, ...]], str]


def paying(transfer: bool = False) -> Act:
    def act(made: Bank, frames: tuple[bytes, ...]) -> str:
        one = order(TransferDetail()) if transfer else order()
        return told(talk(made.money[one.kind](one, context()), *frames)[0])

    return act


def sending(given: Any) -> Act:
    return lambda made, frames: fates(talk(made.bundles[given.kind].word(given, context()), *frames)[0])


def enquiring(given: Any, serial: str = "") -> Act:
    def act(made: Bank, frames: tuple[bytes, ...]) -> str:
        at = sent_bundle(given, bank_serial=serial or None)
        return fates(talk(made.bundles[given.kind].fate(BundleFateQuestion(at), context()), *frames)[0])

    return act


def asking(name: str, wanted: Any, shown: Callable[[Any], str]) -> Act:
    return lambda made, frames: shown(talk(getattr(made.questions, name)(wanted, context()), *frames)[0])


def probed(made: Bank, frames: tuple[bytes, ...]) -> str:
    talk(made.sessions.probe(context()), *frames)
    return "alive"


AGENT: Mapping[str, Any] = {"agency": "AgentRequest"}
ON: Mapping[str, Any] = {"receipts": True}
OPERATIONS: Mapping[str, tuple[str, Act, Mapping[str, Any]]] = {
    "payment": ("DCPAYMNT", paying(), {}),
    "transfer": ("DCOPRTRF", paying(transfer=True), {"transfer_code": "N02041"}),
    "batch": ("DCPAYMNT", sending(BATCH), {}),
    "large batch": ("DCPAYMNT", sending(MANY), {}),
    "payroll": ("NTAGCSAL", sending(WAGES), {}),
    "collection": ("NTAGCACL", sending(CLAIMS), {}),
    "small payroll": ("AgentRequest", sending(WAGES), AGENT),
    "fate": ("NTQRYSTY", asking("fate", question(), told), {"second_enquiry": False}),
    "fates by date": ("NTQRYSTN", enquiring(BATCH), {}),
    "payroll's state": ("NTAGCINY", enquiring(WAGES), {}),
    "payroll's lines": ("NTAGDINF", enquiring(WAGES, NUMBER), {"agency_enquiry": ""}),
    "small payroll's lines": ("GetAgentDetail", enquiring(WAGES, NUMBER), {**AGENT, "agency_enquiry": ""}),
    "balance": ("NTQADINF", asking("balance", BalanceQuestion(ACCOUNT), lambda got: "stated"), {}),
    "past balance": (
        "SDKNTQABINF",
        asking("balance", BalanceQuestion(ACCOUNT, on=TODAY.replace(day=23)), lambda got: "stated"),
        {},
    ),
    "lines": (
        "GetTransInfoEX",
        asking("lines", LinesQuestion(ACCOUNT, TODAY, TODAY), lambda got: f"{len(got.lines)} lines"),
        {},
    ),
    "returns": (
        "NTQRYSTN",
        asking("returns", ReturnsQuestion(ACCOUNT, TODAY, TODAY), lambda got: f"{len(got.returns)} returns"),
        {},
    ),
    "receipt": (
        "SDKCSFDFBRT",
        asking(
            "receipt",
            ReceiptQuestion(ACCOUNT, TODAY, "20261124-K1-debit-500"),
            lambda got: "later" if isinstance(got, ReceiptLater) else "told",
        ),
        ON,
    ),
    "probe": ("ListMode", probed, {}),
}

BUSY, UNSEEN = ("-5", (), "请求过于频繁"), ("-8", (), "新的错误")
NOTHING = ("0", (), "")
Frame = tuple[str, tuple[Any, ...], str]
LINES: tuple[tuple[str, Frame, str], ...] = (
    ("empty", NOTHING, "no answer"),
    ("known already", ("0", (line(**REPEATED),), ""), "duplicate"),
    ("busy", BUSY, "in_doubt"),
    ("refused", ("0", (line(**REFUSED),), ""), "failed"),
    ("refused, not numbered", ("0", (line(**REFUSED, REQNBR=""),), ""), "in_doubt"),
    ("refused whole", ("-3", (), "数据格式错误"), "in_doubt"),
    ("unknown", UNSEEN, "in_doubt unlisted"),
    ("unknown state", ("0", (line(REQSTS="XXX"),), ""), "in_doubt unlisted"),
)
WHOLE: tuple[tuple[str, Frame, str], ...] = (
    ("empty", NOTHING, "no answer"),
    ("known already", ("-2", (), "NCB4241 -业务参考号重复"), "duplicate"),
    ("busy", BUSY, "in_doubt"),
    ("refused", ("-3", (), "数据格式错误"), "in_doubt"),
    ("unknown", UNSEEN, "in_doubt unlisted"),
)
QUESTION: tuple[tuple[str, Frame, str], ...] = (
    ("busy", BUSY, "declined rate_limited"),
    ("refused", ("-3", (), "数据格式错误"), "declined failed"),
    ("unknown", UNSEEN, "declined retry"),
)
ACCOUNT_QUESTION = (("account unknown", ("-2", (), NO_ACCOUNT), "declined failed"), *QUESTION)
SINGLE = {"YURREF": "GW000000000000000001"}
ALONE = tuple(
    (row, (code, tuple((n, {**v, **SINGLE}) for n, v in lines), text), wanted)
    for row, (code, lines, text), wanted in LINES
)
ROWS: Mapping[str, tuple[tuple[str, Frame, str], ...]] = {
    "payment": ALONE,
    "transfer": ALONE,
    "batch": LINES,
    "large batch": (("empty", NOTHING, "pending"), *WHOLE[1:]),
    "payroll": WHOLE,
    "collection": WHOLE,
    "small payroll": WHOLE,
    "fate": (
        ("empty", NOTHING, "not_found"),
        ("busy", BUSY, "declined rate_limited"),
        ("refused", ("0", (record(RTNFLG="F"),), ""), "failed"),
        ("unknown", UNSEEN, "in_doubt unlisted"),
        ("unknown state", ("0", (record(RTNFLG="Z"),), ""), "in_doubt unlisted"),
    ),
    "fates by date": (
        (
            "refused",
            ("0", tuple(record(YURREF=reference_of(n), TRSAMT="5.00", RTNFLG="F") for n in (1, 2)), ""),
            "failed",
        ),
        ("busy", BUSY, "declined rate_limited"),
        ("unknown", UNSEEN, "declined retry"),
    ),
    "payroll's state": (
        ("empty", NOTHING, "not_found"),
        ("busy", BUSY, "declined rate_limited"),
        ("refused", ("-3", (), "数据格式错误"), "declined failed"),
        ("unknown", UNSEEN, "declined retry"),
    ),
    "payroll's lines": (
        ("empty", NOTHING, "(none)"),
        ("busy", BUSY, "declined rate_limited"),
        (
            "refused",
            ("0", (("NTAGCDTLY1", {"TRXSEQ": "00000001", "STSCOD": "E", "ERRDSP": "户名不符"}),), ""),
            "failed",
        ),
        ("unknown", UNSEEN, "(none)"),
        ("unknown state", ("0", (("NTAGCDTLY1", {"TRXSEQ": "00000001", "STSCOD": "Z"}),), ""), "in_doubt unlisted"),
    ),
    "small payroll's lines": (
        ("empty", NOTHING, "(none)"),
        ("busy", BUSY, "declined rate_limited"),
        ("refused", ("0", (("NTQATDQYZ", {"TRSDSP": reference_of(1), "STSCOD": "F"}),), ""), "failed"),
        ("unknown", UNSEEN, "(none)"),
        ("unknown state", ("0", (("NTQATDQYZ", {"TRSDSP": reference_of(1), "STSCOD": "Z"}),), ""), "in_doubt unlisted"),
    ),
    "balance": (
        ("empty", NOTHING, "no answer"),
        (
            "account unknown",
            ("0", (("NTQADINFZ", {"ACCNBR": OURS, "ERRCOD": "FAAQ086", "ERRTXT": NO_ACCOUNT}),), ""),
            "declined failed",
        ),
        *QUESTION,
    ),
    "past balance": (("empty", NOTHING, "no answer"), *ACCOUNT_QUESTION),
    "lines": (("empty", NOTHING, "0 lines"), *ACCOUNT_QUESTION),
    "returns": (("empty", NOTHING, "0 returns"), *QUESTION),
    "receipt": (*ACCOUNT_QUESTION,),
    "probe": (("empty", NOTHING, "alive"), *QUESTION),
}
CELLS = [pytest.param(op, *cell, id=f"{op}: {cell[0]}") for op, cells in ROWS.items() for cell in cells]


@pytest.mark.parametrize(("operation", "row", "frame", "wanted"), CELLS)
def test_what_we_make_of_the_answer(operation: str, row: str, frame: Frame, wanted: str) -> None:
    function, act, options = OPERATIONS[operation]
    code, lines, message = frame
    heard = answer(function, code, *lines, message=message)
    try:
        got = act(bank(**options), (heard,))
    except Declined as declined:
        got = f"declined {declined.outcome}" if declined.code and declined.text else "declined without the bank's words"
    except ProtocolError:
        got = "no answer"
    assert got == wanted, row


def test_every_operation_of_the_adapter_has_its_rows() -> None:
    made = bank(**ON)
    has = {"fate", "balance", "lines", "returns", "receipt"}
    assert all(getattr(made.questions, name) is not None for name in has) and set(ROWS) == set(OPERATIONS)
    for operation, cells in ROWS.items():
        rows = {cell[0] for cell in cells}
        assert {"busy", "refused", "unknown"} <= rows, operation
    both = {"empty", "account unknown", "known already"}
    assert all(both & {cell[0] for cell in cells} for operation, cells in ROWS.items() if operation != "fates by date")


# ---- what the bank told the settings -----------------------------------------------------------------------------

DECLARED: Mapping[str, Any] = {"codes": {"refused": ["FABZ002", "-3"], "duplicate": ["NCB9999"]}}


def paid(*lines: Any, code: str = "0", message: str = "", **options: Any) -> Outcome:
    frame = answer("DCPAYMNT", code, *lines, message=message)
    outcome = talk(bank(**options).money[Kind.PAYMENT](order(), context()), frame)[0]
    assert bank(**options).read(Kind.PAYMENT, sent(), frame) == outcome
    return outcome


def test_a_refusal_that_the_bank_attested_ends_the_payment_without_a_number() -> None:
    doubt = paid(handed_in(**REFUSED, REQNBR=""))
    assert (doubt.fate, doubt.code, doubt.text, doubt.listed) == (Fate.UNKNOWN, "FABZ002", "业务检查", True)
    end = paid(handed_in(**REFUSED, REQNBR=""), **DECLARED)
    assert (end.fate, end.code, end.text, end.listed) == (Fate.FAILED, "FABZ002", "业务检查", True)
    other = paid(handed_in(**{**REFUSED, "ERRCOD": "FAAQ086"}, REQNBR=""), **DECLARED)
    assert other.fate is Fate.UNKNOWN
    assert paid(handed_in(**{**REFUSED, "REQSTS": "BNK", "RTNFLG": ""}), **DECLARED).fate is Fate.UNKNOWN
    assert paid(handed_in(**{**REFUSED, "RTNFLG": "S"}), **DECLARED).fate is Fate.UNKNOWN


def test_a_duplicate_is_read_before_any_declared_refusal() -> None:
    told_twice = handed_in(**{**REFUSED, "ERRTXT": "业务参考号重复"}, REQNBR="")
    assert paid(told_twice, **DECLARED).fate is Fate.DUPLICATE
    assert paid(handed_in(**{**REFUSED, "ERRCOD": "NCB9999"}), **DECLARED).fate is Fate.DUPLICATE
    assert paid(handed_in(**{**REFUSED, "ERRCOD": "NCB9999"})).fate is Fate.FAILED


def test_a_declared_retcod_ends_what_it_stands_alone_for() -> None:
    assert paid(code="-3", message="数据格式错误", **DECLARED).fate is Fate.FAILED
    assert paid(code="-4", message="用户未登录", **DECLARED).fate is Fate.UNKNOWN
    assert paid(handed_in(), code="-3", **DECLARED).fate is Fate.UNKNOWN, "a line beside it contradicts it"
    assert paid(code="-3", message="业务参考号重复", **DECLARED).fate is Fate.DUPLICATE
    for given, wanted in ((BATCH, "failed"), (MANY, "failed"), (WAGES, "failed")):
        function = "NTAGCSAL" if given is WAGES else "DCPAYMNT"
        assert sending(given)(bank(**DECLARED), (answer(function, "-3"),)) == wanted
    assert sending(BATCH)(bank(**DECLARED), (answer("DCPAYMNT", "-3", line()),)) == "in_doubt"


def test_no_declared_code_answers_an_enquiry() -> None:
    made = bank(**DECLARED)
    assert made.questions.fate is not None
    asked = made.questions.fate(FateQuestion(sent()), context())
    assert talk(asked, answer("NTQRYSTY", "-3"))[0].fate is Fate.UNKNOWN
