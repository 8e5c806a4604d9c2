"""Batches of both sizes, notices, payrolls and collections: each item has its own fate, never that of another item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import Fates
from protocols.canon.order import Bundle, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import BundleFateQuestion, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    OURS,
    REFERENCE,
    REPEATED,
    THEIRS,
    answer,
    bank,
    bundle,
    content,
    context,
    first_step,
    handed_in,
    record,
    reference_of,
    sent_bundle,
    stage,
    talk,
)
from tests.world.dialogue import BankAndTwin

TWO = bundle(Kind.BATCH_ITEM, (500, 500))
MANY = bundle(Kind.BATCH_ITEM, (100,) * 31)
WAGES = bundle(Kind.PAYROLL_ITEM, (500, 500, 700), purpose="工资")
Part = tuple[str, Mapping[str, str]]


def hand_in(given: Bundle, *frames: bytes, **options: Any) -> Fates:
    return talk(bank(**options).bundles[given.kind].word(given, context()), *frames)[0]


def fates(given: Bundle, *frames: bytes, at: SentBundle | None = None, **options: Any) -> Fates:
    conversation = bank(**options).bundles[given.kind].fate(BundleFateQuestion(at or sent_bundle(given)), context())
    return talk(conversation, *frames)[0]


def words(told: Fates) -> list[Fate | None]:
    return [told[one].fate if one in told else None for one in sorted(told)]


def line(number: int, **changes: str) -> Part:
    return handed_in(**{"YURREF": reference_of(number), "REQNBR": f"{number:010d}", **changes})


def done(number: int, **changes: str) -> Part:
    return record(**{"YURREF": reference_of(number), "TRSAMT": "5.00", "REQNBR": f"{number:010d}", **changes})


def by_hand(scene: BankAndTwin, given: Bundle, at: SentBundle | None = None) -> tuple[Fates, Fates]:
    """Send the messages to the twin, and ask about them there."""
    word = scene.bank.bundles[given.kind]
    first = scene.talk(word.word(given, scene.context(REFERENCE)))
    return first, scene.talk(word.fate(BundleFateQuestion(at or sent_bundle(given)), scene.context()))


# ---- batches -----------------------------------------------------------------------------------------------------


def test_each_line_carries_its_own_reference() -> None:
    step = first_step(bank().bundles[Kind.BATCH_ITEM].word(TWO, context()))
    xml = content(step.data)
    assert step.serials == ("N02031",)
    assert xml.count("<DCOPDPAYX>") == 2
    assert xml.count("<SDKPAYRQX>") == 1
    assert all(f"<YURREF>{item.reference}</YURREF>" in xml for item in TWO.items)
    assert REFERENCE not in xml, "the message itself has no key at this bank"


def test_a_synchronous_answer_tells_each_line() -> None:
    told = hand_in(TWO, answer("DCPAYMNT", "0", line(2, REQSTS="FIN", RTNFLG="F"), line(1)))
    assert words(told) == [Fate.PENDING, Fate.FAILED]
    assert told[reference_of(2)].bank_serial == "0000000002"


def test_a_line_without_an_answer_is_left_out() -> None:
    assert list(hand_in(TWO, answer("DCPAYMNT", "0", line(2)))) == [reference_of(2)]


def test_a_repeated_line_among_others_is_a_duplicate_and_no_failure() -> None:
    told = hand_in(TWO, answer("DCPAYMNT", "0", line(1, **REPEATED), line(2)))
    assert words(told) == [Fate.DUPLICATE, Fate.PENDING]


@pytest.mark.parametrize("code", ["-1", "-2", "-3", "-9", "-8"])
def test_a_call_that_failed_is_doubt_for_every_line(code: str) -> None:
    assert words(hand_in(TWO, answer("DCPAYMNT", code, line(1)))) == [Fate.UNKNOWN] * 2
    assert words(hand_in(TWO, answer("DCPAYMNT", code, line(1, **REPEATED)))) == [Fate.DUPLICATE, Fate.UNKNOWN]


@pytest.mark.parametrize("lines", [(), (line(1), line(1)), (line(3),), (line(1, TRSAMT="5.01"),)])
def test_an_answer_that_cannot_be_to_this_batch_raises(lines: tuple[Part, ...]) -> None:
    frame = answer("DCPAYMNT", "0", *lines)
    with pytest.raises(ProtocolError):
        hand_in(TWO, frame)
    with pytest.raises(ProtocolError):
        bank().bundles[Kind.BATCH_ITEM].read(sent_bundle(TWO), frame)


def test_a_stored_answer_reads_as_it_did() -> None:
    for given, lines in ((TWO, (line(1), line(2))), (MANY, ())):
        frame = answer("DCPAYMNT", "0", *lines)
        assert bank().bundles[Kind.BATCH_ITEM].read(sent_bundle(given), frame) == hand_in(given, frame)


def test_more_than_thirty_lines_are_answered_without_any() -> None:
    told = hand_in(MANY, answer("DCPAYMNT", "0"))
    assert words(told) == [Fate.PENDING] * 31
    assert all(one.listed for one in told.values())


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ProtocolError):
        first_step(bank(batch_lines=1).bundles[Kind.BATCH_ITEM].word(TWO, context()))
    twin = replace(TWO, items=(TWO.items[0], TWO.items[0]))
    with pytest.raises(ProtocolError):
        first_step(bank().bundles[Kind.BATCH_ITEM].word(twin, context()))


def test_identical_lines_have_each_their_own_fate() -> None:
    frame = answer("NTQRYSTN", "0", done(2, RTNFLG="F"), record(YURREF="GW000000000000009999"), done(1))
    assert words(fates(TWO, frame)) == [Fate.SETTLED, Fate.FAILED]


def test_a_line_in_no_answer_is_asked_about_by_its_reference() -> None:
    by_date, nothing = answer("NTQRYSTN", "0", done(1)), answer("NTQRYSTY", "0")
    assert words(fates(TWO, by_date, nothing)) == [Fate.SETTLED, Fate.NOT_FOUND]
    found = answer("NTQRYSTY", "0", done(2, REQSTS="AUT", RTNFLG=""))
    assert words(fates(TWO, by_date, found)) == [Fate.SETTLED, Fate.PENDING]


def test_an_enquiry_refused_decides_nothing() -> None:
    with pytest.raises(ProtocolError):
        fates(TWO, answer("NTQRYSTN", "-2"))


def test_a_line_of_another_amount_under_our_reference_is_no_answer() -> None:
    with pytest.raises(ProtocolError):
        fates(TWO, answer("NTQRYSTN", "0", done(1, TRSAMT="5.01"), done(2)))


def notice(result: str, kind: str = "NCBCHOPR") -> Part:
    return "NTQNTCGTZ", {"MSGTYP": kind, "RSTSET": result}


def test_lines_refused_in_a_large_batch_are_told_by_the_notice() -> None:
    listed = [record(YURREF=reference_of(n), TRSAMT="1.00") for n in range(1, 29)]
    first = answer("NTQRYSTN", "0", *listed)
    new = answer("GetNewNotice", "0", notice("A1"), notice("C9", "NCCRTTRS"))
    others = answer("GetBatchPayOprRes", "0", ("SDQPYRSTZ", {"YURREF": "GW000000000000009999", "REQSTS": "BNK"}))
    old = answer("GetHisNoticeEX", "0", notice("A1"), notice("A2"))
    ours = [
        ("SDQPYRSTZ", line(29, REQSTS="FIN", RTNFLG="F")[1]),
        ("SDQPYRSTZ", line(30, **REPEATED)[1]),
        ("SDQPYRSTZ", line(31)[1]),
    ]
    told = fates(MANY, first, new, others, old, answer("GetBatchPayOprRes", "0", *ours))
    assert words(told) == [Fate.SETTLED] * 28 + [Fate.FAILED, Fate.DUPLICATE, Fate.PENDING]


@pytest.mark.parametrize(
    "refused",
    [
        [answer("GetNewNotice", "-2"), answer("GetHisNoticeEX", "-2")],
        [answer("GetNewNotice", "0", notice("A1")), answer("GetBatchPayOprRes", "-2"), answer("GetHisNoticeEX", "-3")],
    ],
)
def test_notices_that_are_refused_take_nothing_back(refused: list[bytes]) -> None:
    listed = [record(YURREF=reference_of(n), TRSAMT="1.00") for n in range(1, 31)]
    told = fates(MANY, answer("NTQRYSTN", "0", *listed), *refused, answer("NTQRYSTY", "0"))
    assert words(told) == [Fate.SETTLED] * 30 + [Fate.NOT_FOUND]


@pytest.mark.parametrize(
    "asked_too_soon",
    [
        [answer("GetNewNotice", "-5")],
        [answer("GetNewNotice", "0"), answer("GetHisNoticeEX", "0"), answer("NTQRYSTY", "-5")],
    ],
)
def test_asking_too_often_for_the_rest_takes_nothing_back(asked_too_soon: list[bytes]) -> None:
    listed = [record(YURREF=reference_of(n), TRSAMT="1.00") for n in range(1, 31)]
    told = fates(MANY, answer("NTQRYSTN", "0", *listed), *asked_too_soon)
    assert words(told) == [Fate.SETTLED] * 30
    with pytest.raises(Declined) as caught:
        fates(MANY, answer("NTQRYSTN", "0"), *asked_too_soon)
    assert caught.value.outcome == "rate_limited", "where nothing is known yet, the lane slows down"


def test_notices_are_not_read_while_every_line_is_known() -> None:
    listed = [record(YURREF=reference_of(n), TRSAMT="1.00") for n in range(1, 32)]
    assert words(fates(MANY, answer("NTQRYSTN", "0", *listed))) == [Fate.SETTLED] * 31


def test_a_large_batch_s_whole_life_at_the_twin() -> None:
    scene = stage({"refused_unlisted": True})
    given = replace(
        MANY,
        items=(
            *MANY.items[:29],
            *(
                replace(item, order=replace(item.order, purpose=purpose))
                for item, purpose in zip(MANY.items[29:], ("#refuse", "#late"), strict=True)
            ),
        ),
    )
    first, then = by_hand(scene, given)
    assert words(first) == [Fate.PENDING] * 31
    assert words(then) == [Fate.SETTLED] * 29 + [Fate.FAILED, Fate.PENDING]
    again = scene.talk(
        scene.bank.bundles[Kind.BATCH_ITEM].fate(BundleFateQuestion(sent_bundle(given)), scene.context())
    )
    assert again == then, "a notice that was told once is found again in the history"


def test_the_same_batch_again_moves_nothing_and_says_duplicate() -> None:
    scene = stage()
    first, _ = by_hand(scene, TWO)
    again = scene.talk(scene.bank.bundles[Kind.BATCH_ITEM].word(TWO, scene.context(REFERENCE)))
    assert (words(first), words(again)) == ([Fate.PENDING] * 2, [Fate.DUPLICATE] * 2)
    assert len(scene.ledger.executions) == 2


# ---- payroll and collection --------------------------------------------------------------------------------------


def taken(code: str = "0", **changes: str) -> bytes:
    return answer("NTAGCSAL", code, ("NTAGCAGCZ1", {"REQNBR": "0000000077", "REQSTA": "OPR", "RSV50Z": "", **changes}))


def detail(number: int, status: str, **changes: str) -> Part:
    plain = {"TRXSEQ": f"{number:08d}", "ACCNBR": THEIRS, "TRSAMT": "5.00", "STSCOD": status, "ERRDSP": ""}
    return "NTAGCDTLY1", plain | changes


def state(**changes: str) -> bytes:
    plain = {
        "REQNBR": "0000000077",
        "YURREF": REFERENCE,
        "REQSTA": "BNK",
        "RTNFLG": "",
        "TRSNUM": "3",
        "TOTAMT": "17.00",
        "SUCNUM": "0",
        "ERRCOD": "SUC0000",
        "ERRDSP": "",
    }
    return answer("NTAGCINY", "0", ("NTAGCINQZ", plain | changes))


NUMBERED = sent_bundle(WAGES, bank_serial="0000000077")
ALL = answer("NTAGDINF", "0", detail(3, "A", TRSAMT="7.00"), detail(1, "S"), detail(2, "E"))


def test_a_payroll_is_one_part_with_count_sum_and_numbered_lines() -> None:
    step = first_step(bank().bundles[Kind.PAYROLL_ITEM].word(WAGES, context()))
    xml = content(step.data)
    assert step.serials == ("N03010",)
    for wanted in (
        "<FUNNAM>NTAGCSAL</FUNNAM>",
        "<BEGTAG>Y</BEGTAG><ENDTAG>Y</ENDTAG><REQNBR/>",
        "<TTLCNT>3</TTLCNT>",
        "<TTLAMT>17.00</TTLAMT>",
        "<TTLNUM>1</TTLNUM>",
        "<CURAMT>17.00</CURAMT><CURCNT>3</CURCNT>",
        "<TRSTYP>BYSA</TRSTYP><NUSAGE>工资</NUSAGE>",
        f"<YURREF>{REFERENCE}</YURREF>",
        "<TRXSEQ>00000003</TRXSEQ>",
        "<BUSMOD>00002</BUSMOD>",
    ):
        assert wanted in xml


def test_a_payroll_that_was_taken_is_pending_and_never_paid() -> None:
    told = hand_in(WAGES, taken())
    assert words(told) == [Fate.PENDING] * 3
    assert {one.bank_serial for one in told.values()} == {"0000000077"}
    assert bank().bundles[Kind.PAYROLL_ITEM].read(sent_bundle(WAGES), taken()) == told
    assert words(hand_in(WAGES, taken(REQSTA="FIN"))) == [Fate.UNKNOWN] * 3
    assert words(hand_in(WAGES, taken(REQSTA="ZZZ"))) == [Fate.UNKNOWN] * 3


@pytest.mark.parametrize("code", ["-1", "-2", "-3", "-9", "-8"])
def test_a_payroll_whose_call_failed_is_doubt(code: str) -> None:
    assert words(hand_in(WAGES, taken(code))) == [Fate.UNKNOWN] * 3
    assert words(hand_in(WAGES, answer("NTAGCSAL", code, message="业务参考号重复"))) == [Fate.DUPLICATE] * 3


def test_lines_are_told_apart_by_the_bank_s_number() -> None:
    told = fates(WAGES, ALL, at=NUMBERED)
    assert words(told) == [Fate.SETTLED, Fate.FAILED, Fate.PENDING]


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("S", Fate.SETTLED),
        ("E", Fate.FAILED),
        ("F", Fate.UNKNOWN),
        ("C", Fate.FAILED),
        ("A", Fate.PENDING),
        ("I", Fate.PENDING),
        ("X", Fate.UNKNOWN),
        ("", Fate.UNKNOWN),
        ("SS", Fate.UNKNOWN),
    ],
)
def test_every_word_of_a_line(status: str, fate: Fate) -> None:
    told = fates(WAGES, answer("NTAGDINF", "0", detail(2, status)), at=NUMBERED)
    assert {one: word.fate for one, word in told.items()} == {reference_of(2): fate}


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("S", Fate.SETTLED),
        ("F", Fate.FAILED),
        ("I", Fate.PENDING),
        ("C", Fate.UNKNOWN),
        ("E", Fate.UNKNOWN),
        ("A", Fate.UNKNOWN),
    ],
)
def test_every_word_of_agent_request_s_line_which_no_other_list_explains(status: str, fate: Fate) -> None:
    row = "NTQATDQYZ", {"ACCNBR": THEIRS, "TRSAMT": "5.00", "TRSDSP": reference_of(2), "STSCOD": status}
    told = fates(WAGES, answer("GetAgentDetail", "0", row), at=NUMBERED, agency="AgentRequest")
    assert {one: word.fate for one, word in told.items()} == {reference_of(2): fate}


def test_a_line_without_a_status_is_in_doubt_and_the_others_are_read() -> None:
    bare = {tag: text for tag, text in detail(2, "")[1].items() if tag != "STSCOD"}
    odd = detail(3, "S", TRSAMT="x")
    told = fates(WAGES, answer("NTAGDINF", "0", detail(1, "S"), ("NTAGCDTLY1", bare), odd), at=NUMBERED)
    assert {one: word.fate for one, word in told.items()} == {
        reference_of(1): Fate.SETTLED,
        reference_of(2): Fate.UNKNOWN,
    }
    assert not told[reference_of(2)].listed
    for lost in (detail(2, "S", TRXSEQ=""), detail(2, "S", TRXSEQ="x")):
        assert words(fates(WAGES, answer("NTAGDINF", "0", detail(1, "S"), lost), at=NUMBERED)) == [Fate.SETTLED]


def test_a_line_that_names_a_duplicate_is_no_failure() -> None:
    told = fates(WAGES, answer("NTAGDINF", "0", detail(2, "E", ERRDSP="NCB4241 -业务参考号重复")), at=NUMBERED)
    assert told[reference_of(2)].fate is Fate.DUPLICATE


@pytest.mark.parametrize("stated", ["0000000078", "77"])
def test_lines_of_another_message_are_no_answer(stated: str) -> None:
    echo = "NTAGDINFY1", {"REQNBR": stated, "BTHNBR": "", "TRXSEQ": "", "HISTAG": ""}
    small = "NTQATDQYZ", {"TRSAMT": "5.00", "TRSDSP": reference_of(2), "STSCOD": "S", "REQNBR": stated}
    for frame, options in (
        (answer("NTAGDINF", "0", detail(1, "S"), echo), {}),
        (answer("NTAGDINF", "0", detail(1, "S", REQNBR=stated)), {}),
        (answer("GetAgentDetail", "0", small), {"agency": "AgentRequest"}),
    ):
        with pytest.raises(ProtocolError) as caught:
            fates(WAGES, frame, at=NUMBERED, **options)
        assert caught.value.reason == "correlation"
    ours = answer("NTAGDINF", "0", detail(1, "S", REQNBR="0000000077"))
    assert words(fates(WAGES, ours, at=NUMBERED)) == [Fate.SETTLED]


def test_a_repeat_dressed_as_a_failure_fails_no_line() -> None:
    dressed = {"REQSTA": "FIN", "RTNFLG": "F", "ERRCOD": "NCB4241", "ERRDSP": "NCB4241 -业务参考号重复", "REQNBR": ""}
    for changes in ({}, {"ERRCOD": ""}, {"ERRDSP": ""}, {"ERRCOD": "ZZZ0001", "ERRDSP": "业务参考号重复"}):
        assert words(fates(WAGES, state(**{**dressed, **changes}))) == [Fate.DUPLICATE] * 3
    numbered = state(**{**dressed, "REQNBR": "0000000078"})
    assert words(fates(WAGES, numbered, answer("NTAGDINF", "0"))) == [Fate.DUPLICATE] * 3


@pytest.mark.parametrize("number", ["", "0000000000"])
@pytest.mark.parametrize("rtnflg", ["F", "R", "C"])
def test_a_message_s_failure_without_the_bank_s_number_is_doubt(number: str, rtnflg: str) -> None:
    assert fates(WAGES, state(REQSTA="FIN", RTNFLG=rtnflg, REQNBR=number)) == {}


def test_a_list_of_lines_that_is_declined_does_not_hide_the_message_s_state() -> None:
    declined = answer("NTAGDINF", "-2", message="无此权限")
    assert words(fates(WAGES, declined, state(), at=NUMBERED)) == [Fate.PENDING] * 3
    assert words(fates(WAGES, state(), declined)) == [Fate.PENDING] * 3
    # "None was paid" is believed only beside an empty list. Here the list was not answered.
    assert fates(WAGES, declined, state(REQSTA="FIN", RTNFLG="F"), at=NUMBERED) == {}
    with pytest.raises(Declined) as caught:
        fates(WAGES, answer("NTAGDINF", "-5"), at=NUMBERED)
    assert caught.value.outcome == "rate_limited"


@pytest.mark.parametrize(
    "lines",
    [
        (detail(4, "S"),),
        (detail(0, "S"),),
        (detail(1, "S"), detail(1, "S")),
        (detail(1, "S", ACCNBR=OURS),),
        (detail(1, "S", TRSAMT="7.00"),),
    ],
)
def test_a_line_that_is_not_ours_is_no_answer(lines: tuple[Part, ...]) -> None:
    with pytest.raises(ProtocolError):
        fates(WAGES, answer("NTAGDINF", "0", *lines), at=NUMBERED)


def test_pages_of_lines_are_followed_and_a_circle_is_seen() -> None:
    def page(place: str, *lines: Part) -> bytes:
        return answer("NTAGDINF", "0", *lines, ("NTAGDINFY1", {"BTHNBR": "1", "TRXSEQ": place, "HISTAG": "N"}))

    last = answer("NTAGDINF", "0", detail(2, "S"))
    assert words(fates(WAGES, page("00000001", detail(1, "S")), last, at=NUMBERED)) == [Fate.SETTLED] * 2
    with pytest.raises(ProtocolError, match="repeats its pages"):
        fates(WAGES, page("1", detail(1, "S")), page("1", detail(2, "S")), at=NUMBERED)


@pytest.mark.parametrize(
    ("whole", "fate"),
    [
        ({"REQSTA": "AUT"}, Fate.PENDING),
        ({"REQSTA": "FIN", "RTNFLG": "R"}, Fate.FAILED),
        ({"REQSTA": "FIN", "RTNFLG": "F"}, Fate.FAILED),
        ({"REQSTA": "FIN", "RTNFLG": "F", "SUCNUM": "1"}, None),
        ({"REQSTA": "FIN", "RTNFLG": "F", "SUCNUM": "10"}, None),
        ({"REQSTA": "FIN", "RTNFLG": "F", "SUCNUM": ""}, None),
        ({"REQSTA": "FIN", "RTNFLG": "S", "SUCNUM": "3"}, None),
        ({"REQSTA": "WRF"}, None),
        ({"REQSTA": "FIN", "RTNFLG": "Q"}, None),
    ],
)
def test_the_message_s_own_ending_is_no_line_s(whole: dict[str, str], fate: Fate | None) -> None:
    told = fates(WAGES, state(**whole), answer("NTAGDINF", "0"))
    assert words(told) == ([] if fate is None else [fate] * 3)


@pytest.mark.parametrize("changes", [{"YURREF": "GW000000000000000002"}, {"TRSNUM": "4"}, {"TOTAMT": "17.01"}])
def test_a_state_of_another_message_is_no_answer(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        fates(WAGES, state(**changes))


def test_a_payroll_that_is_not_known_is_not_found() -> None:
    assert words(fates(WAGES, answer("NTAGCINY", "0"))) == [Fate.NOT_FOUND] * 3
    assert fates(WAGES, agency_enquiry="") == {}


@pytest.mark.parametrize("agency", ["NTAGC", "AgentRequest"])
@pytest.mark.parametrize("kind", [Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_a_whole_life_at_the_twin(agency: str, kind: Kind) -> None:
    scene = stage(conduct=BookingRules(late_s=30.0), agency=agency)
    names = ("示例甲", "示例甲", "#refuse", "#late")
    given = bundle(kind, (500, 500, 700, 800), purpose="工资")
    items = []
    for item, name in zip(given.items, names, strict=True):
        party = Party(AccountNumber(THEIRS), Name(name))
        side: Any = {"debtor": party} if kind is Kind.COLLECTION else {"creditor": party}
        items.append(replace(item, order=replace(item.order, **side)))
    given = replace(given, items=tuple(items))
    first, then = by_hand(scene, given)
    assert words(first) == [Fate.PENDING] * 4
    assert words(then) == [Fate.SETTLED, Fate.SETTLED, Fate.FAILED, Fate.PENDING]
    scene.time.later(60)
    later = scene.talk(scene.bank.bundles[kind].fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert words(later) == [Fate.SETTLED, Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
    holding = scene.ledger.holding(OURS)
    assert holding is not None
    assert holding.book.minor == (101_800 if kind is Kind.COLLECTION else 98_200)
    again = scene.talk(scene.bank.bundles[kind].word(given, scene.context(REFERENCE)))
    assert words(again) == [Fate.DUPLICATE] * 4


def test_agent_request_carries_our_reference_as_the_line_s_text() -> None:
    xml = content(first_step(bank(agency="AgentRequest").bundles[Kind.PAYROLL_ITEM].word(WAGES, context())).data)
    assert f"<TRSDSP>{reference_of(2)}</TRSDSP>" in xml
    assert "<SUM>17.00</SUM><TOTAL>3</TOTAL>" in xml
    rows = [
        ("NTQATDQYZ", {"ACCNBR": THEIRS, "TRSAMT": "5.00", "TRSDSP": reference_of(n), "STSCOD": word})
        for n, word in ((2, "F"), (1, "S"))
    ]
    assert words(fates(WAGES, answer("GetAgentDetail", "0", *rows), at=NUMBERED, agency="AgentRequest")) == [
        Fate.SETTLED,
        Fate.FAILED,
    ]


def test_a_line_s_reference_goes_into_cprref_where_the_bank_agreed_to_it() -> None:
    adapter = bank(line_reference=True)
    xml = content(first_step(adapter.bundles[Kind.PAYROLL_ITEM].word(WAGES, context())).data)
    assert f"<CPRREF>{reference_of(3)}</CPRREF>" in xml
    for stated, right in ((reference_of(1), True), (reference_of(2), False)):
        frame = answer("NTAGDINF", "0", detail(1, "S", CPRREF=stated))
        if right:
            assert words(fates(WAGES, frame, at=NUMBERED)) == [Fate.SETTLED]
            continue
        with pytest.raises(ProtocolError):
            fates(WAGES, frame, at=NUMBERED)


def test_a_large_payroll_is_read_over_several_pages() -> None:
    scene = stage(opening="100000.00", agency_lines=2500)
    given = bundle(Kind.PAYROLL_ITEM, (100,) * 2001, purpose="工资")
    _first, then = by_hand(scene, given)
    assert len(then) == 2001
    assert {word.fate for word in then.values()} == {Fate.SETTLED}


def test_what_a_payroll_cannot_carry_is_refused_before_anything_is_sent() -> None:
    word = bank().bundles[Kind.PAYROLL_ITEM].word
    for given in (
        bundle(Kind.PAYROLL_ITEM, (1,), purpose="长" * 22),
        bundle(Kind.PAYROLL_ITEM, (0,)),
        bundle(Kind.PAYROLL_ITEM, (1,), creditor=Party(AccountNumber(THEIRS), Name("长" * 32))),
        bundle(Kind.COLLECTION, (1,)),
    ):
        with pytest.raises(ProtocolError):
            first_step(word(given, context()))


def test_a_line_to_another_bank_names_that_bank_where_the_form_has_no_place_for_its_number() -> None:
    numbered = Party(AccountNumber(THEIRS), Name("示例丁"), None, "000000000000")
    given = bundle(Kind.PAYROLL_ITEM, (500,), creditor=numbered)
    word = bank(agency="AgentRequest").bundles[Kind.PAYROLL_ITEM].word
    with pytest.raises(ProtocolError) as caught:
        first_step(word(given, context()))
    assert caught.value.reason == "missing"
    big = content(first_step(bank().bundles[Kind.PAYROLL_ITEM].word(given, context())).data)
    assert "<BNKFLG>N</BNKFLG><EACBNK/>" in big and "<RCVBNK>000000000000</RCVBNK>" in big
