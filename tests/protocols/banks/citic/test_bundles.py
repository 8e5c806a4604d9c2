"""Batches, payrolls and collections: each item gets its own outcome, never the outcome of another item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocols.bank import Fates
from protocols.canon.order import Bundle, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BundleFateQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import (
    CODES,
    OURS,
    REFERENCE,
    THEIRS,
    answer,
    bank,
    bundle,
    content,
    context,
    first_step,
    reference_of,
    sent_bundle,
    stage,
    talk,
)

TWO = bundle(Kind.BATCH_ITEM, (500, 500))
WAGES = bundle(Kind.PAYROLL_ITEM, (500, 500), purpose="工资")
DUES = bundle(Kind.COLLECTION, (500, 500), purpose="会费")
ALL = (TWO, WAGES, DUES)
Rows = Sequence[Mapping[str, str]]


def hand_in(given: Bundle, frame: bytes, **options: Any) -> Fates:
    return talk(bank(**options).bundles[given.kind].word(given, context()), frame)[0]


def fates(given: Bundle, *frames: bytes, **options: Any) -> Fates:
    """The fates in one answer, taken as it is. Another test has two answers that differ."""
    asked = BundleFateQuestion(sent_bundle(given))
    return talk(
        bank(**{"confirm": False, "summary_first": False, **options}).bundles[given.kind].fate(asked, context()),
        *frames,
    )[0]


def words(told: Fates) -> list[Fate | None]:
    return [told[one].fate if one in told else None for one in map(reference_of, (1, 2))]


def line(given: Bundle, number: int, status: str, **changes: str) -> Mapping[str, str]:
    """A row of the kind's enquiry, with the fields that identify it."""
    if given.kind is Kind.BATCH_ITEM:
        key = {"memo": reference_of(number), "recAccountNo": THEIRS}
    elif given.kind is Kind.PAYROLL_ITEM:
        key = {"employeeNo": f"{number:05d}", "recAccountNo": THEIRS}
    else:
        key = {"abstract": f"{reference_of(number)} 会费", "payAccountNo": THEIRS}
    return {**key, "tranAmount": "5.00", "status": status, "statusText": "", **changes}


def told(*rows: Mapping[str, str], total: int | None = None) -> bytes:
    counts = {} if total is None else {"totalRecords": str(total), "returnRecords": str(len(rows))}
    return answer("AAAAAAA", counts, rows)


def test_a_batch_as_the_page_writes_it() -> None:
    step = first_step(bank().bundles[Kind.BATCH_ITEM].word(TWO, context()))
    xml = content(step.data)
    assert step.serials == ("DLPAYBAT",)
    assert f"<clientID>{REFERENCE}</clientID><totalNumber>2</totalNumber><totalAmount>10.00</totalAmount>" in xml
    assert (
        f"<row><ID>0002</ID><payAccountNo>{OURS}</payAccountNo><recAccountNo>{THEIRS}</recAccountNo>"
        "<recAccountName>乙公司</recAccountName><recOpenBankCode>102100099996</recOpenBankCode><payType>03</payType>"
        f"<tranAmount>5.00</tranAmount><abstract>货款</abstract><memo>{reference_of(2)}</memo></row>" in xml
    )
    assert "</totalAmount><preFlg>0</preFlg><preDate></preDate><preTime></preTime><list" in xml


def test_a_payroll_as_the_page_writes_it() -> None:
    xml = content(first_step(bank().bundles[Kind.PAYROLL_ITEM].word(WAGES, context())).data)
    assert (
        f"<payAccountNo>{OURS}</payAccountNo><abstract>工资</abstract><msgAbstract>1</msgAbstract><preFlg>0</preFlg>"
        "<preDate></preDate><preTime></preTime><yearMonth>202611</yearMonth>" in xml
    )
    assert (
        f"<row><employeeNo>00002</employeeNo><employeeName>乙公司</employeeName><recAccountNo>{THEIRS}</recAccountNo>"
        "<tranAmount>5.00</tranAmount><wagDetl></wagDetl></row>" in xml
    )


def test_a_payroll_for_several_purposes_says_each_in_its_line() -> None:
    first, second = WAGES.items
    mixed = replace(WAGES, items=(first, replace(second, order=replace(second.order, purpose="奖金"))))
    xml = content(first_step(bank(line_reference=True).bundles[Kind.PAYROLL_ITEM].word(mixed, context())).data)
    assert "<abstract></abstract>" in xml
    assert f"<wagDetl>{reference_of(2)} 奖金</wagDetl>" in xml


def test_a_collection_carries_our_reference_in_each_line() -> None:
    xml = content(first_step(bank().bundles[Kind.COLLECTION].word(DUES, context())).data)
    now = "<preFlg>0</preFlg><preDate></preDate><preTime></preTime>"
    assert f"<rcvAccountNo>{OURS}</rcvAccountNo>{now}" in xml
    assert (
        f"<row><payAccountNo>{THEIRS}</payAccountNo><payAccountName>示例丁</payAccountName>"
        f"<tranAmount>5.00</tranAmount><abstract>{reference_of(2)} 会费</abstract></row>" in xml
    )


@pytest.mark.parametrize("given", ALL)
def test_what_was_taken_is_pending_and_never_paid(given: Bundle) -> None:
    for status in ("AAAAAAA", "AAAAAAB", "AAAAAAE", "AAAAAAF", "CCCCCCC"):
        frame = answer(status, {"batchNo": "001"})
        assert words(hand_in(given, frame)) == [Fate.PENDING] * 2
        assert bank().bundles[given.kind].read(sent_bundle(given), frame) == hand_in(given, frame)


@pytest.mark.parametrize("given", ALL)
@pytest.mark.parametrize("status", ["EEEEEEE", "UNKNOWN", "ET00001", "ED02093", "ED02100", "TWIN002", "BBBBBBB"])
def test_what_was_not_clearly_taken_is_doubt(given: Bundle, status: str) -> None:
    assert words(hand_in(given, answer(status))) == [Fate.UNKNOWN] * 2


def test_what_the_bank_told_us_of_its_codes_is_believed_of_the_whole_message() -> None:
    assert words(hand_in(TWO, answer("TWIN002"), codes=CODES)) == [Fate.FAILED] * 2
    assert words(hand_in(TWO, answer("TWIN001"), codes=CODES)) == [Fate.DUPLICATE] * 2
    beside = answer("TWIN002", rows=[{"ID": "0001", "status": "AAAAAAE", "statusText": ""}])
    assert words(hand_in(TWO, beside, codes=CODES)) == [Fate.UNKNOWN] * 2


def test_lines_are_read_by_their_number_and_one_that_is_missing_is_left_out() -> None:
    two, one = (
        {"ID": f"{number:04d}", "status": word, "statusText": ""} for number, word in ((2, "AAAAAAE"), (1, "AAAAAAE"))
    )
    frame = answer("AAAAAAE", {"sucTotalNum": "1"}, [two])
    assert words(hand_in(TWO, frame)) == [None, Fate.PENDING]
    partly = answer("BBBBBBB", rows=[two | {"status": "ED02093"}, one])
    assert words(hand_in(TWO, partly)) == [Fate.PENDING, Fate.UNKNOWN]


@pytest.mark.parametrize("given", ALL)
@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("AAAAAAA", Fate.SETTLED),
        ("ED02086", Fate.FAILED),
        ("ED02090", Fate.FAILED),
        ("ED02093", Fate.FAILED),
        ("ED02094", Fate.FAILED),
        ("ED02100", Fate.FAILED),
        ("AAAAAAB", Fate.PENDING),
        ("AAAAAAC", Fate.PENDING),
        ("AAAAAAF", Fate.PENDING),
        ("CCCCCCC", Fate.PENDING),
        ("ED02087", Fate.PENDING),
        ("ED02095", Fate.PENDING),
        ("BBBBBBB", Fate.UNKNOWN),
        ("UNKNOWN", Fate.UNKNOWN),
        ("CP07801", Fate.UNKNOWN),
        ("ED02096", Fate.UNKNOWN),
        ("EEEEEEE", Fate.UNKNOWN),
        ("ED11001", Fate.UNKNOWN),
        ("ED02999", Fate.UNKNOWN),
        ("TWIN002", Fate.UNKNOWN),
    ],
)
def test_every_word_of_a_line(given: Bundle, status: str, fate: Fate) -> None:
    assert words(fates(given, told(line(given, 2, status), line(given, 1, "CCCCCCC"), total=2))) == [Fate.PENDING, fate]


def test_debited_is_a_collection_s_success_only() -> None:
    assert words(fates(DUES, told(line(DUES, 1, "AAAAAAD")))) == [Fate.SETTLED, None]
    assert words(fates(TWO, told(line(TWO, 1, "AAAAAAD")))) == [Fate.UNKNOWN, None]


@pytest.mark.parametrize("given", ALL)
def test_lines_that_are_not_ours_are_no_answer(given: Bundle) -> None:
    account = "payAccountNo" if given.kind is Kind.COLLECTION else "recAccountNo"
    for rows in (
        [line(given, 3, "AAAAAAA")],
        [line(given, 1, "AAAAAAA"), line(given, 1, "AAAAAAA")],
        [line(given, 1, "AAAAAAA", tranAmount="5.01")],
        [line(given, 1, "AAAAAAA", **{account: OURS})],
        [{"status": "AAAAAAA", "recAccountNo": THEIRS, "tranAmount": "5.00"}],
    ):
        with pytest.raises(ProtocolError):
            fates(given, told(*rows))


@pytest.mark.parametrize("given", ALL)
def test_a_bundle_that_is_not_known_is_not_found(given: Bundle) -> None:
    assert words(fates(given, told())) == [Fate.NOT_FOUND] * 2
    assert words(fates(given, answer("TWIN004"), codes=CODES)) == [Fate.NOT_FOUND] * 2
    with pytest.raises(Declined):
        fates(given, answer("ED02100", rows=[line(given, 1, "ED02100")]))


def test_lines_are_asked_for_page_by_page_and_a_circle_is_seen() -> None:
    page = told(line(WAGES, 1, "AAAAAAA"), total=2)
    asked = BundleFateQuestion(sent_bundle(WAGES))
    once = bank(confirm=False, summary_first=False).bundles[Kind.PAYROLL_ITEM]
    got, sent = talk(once.fate(asked, context()), page, told(line(WAGES, 2, "ED02093"), total=2))
    assert words(got) == [Fate.SETTLED, Fate.FAILED]
    assert ["<startRecord>1<" in content(sent[0]), "<startRecord>2<" in content(sent[1])] == [True, True]
    with pytest.raises(ProtocolError, match="twice"):
        fates(WAGES, page, page)


OTHERS = ({"totalNumber": "3"}, {"totalAmount": "10.01"}, {"clientID": "99999999999999999999"})


@pytest.mark.parametrize("leaves", OTHERS)
@pytest.mark.parametrize("given", ALL)
def test_an_answer_to_another_message_is_none(given: Bundle, leaves: dict[str, str]) -> None:
    rows = [line(given, 1, "AAAAAAA"), line(given, 2, "AAAAAAA")]
    handed, told_of, nowhere = answer("AAAAAAE", leaves), answer("AAAAAAA", leaves, rows), answer("TWIN004", leaves)
    with pytest.raises(ProtocolError, match="correlation"):
        hand_in(given, handed)
    with pytest.raises(ProtocolError, match="correlation"):
        bank().bundles[given.kind].read(sent_bundle(given), handed)
    for frame in (told_of, nowhere):
        with pytest.raises(ProtocolError, match="correlation"):
            fates(given, frame, codes=CODES)
    ours = {"totalNumber": "2", "totalAmount": "10.00", "clientID": REFERENCE}
    assert words(fates(given, answer("AAAAAAA", ours, rows))) == [Fate.SETTLED] * 2


@pytest.mark.parametrize("given", ALL)
def test_more_lines_than_were_sent_are_of_another_message(given: Bundle) -> None:
    with pytest.raises(ProtocolError, match="3 lines"):
        fates(given, told(line(given, 1, "AAAAAAA"), line(given, 2, "AAAAAAA"), total=3))


def asked_twice(given: Bundle, *frames: bytes, **options: Any) -> Fates:
    asked = BundleFateQuestion(sent_bundle(given))
    return talk(bank(summary_first=False, **options).bundles[given.kind].fate(asked, context()), *frames)[0]


@pytest.mark.parametrize("given", ALL)
@pytest.mark.parametrize("nowhere", [told(), answer("TWIN004")])
def test_not_found_is_believed_when_two_answers_say_it(given: Bundle, nowhere: bytes) -> None:
    assert words(asked_twice(given, nowhere, nowhere, codes=CODES)) == [Fate.NOT_FOUND] * 2
    got = asked_twice(given, nowhere, told(line(given, 1, "AAAAAAA"), line(given, 2, "CCCCCCC")), codes=CODES)
    assert [(one.fate, one.listed) for one in got.values()] == [(Fate.UNKNOWN, False)] * 2


@pytest.mark.parametrize("given", ALL)
def test_an_ending_of_a_line_is_believed_when_two_answers_say_the_same(given: Bundle) -> None:
    first = told(line(given, 1, "AAAAAAA"), line(given, 2, "ED02093"))
    assert words(asked_twice(given, first, first)) == [Fate.SETTLED, Fate.FAILED]
    for other in (
        told(line(given, 1, "CCCCCCC"), line(given, 2, "ED02093")),
        told(line(given, 2, "ED02093")),
        told(line(given, 1, "ED02093"), line(given, 2, "ED02093")),
    ):
        got = asked_twice(given, first, other)
        assert words(got) == [Fate.UNKNOWN, Fate.FAILED]
        assert not got[reference_of(1)].listed
    assert words(asked_twice(given, first, told())) == [Fate.UNKNOWN] * 2
    assert words(asked_twice(given, first, answer("TWIN004"), codes=CODES)) == [Fate.UNKNOWN] * 2
    with pytest.raises(Declined):
        asked_twice(given, first, answer("ET00001"))


def test_a_line_that_ended_between_two_answers_is_doubt_and_one_that_waits_still_waits() -> None:
    first = told(line(TWO, 1, "AAAAAAA"), line(TWO, 2, "CCCCCCC"))
    ended = told(line(TWO, 1, "AAAAAAA"), line(TWO, 2, "AAAAAAA"))
    later = told(line(TWO, 1, "AAAAAAA"), line(TWO, 2, "ED02087"))
    assert words(asked_twice(TWO, first, ended)) == [Fate.SETTLED, Fate.UNKNOWN]
    assert words(asked_twice(TWO, first, later)) == [Fate.SETTLED, Fate.PENDING]
    assert words(asked_twice(TWO, told(line(TWO, 1, "CCCCCCC")))) == [Fate.PENDING, None], "no ending, asked once"


MANY = bundle(Kind.PAYROLL_ITEM, (500,) * 25, purpose="工资")
FULL = told(*(line(MANY, number, "AAAAAAA") for number in range(1, 21)))
REST = told(*(line(MANY, number, "AAAAAAA") for number in range(21, 26)))


def test_a_full_page_without_a_total_is_followed() -> None:
    assert len(fates(MANY, FULL, REST)) == 25
    assert len(fates(MANY, FULL, told())) == 20, "the bank lists no more"
    for after in (answer("TWIN004"), answer("ED02100")):
        assert len(fates(MANY, FULL, after, codes=CODES)) == 20, "what it listed stands"
    twenty = replace(MANY, items=MANY.items[:20])
    assert len(fates(twenty, FULL)) == 20, "every line is known: nothing more is asked"
    stated = told(*(line(MANY, number, "AAAAAAA") for number in range(1, 21)), total=25)
    with pytest.raises(Declined):
        fates(MANY, stated, answer("ED02100"))


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    other = Party(AccountNumber("0000000000000000033"), Name("甲"))
    odd = replace(
        WAGES, items=(WAGES.items[0], replace(WAGES.items[1], order=replace(WAGES.items[1].order, debtor=other)))
    )
    twice = replace(TWO, items=(TWO.items[0], TWO.items[0]))
    for given, options in (
        (odd, {}),
        (twice, {}),
        (TWO, {"batch_lines": 1}),
        (bundle(Kind.COLLECTION, (1,), purpose="长" * 41), {}),
    ):
        with pytest.raises(ProtocolError):
            first_step(bank(**options).bundles[given.kind].word(given, context()))


def test_a_payroll_of_many_pages_at_the_twin() -> None:
    scene = stage(line_reference=True)
    given = bundle(Kind.PAYROLL_ITEM, (100,) * 45, purpose="工资")
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    got = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert len(got) == 45
    assert {one.fate for one in got.values()} == {Fate.SETTLED}
    assert len(scene.said) == 8, "the summary, and each page with an ending on it twice"
    assert [b"DLSALCOL" in said.request for said in scene.said] == [False, True] + [False] * 6


def test_a_payroll_whose_lines_have_no_number_is_doubt() -> None:
    scene = stage({"no_keys": True})
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(WAGES, scene.context(REFERENCE)))
    with pytest.raises(ProtocolError):
        scene.talk(word.fate(BundleFateQuestion(sent_bundle(WAGES)), scene.context()))


def test_a_payroll_without_totals_at_the_twin() -> None:
    scene = stage({"no_total": True}, line_reference=True)
    given = bundle(Kind.PAYROLL_ITEM, (100,) * 45, purpose="工资")
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    scene.talk(word.word(given, scene.context(REFERENCE)))
    got = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert len(got) == 45


def test_another_batch_s_answer_is_found_out() -> None:
    scene = stage({"late_answers": True}, line_reference=True, summary_first=False)
    word = scene.bank.bundles[Kind.BATCH_ITEM]
    items = tuple(
        replace(item, reference=f"LATE{item.reference[4:]}", order=replace(item.order, purpose="#late"))
        for item in TWO.items
    )
    late = replace(TWO, items=items)
    scene.talk(word.word(TWO, scene.context("R1")))
    scene.talk(word.word(late, scene.context("R2")))
    asked = BundleFateQuestion(sent_bundle(TWO, "R1"))
    assert words(scene.talk(word.fate(asked, scene.context()))) == [Fate.SETTLED] * 2
    asked = BundleFateQuestion(sent_bundle(late, "R2"))
    with pytest.raises(ProtocolError, match="correlation"):
        scene.talk(word.fate(asked, scene.context()))
    told = scene.talk(word.fate(asked, scene.context()))
    assert {one.fate for one in told.values()} == {Fate.PENDING}
