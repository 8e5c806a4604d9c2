"""4018, 4015, 4047, 4048, 4017: each line by its own voucher, and nothing more than was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.simbank.ledger import Account, Conduct, Ledger
from protocols.bank import Bank
from protocols.banks import pab
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.canon.order import BatchItemDetail, Bundle, CollectionDetail, Item, Kind, Order, PayrollItemDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BundleFateQuestion, DirectoryQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import CREDITOR, DEBTOR, ENTERPRISE, framed, order
from tests.world.dialogue import BankTime, Stage, sent_bundle_of

BATCH = "GW00000000000000B001"


def stage(*, pages: int = 500, **options: object) -> Stage:
    time = BankTime()
    adapter = pab.build({"enterprise_code": ENTERPRISE, "agreement": "AG1", "agency_refused": ["ZREF"], **options})
    other = twin.build({"page_lines_4015": pages}, {})
    return Stage(adapter, other, Ledger(time.now_ms, [Account(DEBTOR, "甲公司", Money(10_000_000))], Conduct()), time)


def line(number: int, kind: Kind = Kind.BATCH_ITEM, purpose: str = "货款", minor: int = 1_000) -> Item:
    single = order()
    ours, theirs = single.debtor, Party(AccountNumber(CREDITOR), Name("示例丙"), "中国工商银行", "102100099996")
    if kind is Kind.COLLECTION:
        collected = Order(f"E{number}", theirs, ours, Money(minor), CollectionDetail("", "B1", number), purpose)
        return Item(collected, f"GW{number:018d}")
    if kind is Kind.PAYROLL_ITEM:
        return Item(Order(f"E{number}", ours, theirs, Money(minor), PayrollItemDetail("B1", number), purpose), f"GW{number:018d}")
    return Item(Order(f"E{number}", ours, theirs, Money(minor), BatchItemDetail("B1", number), purpose), f"GW{number:018d}")


def bundle(kind: Kind = Kind.BATCH_ITEM, *purposes: str) -> Bundle:
    return Bundle(kind, tuple(line(n, kind, purpose) for n, purpose in enumerate(purposes or ("货款", "货款"), start=1)))


def send(made: Stage, wanted: Bundle) -> Mapping[str, Outcome]:
    return made.talk(made.bank.bundles[wanted.kind].word(wanted, made.context(BATCH)))


def sent(made: Stage, wanted: Bundle) -> SentBundle:
    return sent_bundle_of(wanted, BATCH, made.time.now.date())


def ask(made: Stage, wanted: Bundle) -> Mapping[str, Outcome]:
    return made.talk(made.bank.bundles[wanted.kind].fate(BundleFateQuestion(sent(made, wanted)), made.context()))


def fates(said: Mapping[str, Outcome]) -> list[Fate]:
    return [one.fate for _, one in sorted(said.items())]


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_each_line_has_its_own_fate(kind: Kind) -> None:
    made, wanted = stage(), bundle(kind, "货款", "货款 #refuse", "货款", "货款 #late")
    assert fates(send(made, wanted)) == [Fate.PENDING] * 4
    told = fates(ask(made, wanted))
    assert told[:3] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
    assert told[3] in (Fate.PENDING, Fate.UNKNOWN)


def test_pages_are_walked_to_the_end() -> None:
    made, wanted = stage(pages=3), bundle(Kind.BATCH_ITEM, *["货款"] * 8)
    send(made, wanted)
    before = len(made.said)
    assert fates(ask(made, wanted)) == [Fate.SETTLED] * 8
    assert len(made.said) - before == 3


def test_a_bank_that_never_ends_is_left() -> None:
    made, wanted = stage(pages=1), bundle(Kind.BATCH_ITEM, *["货款"] * 8)
    send(made, wanted)
    with pytest.raises(ProtocolError) as error:
        ask(made, wanted)
    assert error.value.reason == "paging"


def test_a_batch_again_is_a_duplicate_and_books_nothing() -> None:
    made, wanted = stage(), bundle()
    send(made, wanted)
    assert fates(send(made, wanted)) == [Fate.DUPLICATE] * 2
    assert len(made.ledger.executions) == 2


def test_a_line_whose_voucher_is_known_is_a_duplicate_and_never_a_no() -> None:
    made, wanted = stage(), bundle()
    send(made, wanted)
    again = Bundle(Kind.BATCH_ITEM, (wanted.items[0], line(9)))
    made.talk(made.bank.bundles[Kind.BATCH_ITEM].word(again, made.context("GW00000000000000B002")))
    question = BundleFateQuestion(replace(sent(made, again), reference="GW00000000000000B002"))
    said = made.talk(made.bank.bundles[Kind.BATCH_ITEM].fate(question, made.context()))
    assert said[wanted.items[0].reference].fate is Fate.DUPLICATE
    assert said[line(9).reference].fate is Fate.SETTLED


def test_a_batch_the_bank_does_not_know_is_not_found_and_nothing_else() -> None:
    made, wanted = stage(), bundle()
    assert fates(ask(made, wanted)) == [Fate.NOT_FOUND] * 2


def test_without_its_own_word_a_refused_line_of_payroll_stays_in_doubt() -> None:
    made, wanted = stage(agency_refused=[]), bundle(Kind.PAYROLL_ITEM, "工资 #refuse")
    send(made, wanted)
    (said,) = ask(made, wanted).values()
    assert (said.fate, said.listed) == (Fate.UNKNOWN, False)


def test_payroll_and_collection_want_an_agreement() -> None:
    assert set(pab.build({"enterprise_code": ENTERPRISE}).bundles) == {Kind.BATCH_ITEM}


def test_one_message_carries_one_agreement() -> None:
    made, wanted = stage(), bundle(Kind.COLLECTION)
    first = wanted.items[0].order
    other = replace(first, detail=CollectionDetail("OTHER", "B1", 1))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        send(made, Bundle(Kind.COLLECTION, (replace(wanted.items[0], order=other), wanted.items[1])))
    assert made.said == []


BANK: Bank = pab.build({"enterprise_code": ENTERPRISE})
KEYS = tuple(
    Sent(f"GW{n:018d}", BankTime().now.date(), 1, (), Money(1_000), AccountNumber(DEBTOR), AccountNumber(CREDITOR))
    for n in (1, 2)
)
WRITTEN = SentBundle(BATCH, BankTime().now.date(), 1, (), KEYS)


def asked(answer: bytes) -> Mapping[str, Outcome]:
    talk = BANK.bundles[Kind.BATCH_ITEM].fate(BundleFateQuestion(WRITTEN), stage().context())
    next(talk)
    try:
        talk.send(answer)
    except StopIteration as end:
        said: Mapping[str, Outcome] = end.value
        return said
    raise AssertionError("one page")


def rows(*found: str, batch: str = BATCH) -> bytes:
    head = f"<OrigThirdVoucher>{batch}</OrigThirdVoucher><IsEnd>Y</IsEnd>"
    return framed("4015", f"<Result>{head}{''.join(found)}</Result>")


def row(voucher: str = "GW000000000000000001", stt: str = "20", amount: str = "10.00") -> str:
    return (f"<list><SThirdVoucher>{voucher}</SThirdVoucher><Stt>{stt}</Stt><TranAmount>{amount}</TranAmount>"
            f"<IsBack>0</IsBack></list>")  # fmt: skip


def test_a_line_without_a_row_is_left_out() -> None:
    assert list(asked(rows(row()))) == ["GW000000000000000001"]


def test_two_rows_of_one_voucher_that_disagree_are_doubt() -> None:
    assert asked(rows(row(), row(stt="30")))["GW000000000000000001"].fate is Fate.UNKNOWN


@pytest.mark.parametrize("answer", [
    rows(row(voucher="GW000000000000000009")), rows(row(amount="10.01")), rows(row(), batch="GW00000000000000B009"),
])  # fmt: skip
def test_rows_that_are_not_ours_make_it_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        asked(answer)
    assert error.value.reason == "correlation"


def test_a_refused_enquiry_says_nothing_about_the_payments() -> None:
    said = asked(framed("4015", None, code="YQ9990", text="企业没有开通此交易", service="01"))
    assert fates(said) == [Fate.UNKNOWN] * 2


def test_a_stored_answer_is_read_again() -> None:
    read = BANK.bundles[Kind.BATCH_ITEM].read
    accepted = framed("4018", f"<Result><ThirdVoucher>{BATCH}</ThirdVoucher></Result>")
    assert fates(read(WRITTEN, accepted)) == [Fate.PENDING] * 2
    refused = framed("4018", None, code="YQ9983", text="未签名", service="01")
    assert fates(read(WRITTEN, refused)) == [Fate.FAILED] * 2


def test_the_directory() -> None:
    made = stage()
    ask_for = made.bank.questions.directory
    assert ask_for is not None
    found = made.talk(ask_for(DirectoryQuestion(name="示例"), made.context()))
    assert [branch.cnaps for branch in found.branches] == ["000000000000", "000000000017"]
    assert made.talk(ask_for(DirectoryQuestion(name="没有"), made.context())).branches == ()
