"""Batches (8800) and the enquiries about them: 8804 by the host's number or line by line, and DO48 before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocols.bank import Fates, Submit
from protocols.canon.order import Bundle, Item, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Party, PartyKind
from protocols.canon.query import BundleFateQuestion, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    AUTHORISED,
    AUTHORISER,
    BUNDLE,
    CREDITOR,
    DEBTOR,
    HOST,
    ITEMS,
    PAYEE,
    PAYER,
    REASON,
    REFERENCE,
    bank,
    batched,
    body_of,
    bundle,
    context,
    done,
    leaves,
    line,
    listed,
    nothing,
    refused,
    row,
    sent_bundle,
    steps,
    talk,
    through_front_end,
)

KIND = Kind.BATCH_ITEM
WEB = "0123456789"
"""网银受理编号: ten digits, leading zero and all."""


def send(answer: bytes, given: Bundle | None = None, **options: Any) -> Fates:
    return talk(bank(**options).bundles[KIND].word(given or bundle(), context(BUNDLE)), answer)


def ask(*answers: bytes, sent: SentBundle | None = None, **options: Any) -> Fates:
    fate = bank(**options).bundles[KIND].fate
    return talk(fate(BundleFateQuestion(sent or sent_bundle(serial=HOST)), context()), *answers)


def only(fates: Fates) -> Outcome:
    """The one outcome that all lines have."""
    assert set(fates) == set(ITEMS[:3])
    [word] = set(fates.values())
    return word


# ---- what is sent ----


def test_the_page_s_sample_byte_for_byte() -> None:
    first, second = steps(bank(auth_master_id=AUTHORISER).bundles[KIND].word(bundle(amounts=(1,)), context(BUNDLE)))
    assert body_of(first) == (
        f"<body><authMasterID>{AUTHORISER}</authMasterID><totalNumber>1</totalNumber><totalAmount>0.01</totalAmount>"
        f"<packageNo>{BUNDLE}</packageNo><lists><list><elecChequeNo>{ITEMS[0]}</elecChequeNo><acctNo>{DEBTOR}</acctNo>"
        f"<acctName>示例甲公司</acctName><bespeakDate></bespeakDate><payeeAcctNo>{CREDITOR}</payeeAcctNo>"
        "<payeeName>示例乙公司</payeeName><payeeType>0</payeeType><payeeBankName>浦发银行示例支行</payeeBankName>"
        "<payeeAddress></payeeAddress><amount>0.01</amount><sysFlag>0</sysFlag><remitLocation>0</remitLocation>"
        "<note>款项</note><payeeBankSelectFlag></payeeBankSelectFlag><payeeBankNo></payeeBankNo>"
        "<payPurpose></payPurpose></list></lists></body>"
    )
    assert isinstance(second, Submit) and second.serials == (BUNDLE,)
    assert f"<transCode>8800</transCode><signFlag>1</signFlag><masterID>2000000001</masterID><packetID>{BUNDLE}<" in (
        second.data.decode("gbk")
    )


def test_count_sum_and_the_purpose_of_persons() -> None:
    person = replace(PAYEE, kind=PartyKind.PERSON)
    written = body_of(steps(bank().bundles[KIND].word(bundle(creditor=person), context(BUNDLE)))[0])
    assert "<totalNumber>3</totalNumber><totalAmount>4.50</totalAmount>" in written
    assert written.count("<payeeType>1</payeeType>") == written.count("<payPurpose>1</payPurpose>") == 3


def test_payroll_goes_as_payments_to_persons_once_its_purpose_is_known() -> None:
    kind = Kind.PAYROLL_ITEM
    assert kind not in bank().bundles
    adapter = bank(payroll_purpose="2")
    written = body_of(steps(adapter.bundles[kind].word(bundle(kind), context(BUNDLE)))[0])
    assert written.count("<payeeType>1</payeeType>") == written.count("<payPurpose>2</payPurpose>") == 3
    assert kind in adapter.profile.replay and kind in adapter.profile.kind_limits


def test_what_is_no_batch_is_refused_before_anything_is_sent() -> None:
    items = bundle().items
    many = tuple(Item(items[0].order, f"{n:020d}") for n in range(21))
    elsewhere = replace(items[1].order, debtor=Party(AccountNumber(CREDITOR), PAYER.name))
    for given in (
        Bundle(KIND, ()),
        Bundle(KIND, many),
        Bundle(KIND, (items[0], replace(items[1], reference=ITEMS[0]))),
        Bundle(KIND, (items[0], replace(items[1], order=elsewhere))),
        Bundle(Kind.PAYROLL_ITEM, items),
    ):
        with pytest.raises(ProtocolError):
            next(bank().bundles[KIND].word(given, context(BUNDLE)))
    assert len(steps(bank().bundles[KIND].word(Bundle(KIND, many[:20]), context(BUNDLE)))) == 2
    assert bank().bundles[KIND].most == 20


# ---- what the answer says ----


def test_taken_is_not_done_and_the_number_is_kept() -> None:
    assert only(send(batched())) == Outcome(Fate.PENDING, "AAAAAAA", bank_serial=HOST)
    # Under authorisation the number is the web bank's, and the counts are empty.
    assert only(send(batched(WEB, "", ""), **AUTHORISED)).bank_serial == WEB


def test_a_line_that_was_not_taken_is_not_named_so_all_are_in_doubt() -> None:
    word = only(send(batched(taken="2", failed="1")))
    assert (word.fate, word.bank_serial) == (Fate.UNKNOWN, HOST)
    assert only(send(batched(accept=""))).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        ("EYY8990", Fate.DUPLICATE),
        ("EYY8998", Fate.FAILED),
        ("EGG0346", Fate.UNKNOWN),
        ("EYY8995", Fate.UNKNOWN),
        ("X000001", Fate.UNKNOWN),
    ],
)
def test_an_error_answer_to_a_batch_fails_its_lines_only_where_the_page_says_so(code: str, fate: Fate) -> None:
    word = only(send(refused("8800", BUNDLE, code)))
    assert (word.fate, word.listed) == (fate, code != "X000001")
    assert only(send(refused("8800", BUNDLE, code), codes={"refused": [code]})).fate is (
        Fate.DUPLICATE if fate is Fate.DUPLICATE else Fate.FAILED
    )


@pytest.mark.parametrize(
    "answer",
    [
        batched(taken="1", failed="1"),
        batched(packageNo=ITEMS[0]),
        batched(taken="x"),
        batched(accept="a-b"),
        done("8801", BUNDLE, ""),
        done("8800", REFERENCE, ""),
    ],
)
def test_an_answer_about_another_batch_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        send(answer)
    with pytest.raises(ProtocolError):
        bank().bundles[KIND].read(sent_bundle(), answer)


def test_a_stored_answer_reads_as_it_did() -> None:
    for answer in (batched(), batched(taken="2", failed="1"), refused("8800", BUNDLE, "EYY8990")):
        assert bank().bundles[KIND].read(sent_bundle(), answer) == send(answer)
    assert only(through_front_end().bundles[KIND].read(sent_bundle(), batched())).fate is Fate.UNKNOWN
    assert only(through_front_end().bundles[KIND].read(sent_bundle(), refused("8800", BUNDLE, "EYY8990"))).fate is (
        Fate.DUPLICATE
    )


# ---- what is asked ----


def fates(told: Fates) -> list[Fate | None]:
    return [told[one].fate if one in told else None for one in ITEMS[:3]]


def test_one_question_by_the_host_s_number_tells_of_all_lines() -> None:
    rows = listed(line(3, "1"), line(2, "8", REASON), line(1))
    assert fates(ask(rows)) == [Fate.SETTLED, Fate.FAILED, Fate.PENDING]
    first, *_ = steps(bank().bundles[KIND].fate(BundleFateQuestion(sent_bundle(serial=HOST)), context()))
    assert f"<elecChequeNo></elecChequeNo><acctNo>{DEBTOR}</acctNo>" in body_of(first)
    assert f"<acceptNo>{HOST}</acceptNo>" in body_of(first)


def test_a_line_without_a_row_is_asked_about_by_itself() -> None:
    asked = [listed(line(1)), nothing(packet_id="369600000000701"), listed(line(2), packet_id="369600000000702")]
    # Serial 7 begins with the second of the two missing lines.
    told = ask(asked[0], listed(line(3, "A"), packet_id="369600000000701"), nothing(packet_id="369600000000702"))
    assert fates(told) == [Fate.SETTLED, Fate.NOT_FOUND, Fate.PENDING]
    assert fates(ask(asked[0], asked[1], asked[2])) == [Fate.SETTLED, Fate.SETTLED, Fate.NOT_FOUND]


def test_without_a_number_the_account_is_asked_about_and_then_each_line_that_this_did_not_tell() -> None:
    unknown = sent_bundle()
    of_account = listed(line(1), row(), line(3, "8", REASON), line(2, accept="PT19YQ0000000002"))
    assert fates(ask(of_account, sent=unknown)) == [Fate.SETTLED, Fate.SETTLED, Fate.FAILED]
    nowhere = [nothing(packet_id=f"36960000000070{n}") for n in range(4)]
    assert fates(ask(*nowhere, sent=unknown)) == [Fate.NOT_FOUND] * 3
    first = steps(bank().bundles[KIND].fate(BundleFateQuestion(unknown), context()))[0]
    assert "<elecChequeNo></elecChequeNo>" in body_of(first) and "<acceptNo></acceptNo>" in body_of(first)


def test_an_account_with_more_rows_than_a_page_tells_nothing_at_once() -> None:
    # A second record of a line could be on a later page.
    full = listed(line(1), line(2), total=3)
    lines = [nothing(packet_id=f"36960000000070{n}") for n in range(1, 4)]
    assert fates(ask(full, *lines, sent=sent_bundle(), enquiry_rows=2)) == [Fate.NOT_FOUND] * 3


def test_of_many_lines_only_some_are_asked_about_at_once() -> None:
    unknown = sent_bundle()
    many = replace(unknown, items=tuple(replace(unknown.items[0], reference=f"{n:020d}") for n in range(20)))
    answers = [nothing(packet_id=f"3696000000007{n:02d}") for n in range(11)]
    told = ask(*answers, sent=many)
    assert len(told) == 10 and f"{7:020d}" in told and f"{6:020d}" not in told


def test_rows_of_another_package_are_no_answer() -> None:
    for rows in (
        listed(line(1), row(voucher=REFERENCE)),
        listed(line(1, accept="PT19YQ0000000002")),
        listed(line(1).replace("1.00", "1.01")),
        listed(line(1).replace(CREDITOR, DEBTOR)),
    ):
        with pytest.raises(ProtocolError):
            ask(rows)


# ---- authorisation at the web bank ----


def do48(status: str, host: str = "", packet_id: str = "369600000000700", **changes: str) -> bytes:
    fields = {
        "packageNo": BUNDLE,
        "entJnlSeqNo": WEB,
        "authJnlSeqNo": "",
        "hostJnlSeqNo": host,
        "transDate": "20260105",
        "transStatus": status,
        "failCode": "",
        "totalAmount": "4.50",
        "totalNumber": "3",
        "rejectNumber": "0",
        "rejectAmount": "0.00",
        **changes,
    }
    return done("DO48", packet_id, f"<totalCount>1</totalCount><lists><list>{leaves(fields)}</list></lists>")


def test_two_stages_first_the_web_bank_then_the_host_by_its_number() -> None:
    later = listed(line(1), line(2), line(3, "3"), packet_id="369600000000701")
    told = ask(do48("0", HOST), later, sent=sent_bundle(serial=WEB), **AUTHORISED)
    assert fates(told) == [Fate.SETTLED, Fate.SETTLED, Fate.PENDING]
    assert {one.bank_serial for one in told.values()} == {HOST}
    # The host's number is known by now, so the web bank need not be asked again.
    assert fates(ask(listed(line(1), line(2), line(3)), **AUTHORISED)) == [Fate.SETTLED] * 3


def test_what_the_two_stages_ask() -> None:
    question = BundleFateQuestion(sent_bundle(serial=WEB))
    found = steps(bank(**AUTHORISED).bundles[KIND].fate(question, context()), do48("0", HOST))
    first, second = (body_of(step) for step in found if step.port == "sign")
    assert first == (
        f"<body><authMasterID>{AUTHORISER}</authMasterID><beginDate>20260104</beginDate><endDate>20260106</endDate>"
        "<queryNumber>10</queryNumber><beginNumber>1</beginNumber><entJnlSeqNo></entJnlSeqNo>"
        f"<packageNo>{BUNDLE}</packageNo></body>"
    )
    assert f"<acceptNo>{HOST}</acceptNo>" in second


@pytest.mark.parametrize(
    ("status", "fate", "is_listed"),
    [
        ("2", Fate.FAILED, True),
        ("3", Fate.FAILED, True),
        ("4", Fate.FAILED, True),
        ("5", Fate.PENDING, True),
        ("9", Fate.PENDING, True),
        ("Z", Fate.PENDING, True),
        ("1", Fate.UNKNOWN, True),
        ("Y", Fate.UNKNOWN, True),
        ("S", Fate.UNKNOWN, False),
        ("", Fate.UNKNOWN, False),
    ],
)
def test_waiting_for_an_authorisation_is_no_success(status: str, fate: Fate, is_listed: bool) -> None:
    word = only(ask(do48(status), sent=sent_bundle(serial=WEB), **AUTHORISED))
    assert (word.fate, word.code, word.listed) == (fate, status, is_listed)


def test_a_package_refused_in_part_or_as_a_duplicate_is_no_failure() -> None:
    def word(answer: bytes) -> Fate:
        return only(ask(answer, sent=sent_bundle(serial=WEB), **AUTHORISED)).fate

    assert word(do48("4", rejectNumber="1")) is Fate.UNKNOWN
    assert word(do48("4", rejectNumber="3")) is Fate.FAILED
    assert word(do48("2", failCode="EYY8990")) is Fate.DUPLICATE
    two = do48("4", "", "369600000000700").partition(b"\r\n\r\n")
    assert two[2]
    body = leaves({"packageNo": BUNDLE, "transStatus": "4"})
    both = done("DO48", "369600000000700", f"<lists><list>{body}</list><list>{body}</list></lists>")
    assert word(both) is Fate.UNKNOWN


def test_a_package_that_the_web_bank_does_not_know_is_looked_for_line_by_line() -> None:
    answers = [nothing("DO48"), *(nothing(packet_id=f"36960000000070{n}") for n in (1, 2, 3, 4))]
    assert fates(ask(*answers, sent=sent_bundle(), **AUTHORISED)) == [Fate.NOT_FOUND] * 3
    strange = do48("4", packageNo=ITEMS[0])
    assert fates(ask(strange, *answers[1:], sent=sent_bundle(), **AUTHORISED)) == [Fate.NOT_FOUND] * 3
    # The web bank says done and has no number: that settles nothing, and nothing counts as missing.
    assert fates(ask(do48("0"), *answers[1:], sent=sent_bundle(), **AUTHORISED)) == [Fate.PENDING] * 3
    with pytest.raises(Declined):
        ask(refused("DO48", "369600000000700", "EGG0042"), sent=sent_bundle(), **AUTHORISED)


@pytest.mark.parametrize("changes", [{"totalNumber": "2"}, {"totalAmount": "4.51"}, {"totalAmount": "x"}])
def test_a_package_with_other_totals_is_not_ours(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        ask(do48("4", **changes), sent=sent_bundle(), **AUTHORISED)
