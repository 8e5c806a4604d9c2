"""KHKF03 and KHKF04, 4052, 401802: orders with their own messages, and the enquiries about them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Replay
from protocols.banks import pab
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, BatchItemDetail, Bundle, Channel, Item, Kind, Order, TransferDetail
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion, ReceiptQuestion, Sent
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import CREDITOR, DEBTOR, ENTERPRISE, bank, context, first_step, framed, order
from tests.world.dialogue import BankAndTwin, BankTime

UPPER = "00000000000025"
VOUCHER = "GW000000000000000007"
BATCH = "GW00000000000000B001"


def stage(faults: tuple[str, ...] = (), **options: object) -> BankAndTwin:
    time = BankTime()
    adapter = pab.build({"enterprise_code": ENTERPRISE, **options})
    accounts = [LedgerAccount(DEBTOR, "甲公司", Money(10_000_000)), LedgerAccount(UPPER, "甲集团", Money(10_000_000))]
    return BankAndTwin(adapter, twin.build({"faults": faults}, {}), Ledger(time.now_ms, accounts, BookingRules()), time)


def instant(**changes: object) -> AnyOrder:
    return replace(order(), channel=Channel.INSTANT, **changes)  # type: ignore[arg-type]


def swept(direction: str) -> AnyOrder:
    low, up = Party(AccountNumber(DEBTOR), Name("甲公司")), Party(AccountNumber(UPPER), Name("甲集团"))
    sides = (low, up) if direction == "sweep" else (up, low)
    return Order("E1", *sides, Money(1_000), TransferDetail(direction))


def pay(made: BankAndTwin, wanted: AnyOrder) -> Sent:
    """Send the order; returns the record that the journal would keep."""
    at = made.context(VOUCHER)
    assert made.talk(made.bank.money[wanted.kind](wanted, at)).fate is Fate.PENDING
    return Sent(VOUCHER, at.bank_date, 1, made.serials, wanted.amount, wanted.debtor.account, wanted.creditor.account)


def fate(made: BankAndTwin, sent: Sent) -> Fate:
    ask = made.bank.questions.fate
    assert ask is not None
    return made.talk(ask(FateQuestion(sent), made.context())).fate


def operations(made: BankAndTwin) -> list[str]:
    return [one.request[40:46].decode().strip() for one in made.said]


# ---- fast pay ----


@pytest.mark.parametrize(
    ("word", "expected"), [("货款", Fate.SETTLED), ("货款 #refuse", Fate.FAILED), ("货款 #late", Fate.PENDING)]
)
def test_an_instant_payment_goes_by_khkf03_and_khkf04_tells_its_fate(word: str, expected: Fate) -> None:
    made = stage(fast_pay_item="00000")
    sent = pay(made, instant(purpose=word))
    assert fate(made, sent) is expected
    assert operations(made) == ["KHKF03", "KHKF04"]


def test_other_channels_go_by_4004_all_the_same() -> None:
    made = stage(fast_pay_item="00000")
    assert fate(made, pay(made, order())) is Fate.SETTLED
    assert operations(made) == ["4004", "4005"]


def test_without_the_fee_item_no_instant_payment_is_offered_or_sent() -> None:
    assert Channel.INSTANT not in bank().profile.limits.channels
    assert Channel.INSTANT in bank(fast_pay_item="00000").profile.limits.channels
    with pytest.raises(ProtocolError, match="fast_pay_item"):
        first_step(bank().money[Kind.PAYMENT](instant(), context()))


def test_an_unknown_order_number_is_not_found() -> None:
    made = stage(fast_pay_item="00000")
    sent = Sent(
        VOUCHER, made.time.now.date(), 1, ("S", "KHKF03"), Money(1), AccountNumber(DEBTOR), AccountNumber(CREDITOR)
    )
    assert fate(made, sent) is Fate.NOT_FOUND


def test_an_answer_about_another_order_number_is_no_answer() -> None:
    made = stage(("others_voucher",), fast_pay_item="00000")
    with pytest.raises(ProtocolError, match="correlation|not 'GW"):
        fate(made, pay(made, instant()))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"creditor": Party(AccountNumber("0" * 21), Name("示例丙"))}, "20"),
        ({"creditor": Party(AccountNumber(CREDITOR), Name("丙" * 33))}, "32"),
    ],
)
def test_what_fast_pay_has_no_room_for_is_not_sent(changes: dict[str, Party], match: str) -> None:
    with pytest.raises(ProtocolError, match=match):
        first_step(bank(fast_pay_item="00000").money[Kind.PAYMENT](instant(**changes), context()))


@pytest.mark.parametrize(
    ("status", "expected"), [("20", Fate.SETTLED), ("30", Fate.FAILED), ("77", Fate.PENDING), ("", Fate.UNKNOWN)]
)
def test_khkf04_s_status_decides_and_none_is_doubt(status: str, expected: Fate) -> None:
    made = stage(fast_pay_item="00000")
    sent = pay(made, instant())
    body = f"<Result><OrderNumber>{VOUCHER}</OrderNumber><Status>{status}</Status><RetCode>X1</RetCode></Result>"
    made.tamper = lambda answer: framed("KHKF04", body)
    assert fate(made, sent) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [("MA4045", Fate.DUPLICATE), ("YQ9990", Fate.FAILED), ("AFE004", Fate.UNKNOWN), ("ZZ9999", Fate.UNKNOWN)],
)
@pytest.mark.parametrize("operation", ["KHKF03", "4052"])
def test_a_code_for_an_answer(operation: str, code: str, expected: Fate) -> None:
    made = bank(fast_pay_item="00000", sweeps="4052")
    kind = Kind.PAYMENT if operation == "KHKF03" else Kind.TRANSFER
    sent = Sent(
        VOUCHER, context().bank_date, 1, ("S", operation), Money(1_000), AccountNumber(DEBTOR), AccountNumber(UPPER)
    )
    assert made.read(kind, sent, framed(operation, None, code=code)).fate is expected


def test_what_nobody_promises_to_refuse_twice_is_never_repeated() -> None:
    usual, special = bank().profile.replay, bank(fast_pay_item="1", sweeps="4052").profile.replay
    assert {one.policy for one in usual.values()} == {Replay.QUERY_FIRST}
    assert {one.policy for one in special.values()} == {Replay.NEVER}


# ---- sweeps ----


@pytest.mark.parametrize(("direction", "kind"), [("sweep", "1"), ("push", "2")])
def test_a_sweep_goes_by_4052_if_the_settings_say_so(direction: str, kind: str) -> None:
    made = stage(sweeps="4052")
    sent = pay(made, swept(direction))
    asked = made.said[0].request.decode("gbk")
    for leaf in (
        f"<AcctNo>{UPPER}</AcctNo>",
        f"<subAccountNo>{DEBTOR}</subAccountNo>",
        f"<guiJiType>{kind}</guiJiType>",
        "<guiJiAreaOption>2</guiJiAreaOption>",
    ):
        assert leaf in asked
    assert fate(made, sent) is Fate.SETTLED
    assert operations(made) == ["4052", "4005"]
    moved = -1_000 if direction == "sweep" else 1_000
    held = made.ledger.holding(DEBTOR)
    assert held is not None and held.book == Money(10_000_000 + moved)


@pytest.mark.parametrize("direction", ["sweep", "push", "transfer"])
def test_otherwise_it_is_a_payment(direction: str) -> None:
    made = stage(sweeps="4052" if direction == "transfer" else "4004")
    pay(made, swept(direction))
    assert operations(made) == ["4004"]


@pytest.mark.parametrize(
    ("leaf", "other"),
    [
        ("Amount>10.00", "Amount>10.01"),
        (f"AcctNo>{UPPER}", "AcctNo>1"),
        ("guiJiType>1", "guiJiType>2"),
        (f"ThirdVoucher>{VOUCHER}", "ThirdVoucher>GW9"),
    ],
)
def test_an_answer_about_another_sweep_is_no_answer(leaf: str, other: str) -> None:
    made = stage(sweeps="4052")
    pay(made, swept("sweep"))
    body = made.said[0].answer[222:].decode("gbk").partition("?>")[2].replace(leaf, other)
    sent = Sent(
        VOUCHER, context().bank_date, 1, ("S", "4052"), Money(1_000), AccountNumber(DEBTOR), AccountNumber(UPPER)
    )
    with pytest.raises(ProtocolError) as caught:
        made.bank.read(Kind.TRANSFER, sent, framed("4052", body))
    assert caught.value.reason == "correlation"


# ---- receipts ----


def asked(**changes: object) -> ReceiptQuestion:
    known = ReceiptQuestion(
        AccountNumber(DEBTOR),
        context().bank_date,
        reference=VOUCHER,
        amount=Money(1_000),
        bundle=BATCH,
        creditor=AccountNumber(CREDITOR),
        creditor_name=Name("示例丙"),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def receipted(made: BankAndTwin, question: ReceiptQuestion) -> Receipt | ReceiptLater:
    ask = made.bank.questions.receipt
    assert ask is not None
    return made.talk(ask(question, made.context()))


def batch(made: BankAndTwin) -> None:
    single = order()
    item = Item(Order("E1", single.debtor, single.creditor, Money(1_000), BatchItemDetail("B1", 1), "货款"), VOUCHER)
    made.talk(made.bank.bundles[Kind.BATCH_ITEM].word(Bundle(Kind.BATCH_ITEM, (item,)), made.context(BATCH)))


def test_a_line_s_receipt_is_its_number_and_check_code() -> None:
    made = stage(batch_receipts=True)
    batch(made)
    told = receipted(made, asked())
    assert isinstance(told, Receipt) and told.media_type == "text/plain; charset=utf-8"
    answer = made.said[-1].answer.decode("gbk", "replace")
    number = answer.partition("<CheckNo>")[2].partition("<")[0]
    assert number and number in told.data.decode() and told.name == f"{number}.txt"
    assert answer.partition("<CheckCode>")[2].partition("<")[0] in told.data.decode()


def test_a_receipt_that_is_not_there_yet_is_asked_for_again() -> None:
    assert isinstance(receipted(stage(batch_receipts=True), asked()), ReceiptLater)


@pytest.mark.parametrize("leaf", ["ThirdVoucher", "SThirdVoucher", "OutAcctNo", "InAcctNo", "TranAmount"])
def test_another_line_s_receipt_is_no_answer(leaf: str) -> None:
    made = stage(batch_receipts=True)
    batch(made)
    made.tamper = lambda answer: framed(
        "401802", f"<Result><{leaf}>9.00</{leaf}><CheckNo>1</CheckNo><CheckCode>2</CheckCode></Result>"
    )
    with pytest.raises(ProtocolError) as caught:
        receipted(made, asked())
    assert caught.value.reason == "correlation"


@pytest.mark.parametrize("missing", ["bundle", "reference", "amount", "creditor"])
def test_a_payment_that_went_alone_has_no_such_receipt(missing: str) -> None:
    with pytest.raises(ProtocolError, match="batch"):
        receipted(stage(batch_receipts=True), asked(**{missing: None}))


def test_receipts_are_offered_only_with_the_option() -> None:
    assert bank().questions.receipt is None
