"""The bank's real statuses by operation: empty, order unknown, busy, refused, and one that nobody knows (citic.md 9.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from protocols.bank import BadOptions
from protocols.canon.order import Detail, Kind, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, LinesQuestion, ReceiptQuestion, ReturnsQuestion
from protocols.canon.statement import ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import (
    OURS,
    REFERENCE,
    SIMPLE,
    THEIRS,
    TODAY,
    answer,
    bank,
    bundle,
    context,
    order,
    question,
    reference_of,
    sent_bundle,
    stage,
    talk,
)

ACCOUNT = AccountNumber(OURS)
UNKNOWN_CODE = "XYZ0001"
BUNDLED = (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)
EMPTY, MISSING, BUSY = ("PBRA001", "ES88363", "EEEEEEE"), ("ED02083",), ("ED11308", "ED07018", "ED12002")
REFUSED = ("BLR0024", "ED02010", "BLR0027", "ED03307", "CPRA004", "V000051", "ES88051")
SWEEPS: Mapping[str, Any] = {"sweeps": "CMMANSWP"}


def paid(frame: bytes, detail: Detail = SIMPLE, **options: Any) -> Outcome:
    one = order(detail)
    told = talk(bank(**options).money[one.kind](one, context()), frame)[0]
    assert isinstance(told, Outcome)
    return told


def pays(frame: bytes, **options: Any) -> Fate:
    return paid(frame, **options).fate


def transfers(frame: bytes, **options: Any) -> Fate:
    return paid(frame, TransferDetail(), **options).fate


def sweeps(frame: bytes, **options: Any) -> Fate:
    return paid(frame, TransferDetail("sweep"), **SWEEPS, **options).fate


def pushes(frame: bytes, **options: Any) -> Fate:
    return paid(frame, TransferDetail("push"), **SWEEPS, **options).fate


def hands_in(kind: Kind) -> Callable[..., Fate]:
    def asked(frame: bytes, **options: Any) -> Fate:
        made = bank(**options).bundles[kind]
        told = talk(made.word(bundle(kind, (500, 700)), context()), frame)[0]
        [fate] = {one.fate for one in told.values()}
        return fate

    return asked


def fated(frame: bytes, **options: Any) -> Fate:
    ask = bank(confirm=False, **options).questions.fate
    assert ask is not None
    return talk(ask(question(), context()), frame)[0].fate


def lined(kind: Kind) -> Callable[..., Fate]:
    def asked(frame: bytes, **options: Any) -> Fate:
        given = bundle(kind, (500, 700))
        made = bank(confirm=False, summary_first=False, **options).bundles[kind]
        told = talk(made.fate(BundleFateQuestion(sent_bundle(given)), context()), frame)[0]
        [word] = {one.fate for one in told.values()}
        return word

    return asked


def entries(frame: bytes, **options: Any) -> int:
    ask = bank(**options).questions.lines
    assert ask is not None
    page = talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), context()), frame)[0]
    assert page.cursor is None
    return len(page.lines)


def returns(frame: bytes, **options: Any) -> int:
    ask = bank(control_flag="2", **options).questions.returns
    assert ask is not None
    return len(talk(ask(ReturnsQuestion(ACCOUNT, TODAY, TODAY), context()), frame)[0].returns)


def receipt(frame: bytes, **options: Any) -> bool:
    ask = bank(**options).questions.receipt
    assert ask is not None
    told = talk(ask(ReceiptQuestion(ACCOUNT, TODAY, "20261124-00000000000001"), context()), frame)[0]
    return isinstance(told, ReceiptLater)


def balance(frame: bytes, **options: Any) -> Any:
    ask = bank(**options).questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT), context()), frame)[0]


def past_balance(frame: bytes, **options: Any) -> Any:
    ask = bank(**options).questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT, on=TODAY - timedelta(days=1)), context()), frame)[0]


def balance_row(frame: bytes, **options: Any) -> Any:
    """The same status in the row of an answer that worked."""
    status = frame.partition(b"<status>")[2][:7].decode()
    return balance(answer("AAAAAAA", rows=[{"status": status, "statusText": "", "accountNo": OURS}]), **options)


def probe(frame: bytes, **options: Any) -> Any:
    return talk(bank(**options).sessions.probe(context()), frame)[0]


def summary(kind: Kind) -> Callable[..., Fate]:
    def asked(frame: bytes, **options: Any) -> Fate:
        made = bank(confirm=False, **options).bundles[kind]
        told = talk(made.fate(BundleFateQuestion(sent_bundle(bundle(kind, (500,)))), context()), frame)[0]
        return next(iter(told.values())).fate

    return asked


def download(frame: bytes, **options: Any) -> Any:
    """The status answers DLEDCDTD, after a list that has the receipt."""
    ask = bank(**options).questions.receipt
    assert ask is not None
    listed = answer("AAAAAAA", rows=[{"bresqNo": "1", "billType": "1", "transeqNo": "00000000000001"}])
    return talk(ask(ReceiptQuestion(ACCOUNT, TODAY, "20261124-00000000000001"), context()), listed, frame)[0]


Word = Fate | int | bool | str
"""What a status means: a payment's fate, so many entries, or the word with which the question is declined."""


def rows(given: Mapping[Callable[..., Any], Mapping[str, Word]]) -> list[Any]:
    codes = {"empty": EMPTY, "missing": MISSING, "busy": BUSY, "refused": REFUSED, "unknown": (UNKNOWN_CODE,)}
    return [
        pytest.param(
            asked, code, meant[f"{sort}:{code}"] if f"{sort}:{code}" in meant else meant[sort], id=f"{n}-{code}"
        )
        for n, (asked, meant) in enumerate(given.items())
        for sort, several in codes.items()
        for code in several
    ]


DOUBT, NOWHERE = Fate.UNKNOWN, Fate.NOT_FOUND
SUBMIT: Mapping[str, Word] = dict.fromkeys(("empty", "missing", "busy", "refused", "unknown"), DOUBT)
STATUS: Mapping[str, Word] = {
    "empty": "retry?",
    "empty:PBRA001": NOWHERE,
    "missing": NOWHERE,
    "busy": "rate_limited",
    "refused": "retry?",
    "unknown": "retry?",
}
LINES: Mapping[str, Word] = {**STATUS, "empty:PBRA001": "retry?", "missing": "retry?"}
ENTRIES: Mapping[str, Word] = {**LINES, "empty": 0, "empty:PBRA001": 0}
OTHERS: Mapping[str, Word] = LINES
TABLE: Mapping[Callable[..., Any], Mapping[str, Word]] = {
    pays: SUBMIT,
    transfers: SUBMIT,
    sweeps: SUBMIT,
    pushes: SUBMIT,
    hands_in(Kind.BATCH_ITEM): SUBMIT,
    hands_in(Kind.PAYROLL_ITEM): SUBMIT,
    hands_in(Kind.COLLECTION): SUBMIT,
    fated: STATUS,
    lined(Kind.BATCH_ITEM): LINES,
    lined(Kind.PAYROLL_ITEM): LINES,
    lined(Kind.COLLECTION): LINES,
    entries: ENTRIES,
    returns: ENTRIES,
    receipt: OTHERS,
    balance: OTHERS,
    balance_row: OTHERS,
    past_balance: OTHERS,
    probe: OTHERS,
    download: OTHERS,
    summary(Kind.BATCH_ITEM): OTHERS,
    summary(Kind.PAYROLL_ITEM): OTHERS,
    summary(Kind.COLLECTION): OTHERS,
}


@pytest.mark.parametrize(("asked", "code", "meant"), rows(TABLE))
def test_each_operation_gives_a_status_its_own_meaning(asked: Callable[..., Any], code: str, meant: Word) -> None:
    """The word "retry?" is the result of a question that is asked again because no row knows the status."""
    frame = answer(code, rows=[])
    if isinstance(meant, Fate | int):
        assert asked(frame) == meant
        return
    with pytest.raises(Declined) as caught:
        asked(frame)
    assert (caught.value.code, caught.value.outcome, caught.value.listed) == (code, meant.strip("?"), meant[-1] != "?")


@pytest.mark.parametrize("code", REFUSED)
@pytest.mark.parametrize("asked", [pays, transfers, sweeps, pushes, *map(hands_in, BUNDLED)])
def test_a_refusal_counts_once_the_settings_attest_it(code: str, asked: Callable[..., Fate]) -> None:
    assert asked(answer(code), codes={"refused": [code]}) is Fate.FAILED


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("BLR0024", "付款账号不存在"),
        ("ED03307", "收款账号不存在"),
        ("CPRA004", "可用余额不足"),
        ("PSR0003", "含义未公开"),
    ],
)
def test_a_refusal_that_only_clients_know_is_doubt_with_its_meaning_beside_it(code: str, said: str) -> None:
    told = paid(answer(code, text="拒绝"))
    assert (told.fate, told.code, told.listed) == (Fate.UNKNOWN, code, True)
    assert told.text.startswith("拒绝 (") and said in told.text and "codes.refused" in told.text
    attested = paid(answer(code, text="拒绝"), codes={"refused": [code]})
    assert (attested.fate, attested.text) == (Fate.FAILED, "拒绝")


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM])
def test_a_line_without_cover_is_doubt_until_the_settings_attest_the_code(kind: Kind) -> None:
    given = bundle(kind, (500,))
    line = {"tranAmount": "5.00", "recAccountNo": THEIRS, "status": "CPRA004", "statusText": "余额不足"}
    frame = answer("AAAAAAA", rows=[{"memo": reference_of(1), "employeeNo": "00001", **line}])

    def told(**options: Any) -> Outcome:
        made = bank(confirm=False, summary_first=False, **options).bundles[kind]
        [word] = talk(made.fate(BundleFateQuestion(sent_bundle(given)), context()), frame)[0].values()
        return word

    assert told().fate is Fate.UNKNOWN and "可用余额不足" in told().text
    assert told(codes={"refused": ["CPRA004"]}).fate is Fate.FAILED


def test_a_failure_of_the_enquiry_may_have_a_status_that_only_clients_know() -> None:
    frame = answer("AAAAAAA", rows=[{"stt": "1", "status": "CPRA004", "statusText": ""}])
    assert fated(frame) is Fate.FAILED, "stt 1 is the bank's own word"
    success = answer("AAAAAAA", rows=[{"stt": "0", "status": "CPRA004", "statusText": ""}])
    assert fated(success) is Fate.UNKNOWN


def test_an_empty_lower_amount_is_refused_and_asking_again_changes_nothing() -> None:
    with pytest.raises(Declined) as caught:
        entries(answer("ED01016"))
    assert caught.value.outcome == "failed"


@pytest.mark.parametrize("stt", ["0", "1", "2", "3", "4"])
@pytest.mark.parametrize("code", ["ED02083", "PBRA001"])
def test_not_found_beside_an_stt_is_doubt_and_never_a_failure(stt: str, code: str) -> None:
    frame = answer("AAAAAAA", rows=[{"stt": stt, "status": code, "statusText": ""}])
    assert fated(frame) is Fate.UNKNOWN


@pytest.mark.parametrize(
    "odd", [answer("PBRA001", {"totalRecords": "1"}), answer("EEEEEEE", rows=[{"tranNo": "1"}])], ids=["total", "rows"]
)
def test_an_empty_list_with_rows_is_no_answer(odd: bytes) -> None:
    with pytest.raises(ProtocolError, match="the list has rows"):
        entries(odd)


def test_not_found_with_rows_is_no_answer() -> None:
    with pytest.raises(ProtocolError, match="with rows"):
        fated(answer("ED02083", rows=[{"stt": "1", "status": "ED02093", "statusText": ""}]))


def test_a_status_may_mean_empty_on_one_action_alone() -> None:
    codes = {"empty": {"DLEDDRSQ": [UNKNOWN_CODE, "EEEEEEE"], "DLTRNALL": ["PBRA001"]}}
    assert receipt(answer(UNKNOWN_CODE), codes=codes) and receipt(answer("EEEEEEE"), codes=codes)
    assert entries(answer("PBRA001"), codes=codes) == 0
    with pytest.raises(Declined):
        entries(answer(UNKNOWN_CODE), codes=codes)
    assert pays(answer("EEEEEEE"), codes=codes) is Fate.UNKNOWN


@pytest.mark.parametrize(
    "codes",
    [
        {"empty": {"DLCIDSTT": [UNKNOWN_CODE]}},
        {"empty": {"DLTRNALL": ["ED11308"]}},
        {"empty": {"DLTRNALL": ["short"]}},
        {"empty": ["EEEEEEE"]},
        {"empty": ["ED12002"]},
        {"refused": ["ED02083"]},
        {"refused": ["PBRA001"]},
        {"refused": ["ED11308"]},
        {"not_found": ["ED07018"]},
    ],
)
def test_the_settings_cannot_contradict_what_is_known(codes: Mapping[str, Any]) -> None:
    with pytest.raises(BadOptions):
        bank(codes=codes)


def test_what_the_settings_said_before_the_table_knew_it_may_stay() -> None:
    codes = {"empty": ["PBRA001", "ES88363"], "not_found": ["ED02083"]}
    assert entries(answer("PBRA001"), codes=codes) == 0
    assert fated(answer("ED02083"), codes=codes) is Fate.NOT_FOUND


@pytest.mark.parametrize("busy", BUSY)
def test_a_busy_front_end_at_the_twin_takes_nothing_and_answers_when_it_is_asked_again(busy: str) -> None:
    scene = stage({"busy": busy})
    assert scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))).fate is Fate.UNKNOWN
    assert not scene.ledger.executions
    ask = scene.bank.questions.fate
    assert ask is not None
    with pytest.raises(Declined) as caught:
        scene.talk(ask(question(), scene.context()))
    assert caught.value.outcome == "rate_limited"
    assert scene.talk(ask(question(), scene.context())).fate is Fate.NOT_FOUND
