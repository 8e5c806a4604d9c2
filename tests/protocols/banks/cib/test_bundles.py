"""Batches, payrolls and collections: each line has its own result, and never that of another line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions, Fates
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Channel, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BundleFateQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import (
    BUNDLE,
    DEBTOR,
    QUERY,
    bank,
    body_of,
    bundle,
    context,
    finish,
    fox,
    item_reference,
    line,
    processed,
    refused_log_on,
    sent_bundle,
    stage,
)
from tests.world.dialogue import BankAndTwin

KINDS = (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)
ONE, TWO, THREE = item_reference(1), item_reference(2), item_reference(3)
ALIKE = (line(1), line(2, account="0000000000000101"), line(3, amount="2.50"))


def lines(kind: Kind, count: int = 3) -> tuple[AnyOrder, ...]:
    """`count` lines that differ only in their number."""
    own = {"account": "0000000000000101", "bank_name": "兴业银行"} if kind is Kind.PAYROLL_ITEM else {}
    own |= {"account": "0000000000000101"}
    return tuple(line(number, kind, **own) for number in range(1, count + 1))


def written(*orders: AnyOrder, **options: Any) -> str:
    given = bundle(*orders)
    return body_of(next(bank(**options).bundles[given.kind].word(given, context(BUNDLE))))


def send(made: BankAndTwin, *orders: AnyOrder) -> Fates:
    given = bundle(*orders)
    return made.talk(made.bank.bundles[given.kind].word(given, made.context(BUNDLE)))


def ask(made: BankAndTwin, *orders: AnyOrder) -> Fates:
    given = bundle(*orders)
    return made.talk(made.bank.bundles[given.kind].fate(BundleFateQuestion(sent_bundle(given)), made.context()))


def fates(told: Fates) -> Mapping[str, Fate]:
    return {reference: outcome.fate for reference, outcome in told.items()}


# ---- the bytes of a message ------------------------------------------------------------------------------


def test_an_async_batch_is_lines_of_eleven_fields_in_a_text_node() -> None:
    body = written(*ALIKE).partition("<TRNUID>")[2]
    assert body == (
        f"{BUNDLE}</TRNUID><RQBODY><TITLE>批量付款</TITLE><ACCTFROM><ACCTID>{DEBTOR}</ACCTID><NAME>甲公司</NAME>"
        "<BANKDESC>兴业银行</BANKDESC><CITY>福州</CITY></ACCTFROM><BIZTYPE>1</BIZTYPE><TOTALCOUNT>3</TOTALCOUNT>"
        '<TOTALAMOUNT>22.50</TOTALAMOUNT><CURSYM>RMB</CURSYM><PURPOSE>货款</PURPOSE><XFERINFOTEXT SIZE="3"><![CDATA['
        f"1|0000000000000101|示例丙|N|N|102100099996|中国工商银行||10.00|货款|{ONE}|\n"
        f"2|0000000000000101|示例丙|N|N|102100099996|中国工商银行||10.00|货款|{TWO}|\n"
        f"3|0000000000000103|示例丙|N|N|102100099996|中国工商银行||2.50|货款|{THREE}|"
        "]]></XFERINFOTEXT></RQBODY></ASYNBATCHTRSFRTRNRQ></SECURITIES_MSGSRQV1></FOX>"
    )


def test_a_payroll_has_one_purpose_code() -> None:
    body = written(*lines(Kind.PAYROLL_ITEM))
    assert "<DESCRIPTION>006</DESCRIPTION><TOTALCOUNT>3</TOTALCOUNT><TOTALAMOUNT>30.00</TOTALAMOUNT>" in body
    assert (
        "<RPAYOFF><INDX>2</INDX><ACCTNAME>示例丙</ACCTNAME><ACCTID>0000000000000101</ACCTID><TRNAMT>10.00</TRNAMT>"
        in body
    )
    bonus = [line(number, Kind.PAYROLL_ITEM, purpose_code="022") for number in (1, 2)]
    assert "<DESCRIPTION>022</DESCRIPTION>" in written(*bonus)
    for wrong in ((bonus[0], line(2, Kind.PAYROLL_ITEM)), (line(1, Kind.PAYROLL_ITEM, purpose_code="999"),)):
        with pytest.raises(ProtocolError):
            written(*wrong)


def test_the_remark_is_left_out_if_told_so() -> None:
    assert "|货款||\n2|" in written(*ALIKE, batch_remark=False)
    assert "<REMARK>" not in written(*ALIKE, batch="realtime", batch_remark=False)
    assert f"<REMARK>{ONE}</REMARK>" in written(*ALIKE, batch="realtime")


@pytest.mark.parametrize(
    "orders",
    [
        [line(1, name="甲|乙")],
        [line(1, name="甲\n乙")],
        [line(1, name="a<b")],
        [line(1, name="长" * 26)],
        [line(1, name="䶮")],
        [line(1, bank_name="")],
        [line(1, account="1|2")],
        [replace(line(1), purpose="")],
        [replace(line(1), purpose="甲|乙")],
        [replace(line(1), amount=Money(1, "USD"))],
        [replace(line(1), channel=Channel.INSTANT)],
        [line(1), replace(line(2), debtor=Party(AccountNumber("000000000000000033"), Name("甲集团")))],
        [line(number) for number in range(1, 102)],
        [line(1, Kind.PAYROLL_ITEM, name="长" * 11)],
        [line(1, Kind.PAYROLL_ITEM, account="0" * 19)],
        [line(number, Kind.PAYROLL_ITEM) for number in range(1, 302)],
        [line(1, Kind.COLLECTION, cnaps="")],
        [replace(line(1, Kind.COLLECTION), purpose="长" * 16)],
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(orders: Sequence[AnyOrder]) -> None:
    with pytest.raises(ProtocolError):
        written(*orders)


def test_the_bank_s_limits_of_lines() -> None:
    assert {kind: one.most for kind, one in bank().bundles.items()} == {
        Kind.BATCH_ITEM: 100,
        Kind.PAYROLL_ITEM: 300,
        Kind.COLLECTION: 100,
    }
    assert written(*[line(number) for number in range(1, 101)])
    assert Kind.COLLECTION not in bank(firm_code="", collection_code="").bundles


# ---- the bank's side ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", ["async", "realtime"])
def test_each_line_has_its_own_result(kind: Kind, batch: str) -> None:
    made = stage({"batch": batch})
    own = {"bank_name": "兴业银行"} if kind is Kind.PAYROLL_ITEM else {}
    good, bad = line(1, kind, **own), line(2, kind, name="#refuse", **own)
    bad = replace(bad, purpose="#refuse") if kind is Kind.COLLECTION else bad
    first = send(made, good, bad)
    assert set(first) == {ONE, TWO}
    later = ask(made, good, bad)
    assert fates(later) == {ONE: Fate.SETTLED, TWO: Fate.FAILED}
    assert all(outcome.listed for outcome in later.values())


def test_taken_is_not_paid() -> None:
    assert set(fates(send(stage(), *ALIKE)).values()) == {Fate.PENDING}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("faults", "wanted"),
    [
        ({"turned": True}, {ONE: Fate.SETTLED, TWO: Fate.SETTLED, THREE: Fate.FAILED}),
        ({"lost_line": 2}, {ONE: Fate.SETTLED, THREE: Fate.FAILED}),
        ({"lost_line": 3}, {ONE: Fate.SETTLED, TWO: Fate.SETTLED}),
        ({"lower_size": True}, {ONE: Fate.SETTLED, TWO: Fate.SETTLED, THREE: Fate.FAILED}),
        ({"line_word": "STRANGE"}, dict.fromkeys((ONE, TWO, THREE), Fate.UNKNOWN)),
    ],
)
def test_identical_lines_never_share_a_result(kind: Kind, faults: dict[str, Any], wanted: Mapping[str, Fate]) -> None:
    """Three lines alike in account, name and amount, of which the last is refused by the bank."""
    made = stage(**faults)
    alike = lines(kind)
    given = (*alike[:2], replace(alike[2], purpose="#refuse"))
    if kind is Kind.PAYROLL_ITEM:
        # A payroll line has no purpose of its own, so the books' rule is triggered by its name.
        given = (*alike[:2], replace(alike[2], creditor=replace(alike[2].creditor, name=Name("#refuse"))))
    send(made, *given)
    told = fates(ask(made, *given))
    if kind is Kind.BATCH_ITEM and "line_word" not in faults and faults.get("lost_line") == 3:
        assert made.ledger.truth()[THREE][0].refused
    assert told == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_with_another_amount_makes_the_answer_none(kind: Kind) -> None:
    made = stage(strange_line=2)
    if kind is Kind.BATCH_ITEM:
        send(made, *lines(kind))
    else:
        with pytest.raises(ProtocolError):
            send(made, *lines(kind))
    with pytest.raises(ProtocolError) as caught:
        ask(made, *lines(kind))
    assert caught.value.reason == "correlation"


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_sent_twice_moves_money_once(kind: Kind) -> None:
    made = stage()
    send(made, *lines(kind))
    again = send(made, *lines(kind))
    assert Fate.FAILED not in fates(again).values()
    assert len(made.ledger.executions) == 3
    assert not made.ledger.doubles()


@pytest.mark.parametrize("kind", KINDS)
def test_an_unclear_answer_after_the_booking_is_doubt_for_every_line(kind: Kind) -> None:
    made = stage(trouble="51010")
    assert set(fates(send(made, *lines(kind))).values()) == {Fate.UNKNOWN}
    assert set(fates(ask(made, *lines(kind))).values()) == {Fate.SETTLED}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_the_bank_does_not_know_is_not_found(kind: Kind) -> None:
    assert set(fates(ask(stage(), *lines(kind))).values()) == {Fate.NOT_FOUND}
    with pytest.raises(Declined):
        ask(stage(enquiry_code="2005"), *lines(kind))


def test_one_wrong_line_refuses_the_whole_batch() -> None:
    made = stage({"own_names": ["另一家"]})
    told = send(made, line(1), line(2, bank_name="兴业银行福州分行"))
    assert fates(told) == {ONE: Fate.FAILED, TWO: Fate.FAILED}
    assert not made.ledger.executions


# ---- the outcomes of answers -------------------------------------------------------------------------------


ROW = "1|0000000000000101|示例丙|N|N|102100099996|中国工商银行||10.00|货款|{ref}|{status}|{text}|"


def batch_answer(*rows: str, word: str = "PART_PAYOUT", head: str = "", size: str = "") -> bytes:
    """The answer to a batch, written out by hand."""
    listed = (
        f'<XFERINFOTEXT SIZE="{size or len(rows)}"><![CDATA[' + "\n".join(rows) + "]]></XFERINFOTEXT>" if rows else ""
    )
    said = processed(word) if word else ""
    return fox("ASYNBATCHTRSFRTRN", BUNDLE, f"<RSBODY>{head}{listed}{said}</RSBODY>")


def read(answer: bytes, *orders: AnyOrder) -> Fates:
    given = bundle(*(orders or ALIKE[:2]))
    return bank().bundles[given.kind].read(sent_bundle(given), answer)


def row(number: int, status: str, reference: str = "", text: str = "") -> str:
    return ROW.format(ref=reference or item_reference(number), status=status, text=text).replace("1|", f"{number}|", 1)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("SUBMIT_SUCC", Fate.PENDING),
        ("BATCH_SUBMIT_SUCC", Fate.PENDING),
        ("AUDITING", Fate.PENDING),
        ("FAIL", Fate.FAILED),
        ("EXPIRED", Fate.FAILED),
        ("PENDING", Fate.UNKNOWN),
        ("PART_PAYOUT", Fate.UNKNOWN),
        ("NEW", Fate.UNKNOWN),
        ("PAYOUT", None),
    ],
)
def test_one_word_for_all_never_says_that_a_line_is_paid(word: str, wanted: Fate | None) -> None:
    told = fates(read(batch_answer(word=word)))
    assert told == ({} if wanted is None else {ONE: wanted, TWO: wanted})


@pytest.mark.parametrize(
    ("word", "status", "wanted"),
    [
        ("PART_PAYOUT", "PAYOUT", Fate.SETTLED),
        ("PART_PAYOUT", "FAIL", Fate.FAILED),
        ("PART_PAYOUT", "PENDING", Fate.UNKNOWN),
        ("PART_PAYOUT", "51010", Fate.UNKNOWN),
        ("PAYOUT", "PAYOUT", Fate.SETTLED),
        ("PAYOUT", "FAIL", Fate.UNKNOWN),
        ("FAIL", "PAYOUT", Fate.UNKNOWN),
        ("FAIL", "FAIL", Fate.FAILED),
        ("PROCESSING", "PAYOUT", Fate.SETTLED),
        ("PROCESSING", "AUDITING", Fate.PENDING),
        ("", "PAYOUT", Fate.SETTLED),
    ],
)
def test_a_line_s_word_beside_the_word_for_all(word: str, status: str, wanted: Fate) -> None:
    assert fates(read(batch_answer(row(1, status), row(2, status), word=word))) == {ONE: wanted, TWO: wanted}


@pytest.mark.parametrize("batch", ["async", "realtime"])
def test_what_the_bank_has_only_registered_is_not_paid(batch: str) -> None:
    """PAYOUT with 登记成功, for the whole message and for each line: the money moves later, or never."""
    made = stage({"batch": batch}, conduct=BookingRules(late_share=1), registered=True)
    assert set(fates(send(made, *ALIKE)).values()) == {Fate.PENDING}
    assert fates(ask(made, *ALIKE)) == dict.fromkeys((ONE, TWO, THREE), Fate.PENDING)
    made.time.later(3_600)
    assert fates(ask(made, *ALIKE)) == dict.fromkeys((ONE, TWO, THREE), Fate.SETTLED)


def test_a_line_that_is_registered_is_pending_whatever_the_word_for_all() -> None:
    for word in ("PART_PAYOUT", "PROCESSING", ""):
        both = batch_answer(row(1, "PAYOUT", text="登记成功"), row(2, "PAYOUT", text="交易成功"), word=word)
        assert fates(read(both)) == {ONE: Fate.PENDING, TWO: Fate.SETTLED}


def test_a_whole_that_is_registered_has_no_line_that_is_paid() -> None:
    rows = (row(1, "PAYOUT"), row(2, "FAIL"))
    answer = batch_answer(*rows, word="PAYOUT").replace("交易成功".encode("gbk"), "登记成功".encode("gbk"))
    assert fates(read(answer)) == {ONE: Fate.PENDING, TWO: Fate.FAILED}


def test_a_line_echoed_without_a_word_has_the_word_for_all_unless_that_is_paid() -> None:
    echoed = [row(number, "").removesuffix("||") for number in (1, 2)]
    assert all(one.count("|") == 11 for one in echoed)
    assert fates(read(batch_answer(*echoed, word="PROCESSING"))) == {ONE: Fate.PENDING, TWO: Fate.PENDING}
    assert fates(read(batch_answer(*echoed, word="PAYOUT"))) == {}


def test_the_bank_s_own_words_may_hold_a_bar_or_be_left_out() -> None:
    broken, bare = row(1, "FAIL", text="余额不足|请核对"), row(2, "PAYOUT").removesuffix("|")
    assert (broken.count("|"), bare.count("|")) == (14, 12)
    told = read(batch_answer(broken, bare))
    assert fates(told) == {ONE: Fate.FAILED, TWO: Fate.SETTLED}
    assert told[ONE].text == "余额不足|请核对"
    registered = read(batch_answer(row(1, "PAYOUT", text="请核对|登记成功")))
    assert fates(registered) == {ONE: Fate.PENDING}


@pytest.mark.parametrize(
    "answer",
    [
        batch_answer(row(1, "PAYOUT"), row(1, "PAYOUT")),
        batch_answer(row(1, "PAYOUT"), row(3, "PAYOUT")),
        batch_answer(row(0, "PAYOUT")),
        batch_answer(row(1, "PAYOUT", reference=TWO), row(2, "FAIL", reference=ONE)),
        batch_answer(row(1, "PAYOUT").replace("10.00", "10.01")),
        batch_answer(row(1, "PAYOUT").replace("0101", "0102")),
        batch_answer(row(1, "PAYOUT"), size="2"),
        batch_answer(row(1, "PAYOUT").replace("|Y|", "|").replace("|N|", "|")),
        batch_answer(row(1, "PAYOUT").replace("示例丙", "示例|丙")),
        batch_answer(row(1, "PAYOUT").replace("货款", "货|款")),
        batch_answer(row(1, "PAYOUT").replace("货款|", "")),
        batch_answer(row(1, "PAYOUT"), head="<TOTALCOUNT>3</TOTALCOUNT>"),
        batch_answer(row(1, "PAYOUT"), head="<TOTALAMOUNT>20.01</TOTALAMOUNT>"),
        batch_answer(row(1, "PAYOUT"), head="<ACCTFROM><ACCTID>000000000000000033</ACCTID></ACCTFROM>"),
        fox("ASYNBATCHTRSFRTRN", "CIB2025010800000B002", "<RSBODY/>"),
        fox("ASYNBATCHTRSFRTRN", BUNDLE, ""),
    ],
)
def test_an_answer_that_does_not_fit_is_none(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(answer)


@pytest.mark.parametrize(
    ("code", "words", "wanted"),
    [
        ("2000", "批量指令提交失败,明细有误", Fate.FAILED),
        ("60010", "明细有误", Fate.FAILED),
        ("51027", "总笔数或总金额不符", Fate.FAILED),
        ("6352", "文件总笔数或总金额校验失败", Fate.FAILED),
        ("2000", "?", Fate.UNKNOWN),
        ("12345", "TRNUID值已被使用", Fate.DUPLICATE),
        ("51010", "操作执行异常，请查询", Fate.UNKNOWN),
        ("98765", "?", Fate.UNKNOWN),
    ],
)
def test_a_refusal_is_every_line_s(code: str, words: str, wanted: Fate) -> None:
    told = read(fox("ASYNBATCHTRSFRTRN", BUNDLE, "", code, words))
    assert fates(told) == {ONE: wanted, TWO: wanted}


def test_a_refused_log_on_is_doubt() -> None:
    given = bundle(*ALIKE[:2])
    assert set(fates(read(refused_log_on())).values()) == {Fate.UNKNOWN}
    with pytest.raises(Declined) as caught:
        finish(bank().bundles[given.kind].word(given, context(BUNDLE)), refused_log_on())
    assert caught.value.outcome == "signed_out"


def test_totals_of_a_payroll_may_be_without_its_failed_lines() -> None:
    """ "Failed lines are subtracted from the total debit": the page does not say whether the stated totals lack them
    too."""
    for reduced in (False, True):
        made = stage(reduced=reduced)
        good, bad = lines(Kind.PAYROLL_ITEM, 2)
        bad = replace(bad, creditor=replace(bad.creditor, name=Name("#refuse")))
        send(made, good, bad)
        assert fates(ask(made, good, bad)) == {ONE: Fate.SETTLED, TWO: Fate.FAILED}
        assert (b"<TOTALAMOUNT>10.00<" in made.said[-1].answer) is reduced
    given = bundle(*lines(Kind.PAYROLL_ITEM, 2))
    for head in ("<TOTALCOUNT>1</TOTALCOUNT>", "<TOTALAMOUNT>10.00</TOTALAMOUNT>"):
        unfailed = payroll_answer("23", "23").replace(b"<TOTALCOUNT>2</TOTALCOUNT>", head.encode())
        with pytest.raises(ProtocolError):
            bank().bundles[Kind.PAYROLL_ITEM].read(sent_bundle(given), unfailed)


def test_the_longest_answer_to_the_most_collections_can_be_read() -> None:
    most = 2_000
    words = bank(collection_lines=most).bundles[Kind.COLLECTION]
    given = bundle(*(line(number, Kind.COLLECTION, account="0" * 32) for number in range(1, most + 1)))
    long, short = "长" * 25, "长" * 15
    rows = "".join(
        f"<PAYINFO><INDX>{number}</INDX><CONTRACTID>{'9' * 60}</CONTRACTID><ACCTFROM><ACCTID>{'0' * 32}</ACCTID>"
        f"<NAME>{long}</NAME><BANKDESC>{long}</BANKDESC><BANKNUM>102100099996</BANKNUM><CITY>{short}</CITY></ACCTFROM>"
        f"<PAYMODE>1</PAYMODE><APPLYAMT>10.00</APPLYAMT><PURPOSE>{short}</PURPOSE><BIZCODE1>00100</BIZCODE1>"
        f"<BIZCODE2>00100</BIZCODE2><PAYAMT>10.00</PAYAMT><RESULT>0</RESULT><MSG>{long}</MSG>"
        f"{'<NEWFIELD>1</NEWFIELD>' * 8}</PAYINFO>"
        for number in range(1, most + 1)
    )
    answer = fox("GATHERTRN", BUNDLE, f"<GATHERRS><GATHERINFO>{rows}</GATHERINFO></GATHERRS>")
    assert set(fates(words.read(sent_bundle(given), answer)).values()) == {Fate.SETTLED}
    with pytest.raises(BadOptions):
        bank(collection_lines=most + 1)


def payroll_answer(
    *statuses: str, operation: str = "RPAYOFFTRN", body: str = "RPAYOFFRS", trnuid: str = BUNDLE
) -> bytes:
    """The answer about a payroll, written out by hand."""
    rows = "".join(
        f"<RPAYOFF><INDX>{number}</INDX><ACCTNAME>示例丙</ACCTNAME><ACCTID>0000000000000101</ACCTID>"
        f"<TRNAMT>10.00</TRNAMT><STATUS>{status}</STATUS></RPAYOFF>"
        for number, status in enumerate(statuses, start=1)
    )
    info = f"<RPAYOFFINFO><TOTALCOUNT>{len(statuses)}</TOTALCOUNT><RPAYOFFLIST>{rows}</RPAYOFFLIST></RPAYOFFINFO>"
    return fox(operation, trnuid, f"<{body}>{info}</{body}>")


PAYROLL_WORDS = [
    ("23", Fate.SETTLED),
    *[(code, Fate.PENDING) for code in ("-1", "60", "90")],
    ("3885", Fate.UNKNOWN),
    *[(str(code), Fate.FAILED) for code in (*range(40, 55), 59)],
    *[(code, Fate.UNKNOWN) for code in ("0", "1", "39", "55", "58", "PAYOUT", "023")],
]


@pytest.mark.parametrize(("status", "wanted"), PAYROLL_WORDS)
def test_every_status_of_a_payroll_line(status: str, wanted: Fate) -> None:
    given = bundle(*lines(Kind.PAYROLL_ITEM, 1))
    words = bank().bundles[Kind.PAYROLL_ITEM]
    assert words.read(sent_bundle(given), payroll_answer(status))[ONE].fate is wanted
    for body in ("RPAYOFFINQRS", "RPAYOFFRS", "XFERINQRS"):
        answer = payroll_answer(status, operation="RPAYOFFINQTRN", body=body, trnuid=QUERY)
        told = finish(words.fate(BundleFateQuestion(sent_bundle(given)), context()), answer)
        assert told[ONE].fate is wanted


@pytest.mark.parametrize(
    ("result", "paid", "wanted"),
    [
        ("0", "10.00", Fate.SETTLED),
        ("0", "", Fate.SETTLED),
        ("0", "9.00", Fate.UNKNOWN),
        ("1", "0.00", Fate.FAILED),
        ("2", "0.00", Fate.PENDING),
        ("-1", "0.00", Fate.PENDING),
        ("3", "0.00", Fate.UNKNOWN),
        ("7", "0.00", Fate.UNKNOWN),
    ],
)
def test_every_result_of_a_collection(result: str, paid: str, wanted: Fate) -> None:
    given = bundle(line(1, Kind.COLLECTION))
    content = (
        f"<GATHERRS><GATHERINFO><ACCTTO><ACCTID>{DEBTOR}</ACCTID></ACCTTO><ACCEPTNO>1</ACCEPTNO><PAYINFO><INDX>1</INDX>"
        f"<ACCTFROM><ACCTID>0000000000000101</ACCTID></ACCTFROM><APPLYAMT>10.00</APPLYAMT><PAYAMT>{paid}</PAYAMT>"
        f"<RESULT>{result}</RESULT></PAYINFO></GATHERINFO>{processed('PENDING')}</GATHERRS>"
    )
    told = bank().bundles[Kind.COLLECTION].read(sent_bundle(given), fox("GATHERTRN", BUNDLE, content))
    assert told[ONE].fate is wanted
