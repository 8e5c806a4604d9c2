"""4018, 4015, 4047, 4048, 4017: each line is found by its own voucher, and gets only the outcome that the bank states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import BadOptions, Bank
from protocols.banks import pab
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.canon.order import BatchItemDetail, Bundle, CollectionDetail, Item, Kind, Order, PayrollItemDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BundleFateQuestion, DirectoryQuestion, ReturnsQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import CREDITOR, DEBTOR, ENTERPRISE, framed, order
from tests.world.dialogue import BankAndTwin, BankTime, sent_bundle_of

BATCH = "GW00000000000000B001"


def stage(*, pages: int = 500, **options: object) -> BankAndTwin:
    time = BankTime()
    words = {"agency_refused": ["ZREF"], "agency_in_process": ["Z1"]}
    agreement = {"agreement": "AG1", "agreement_item": "0001"}
    adapter = pab.build({"enterprise_code": ENTERPRISE, **agreement, **words, **options})
    other = twin.build({"page_lines_4015": pages}, {})
    return BankAndTwin(
        adapter, other, Ledger(time.now_ms, [LedgerAccount(DEBTOR, "甲公司", Money(10_000_000))], BookingRules()), time
    )


def line(number: int, kind: Kind = Kind.BATCH_ITEM, purpose: str = "货款", minor: int = 1_000) -> Item:
    single = order()
    ours, theirs = single.debtor, Party(AccountNumber(CREDITOR), Name("示例丙"), "中国工商银行", "102100099996")
    if kind is Kind.COLLECTION:
        collected = Order(f"E{number}", theirs, ours, Money(minor), CollectionDetail("", "B1", number), purpose)
        return Item(collected, f"GW{number:018d}")
    if kind is Kind.PAYROLL_ITEM:
        return Item(
            Order(f"E{number}", ours, theirs, Money(minor), PayrollItemDetail("B1", number), purpose),
            f"GW{number:018d}",
        )
    return Item(
        Order(f"E{number}", ours, theirs, Money(minor), BatchItemDetail("B1", number), purpose), f"GW{number:018d}"
    )


def bundle(kind: Kind = Kind.BATCH_ITEM, *purposes: str) -> Bundle:
    return Bundle(
        kind, tuple(line(n, kind, purpose) for n, purpose in enumerate(purposes or ("货款", "货款"), start=1))
    )


def send(made: BankAndTwin, wanted: Bundle) -> Mapping[str, Outcome]:
    return made.talk(made.bank.bundles[wanted.kind].word(wanted, made.context(BATCH)))


def sent(made: BankAndTwin, wanted: Bundle) -> SentBundle:
    return sent_bundle_of(wanted, BATCH, made.time.now.date())


def ask(made: BankAndTwin, wanted: Bundle) -> Mapping[str, Outcome]:
    return made.talk(made.bank.bundles[wanted.kind].fate(BundleFateQuestion(sent(made, wanted)), made.context()))


def fates(said: Mapping[str, Outcome]) -> list[Fate]:
    return [one.fate for _, one in sorted(said.items())]


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_each_line_has_its_own_fate(kind: Kind) -> None:
    made, wanted = stage(), bundle(kind, "货款", "货款 #refuse", "货款", "货款 #late")
    assert fates(send(made, wanted)) == [Fate.PENDING] * 4
    if kind is Kind.BATCH_ITEM:
        assert fates(ask(made, wanted)) == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED, Fate.PENDING]
    else:
        assert fates(ask(made, wanted)) == [Fate.PENDING] * 4, "4048 decides no line before the batch"
    made.time.later(3_600)
    assert fates(ask(made, wanted)) == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED, Fate.SETTLED]


@pytest.mark.parametrize("kind", [Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_without_the_bank_s_word_for_it_a_batch_that_is_not_done_is_in_doubt(kind: Kind) -> None:
    made, wanted = stage(agency_in_process=[]), bundle(kind, "货款", "货款 #late")
    send(made, wanted)
    assert {(one.fate, one.listed) for one in ask(made, wanted).values()} == {(Fate.UNKNOWN, False)}
    with pytest.raises(BadOptions, match="agency_in_process"):
        stage(agency_in_process=["4"])


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


def agency(batch: str | None, *stts: str) -> Mapping[str, Outcome]:
    """The adapter's result of a 4048 answer with this BStt and a row for each stt."""
    made = stage()
    status = "" if batch is None else f"<BStt>{batch}</BStt>"
    found = "".join(
        f"<list><SThirdVoucher>GW{n:018d}</SThirdVoucher><Amount>10.00</Amount><stt>{stt}</stt></list>"
        for n, stt in enumerate(stts, start=1)
    )
    talk = made.bank.bundles[Kind.PAYROLL_ITEM].fate(BundleFateQuestion(WRITTEN), made.context())
    next(talk)
    with pytest.raises(StopIteration) as ended:
        talk.send(framed("4048", f"<Result>{status}{found}</Result>"))
    said: Mapping[str, Outcome] = ended.value.value
    return said


@pytest.mark.parametrize(
    ("batch", "first", "second"),
    [
        ("4", Fate.SETTLED, Fate.FAILED),
        ("3", Fate.UNKNOWN, Fate.FAILED),  # the batch failed and its line succeeded: the outcome is unknown
        ("Z1", Fate.PENDING, Fate.PENDING),
        ("1", Fate.UNKNOWN, Fate.UNKNOWN),
        ("2", Fate.UNKNOWN, Fate.UNKNOWN),
        ("5", Fate.UNKNOWN, Fate.UNKNOWN),
        ("04", Fate.UNKNOWN, Fate.UNKNOWN),
        ("", Fate.UNKNOWN, Fate.UNKNOWN),
        (None, Fate.UNKNOWN, Fate.UNKNOWN),
    ],
)
def test_no_line_of_4048_is_decided_before_its_batch(batch: str | None, first: Fate, second: Fate) -> None:
    assert fates(agency(batch, "0000", "ZREF")) == [first, second]


@pytest.mark.parametrize("batch", ["3", "4", "Z1", "1"])
def test_no_batch_status_decides_a_line_without_its_own(batch: str) -> None:
    for stt in ("", "0001", "000"):
        assert fates(agency(batch, stt))[0] in (Fate.UNKNOWN, Fate.PENDING)
    assert agency(batch) == {}


def test_the_twin_tells_how_a_whole_batch_went() -> None:
    for purposes, status in (
        (("货款", "货款 #refuse"), "4"),
        (("货款 #refuse", "货款 #refuse"), "3"),
        (("货款", "货款 #late"), "Z1"),
    ):
        made, wanted = stage(), bundle(Kind.PAYROLL_ITEM, *purposes)
        send(made, wanted)
        ask(made, wanted)
        assert f"<BStt>{status}</BStt>".encode() in made.said[-1].answer


@pytest.mark.parametrize("given", [{}, {"agreement": "AG1"}, {"agreement_item": "0001"}])
def test_payroll_and_collection_want_an_agreement_and_its_fee_item(given: dict[str, str]) -> None:
    assert set(pab.build({"enterprise_code": ENTERPRISE, **given}).bundles) == {Kind.BATCH_ITEM}


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


def rows(*found: str, batch: str = BATCH, end: str = "Y") -> bytes:
    head = f"<OrigThirdVoucher>{batch}</OrigThirdVoucher>" if batch else ""
    head += f"<batchSTT>20</batchSTT><IsEnd>{end}</IsEnd>"
    return framed("4015", f"<Result>{head}{''.join(found)}</Result>")


def row(voucher: str = "GW000000000000000001", stt: str = "20", amount: str = "10.00") -> str:
    return (
        f"<list><SThirdVoucher>{voucher}</SThirdVoucher><Stt>{stt}</Stt><TranAmount>{amount}</TranAmount>"
        f"<IsBack>0</IsBack></list>"
    )


def test_a_line_without_a_row_is_left_out() -> None:
    assert list(asked(rows(row()))) == ["GW000000000000000001"]


def test_two_rows_of_one_voucher_that_disagree_are_doubt() -> None:
    assert asked(rows(row(), row(stt="30")))["GW000000000000000001"].fate is Fate.UNKNOWN


@pytest.mark.parametrize(("first", "second"), [("20", "30"), ("30", "20"), ("20", "11")])
def test_two_pages_that_disagree_about_one_voucher_are_doubt(first: str, second: str) -> None:
    talk = BANK.bundles[Kind.BATCH_ITEM].fate(BundleFateQuestion(WRITTEN), stage().context())
    next(talk)
    talk.send(rows(row(stt=first), end="N"))
    with pytest.raises(StopIteration) as ended:
        talk.send(rows(row(stt=second)))
    (said,) = ended.value.value.values()
    assert (said.fate, said.listed) == (Fate.UNKNOWN, False)


def test_a_batch_answer_that_names_no_batch_is_told_by_its_lines() -> None:
    assert fates(asked(rows(row(), row("GW000000000000000002"), batch=""))) == [Fate.SETTLED] * 2


@pytest.mark.parametrize(
    "answer",
    [rows(row(voucher="GW000000000000000009")), rows(row(amount="10.01")), rows(row(), batch="GW00000000000000B009")],
)
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


def test_payroll_is_accepted_with_the_bank_s_own_number() -> None:
    made = stage()
    word, read = (getattr(made.bank.bundles[Kind.PAYROLL_ITEM], name) for name in ("word", "read"))
    accepted = framed("4047", "<Result><BussFlowNo>00000000000000000001</BussFlowNo></Result>")
    talk = word(bundle(Kind.PAYROLL_ITEM), made.context(BATCH))
    next(talk)
    with pytest.raises(StopIteration) as ended:
        talk.send(accepted)
    for said in (ended.value.value, read(WRITTEN, accepted)):
        assert [(one.fate, one.bank_serial) for one in said.values()] == [(Fate.PENDING, "00000000000000000001")] * 2
    assert (
        fates(read(WRITTEN, framed("4047", f"<Result><ThirdVoucher>{BATCH}</ThirdVoucher></Result>")))
        == [Fate.PENDING] * 2
    )
    for operation, body, reason in (
        ("4047", "<Result><BussFlowNo>1</BussFlowNo><ThirdVoucher>GW9</ThirdVoucher></Result>", "correlation"),
        ("4047", "<Result/>", "missing"),
        ("4018", "<Result><BussFlowNo>1</BussFlowNo></Result>", "missing"),
    ):
        with pytest.raises(ProtocolError) as error:
            made.bank.bundles[Kind.PAYROLL_ITEM if operation == "4047" else Kind.BATCH_ITEM].read(
                WRITTEN, framed(operation, body)
            )
        assert error.value.reason == reason


@pytest.mark.parametrize("operation", ["4018", "4047"])
def test_a_payee_s_name_that_does_not_fit_fails_no_whole_batch(operation: str) -> None:
    kind = Kind.BATCH_ITEM if operation == "4018" else Kind.PAYROLL_ITEM
    refused = framed(operation, None, code="YQ9982", text="验证收款方户名失败!", service="01")
    assert fates(stage().bank.bundles[kind].read(WRITTEN, refused)) == [Fate.UNKNOWN] * 2


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM])
def test_a_line_that_came_back_is_told_by_its_own_voucher(kind: Kind) -> None:
    made, wanted = stage(), bundle(kind, "货款", "货款 #return")
    send(made, wanted)
    made.time.later(7_200)
    returns = made.bank.questions.returns
    assert returns is not None
    today = made.time.now.date()
    (told,) = made.talk(returns(ReturnsQuestion(AccountNumber(DEBTOR), today, today), made.context())).returns
    assert (told.reference, told.amount) == (wanted.items[1].reference, Money(1_000))
    assert f"<ThirdVoucher>{BATCH}</ThirdVoucher>".encode() in made.said[-1].answer


def test_the_directory() -> None:
    made = stage()
    ask_for = made.bank.questions.directory
    assert ask_for is not None
    found = made.talk(ask_for(DirectoryQuestion("示例", "000000000099"), made.context()))
    assert [branch.cnaps for branch in found.branches] == ["000000000000", "000000000017"]
    assert made.talk(ask_for(DirectoryQuestion("没有", "000000000099"), made.context())).branches == ()
