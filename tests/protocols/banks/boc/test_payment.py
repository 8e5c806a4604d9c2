"""Orders, alone and in batches: the bytes, the outcomes of the answers, and the enquiry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, TransferDetail, Urgency
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import BundleFateQuestion
from protocols.kit import http
from protocols.kit.charset import Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.boc.paper import (
    CODES,
    NUMBER,
    OURS,
    REFERENCE,
    SECOND,
    THEIRS,
    TOKEN,
    answer,
    bank,
    bundle,
    content,
    context,
    document,
    first_step,
    framed,
    named,
    order,
    question,
    reference_of,
    row,
    sent,
    sent_bundle,
    stage,
    talk,
)

PERSON = Party(AccountNumber(THEIRS), Name("示例丙"), "中国银行某支行", "104100000004", PartyKind.PERSON)
TWO = bundle((500, 500))


def written(given: Any = None, **options: Any) -> str:
    one = given or order()
    return content(first_step(bank(**options).money[one.kind](one, context())).data)


def paid(frame: bytes, given: Any = None, **options: Any) -> Any:
    one = given or order()
    return talk(bank(**options).money[one.kind](one, context()), frame)[0]


def fated(frame: bytes, **options: Any) -> Any:
    ask = bank(**options).questions.fate
    assert ask is not None
    return talk(ask(question(), context()), frame)[0]


# ---- the bytes ---------------------------------------------------------------------------------------------------


def test_a_payment_as_the_page_writes_it() -> None:
    assert written(payee_address="深圳") == (
        '<?xml version="1.0" encoding="UTF-8"?><bocb2e version="120" security="true" locale="zh_CN"><head>'
        "<termid>E192168001010</termid><trnid>20261124120000001</trnid><custid>100000001</custid><cusopr>200000001</cusopr>"
        f"<trncod>b2e0009</trncod><token>{TOKEN}</token></head><trans><trn-b2e0009-rq><ceitinfo></ceitinfo>"
        f"<transtype></transtype><b2e0009-rq><insid>{REFERENCE}</insid><obssid></obssid><fractn><fribkn>40000</fribkn>"
        f"<actacn>{OURS}</actacn><actnam>甲公司</actnam></fractn><toactn><toibkn>104100000004</toibkn>"
        f"<actacn>{THEIRS}</actacn><toname>乙公司</toname><toaddr>深圳</toaddr><tobknm>中国银行某支行</tobknm></toactn>"
        "<trnamt>123.45</trnamt><trncur>CNY</trncur><priolv>0</priolv><furinfo>货款</furinfo><trfdate>20261124</trfdate>"
        "<trftime></trftime><comacn></comacn></b2e0009-rq></trn-b2e0009-rq></trans></bocb2e>"
    )


def test_the_older_version_and_charset() -> None:
    step = first_step(bank(version="100", charset="GBK").money[Kind.PAYMENT](order(), context()))
    body = http.parse_request(step.data).body.decode("gbk")
    assert body.startswith('<?xml version="1.0" encoding="GBK"?><bocb2e version="100" security="true" lang="chs">')
    assert "乙公司" in body


def test_an_urgent_one_and_one_to_a_person() -> None:
    assert "<priolv>1</priolv>" in written(order(urgency=Urgency.URGENT))
    xml = written(order(creditor=PERSON, urgency=Urgency.URGENT))
    assert "<trncod>b2e0061</trncod>" in xml
    assert "<acttyp>119</acttyp></toactn>" in xml
    assert "<bocflag>1</bocflag><cuspriolv>1</cuspriolv></b2e0061-rq>" in xml
    assert "<bocflag>0</bocflag>" in written(order(creditor=replace(PERSON, bank_name="示例银行")))
    with pytest.raises(ProtocolError):
        written(order(creditor=PERSON), persons=False)


def test_a_transfer_between_own_accounts() -> None:
    inside = order(TransferDetail(), creditor=Party(AccountNumber(THEIRS), Name("甲公司")))
    assert "<toibkn>40001</toibkn>" in written(inside, branches={THEIRS: "40001"})
    assert "<trncod>b2e0009</trncod>" in written(inside)


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": Channel.LARGE_VALUE},
        {"amount": Money(0)},
        {"amount": Money(1, "USD")},
        {"amount": Money(10**17)},
        {"purpose": "长" * 41},
        {"creditor": Party(AccountNumber(THEIRS), Name("乙"), "示例银行")},
        {"creditor": Party(AccountNumber("1" * 36), Name("乙"), "示例银行", "104100000004")},
        {"creditor": Party(AccountNumber(THEIRS), Name("长" * 36), "示例银行", "104100000004")},
        {"debtor": Party(AccountNumber(OURS), Name(""))},
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        written(order(**changes))


def test_a_character_beyond_gbk_is_named_with_its_place_even_in_utf_8() -> None:
    with pytest.raises(Unencodable) as caught:
        written(order(purpose="货款𬭎"))
    assert caught.value.position == 2


@pytest.mark.parametrize("reference", ["", "1" * 21, "GW-1"])
def test_a_reference_must_be_an_insid(reference: str) -> None:
    with pytest.raises(ProtocolError):
        first_step(bank().money[Kind.PAYMENT](order(), context(reference)))


# ---- the answer to it --------------------------------------------------------------------------------------------


def test_b001_twice_is_acceptance_and_no_more() -> None:
    told = paid(answer("b2e0009", "B001", named()))
    assert (told.fate, told.bank_serial, told.listed) == (Fate.PENDING, "88886", True)
    assert bank().read(Kind.PAYMENT, sent(), answer("b2e0009", "B001", named())) == told


@pytest.mark.parametrize("code", ["B002", "B054", "TW02", "0000", "b001"])
def test_another_code_of_the_row_is_doubt(code: str) -> None:
    told = paid(answer("b2e0009", "B001", named(code=code)))
    assert (told.fate, told.listed) == (Fate.UNKNOWN, False)


@pytest.mark.parametrize("code", ["B002", "TW02"])
def test_another_code_of_the_message_is_doubt_whatever_its_rows_say(code: str) -> None:
    for rows in ((), (named(),), (named(code="TW02"),)):
        told = paid(answer("b2e0009", code, *rows))
        assert (told.fate, told.code, told.listed) == (Fate.UNKNOWN, code, False)


@pytest.mark.parametrize("code", ["1033", "B107"])
def test_an_order_whose_token_the_bank_does_not_know_is_doubt_and_the_lane_signs_on(code: str) -> None:
    for rows in ((), (named(),), (named(code="TW02"),)):
        for hear in (paid, hand_in):
            with pytest.raises(Declined) as caught:
                hear(answer("b2e0009", code, *rows))
            assert (caught.value.code, caught.value.outcome) == (code, "signed_out")
        told = bank().read(Kind.PAYMENT, sent(), answer("b2e0009", code, *rows))
        assert (told.fate, told.code, told.listed) == (Fate.UNKNOWN, code, True), "the stored answer is doubt, too"


@pytest.mark.parametrize("code", ["1033", "B107"])
def test_a_row_that_does_not_know_the_token_ends_the_session_as_well(code: str) -> None:
    row = answer("b2e0009", "B001", named(code=code))
    two = answer("b2e0009", "B001", named(reference_of(1)), named(reference_of(2), code))
    for hear, frame in ((paid, row), (hand_in, two)):
        with pytest.raises(Declined) as caught:
            hear(frame)
        assert (caught.value.code, caught.value.outcome) == (code, "signed_out")
    told = bank().read(Kind.PAYMENT, sent(), row)
    assert (told.fate, told.listed) == (Fate.UNKNOWN, True), "the stored answer is doubt"
    for ask, frame in (
        (fated, answer("b2e0007", "B001", named(code=code))),
        (asked_about, answer("b2e0007", "B001", named(reference_of(1)), named(reference_of(2), code))),
    ):
        with pytest.raises(Declined) as caught:
            ask(frame)
        assert caught.value.outcome == "signed_out"


def test_what_the_bank_told_us_of_its_codes_is_believed() -> None:
    for frame in (answer("b2e0009", "TW02"), answer("b2e0009", "B001", named(code="TW02"))):
        assert paid(frame, codes=CODES).fate is Fate.FAILED
    for frame in (answer("b2e0009", "TW01"), answer("b2e0009", "B001", named(code="TW01"))):
        assert paid(frame, codes=CODES).fate is Fate.DUPLICATE
    beside = answer("b2e0009", "TW02", named())
    assert paid(beside, codes=CODES).fate is Fate.UNKNOWN, "refused as a message, taken as a row"


@pytest.mark.parametrize(
    "frame",
    [
        answer("b2e0009", "B001"),
        answer("b2e0009", "B001", named("GW2601050002")),
        answer("b2e0009", "B001", named(), named()),
        answer("b2e0009", "B001", row()),
        answer("b2e0009", "", named()),
        answer("b2e0009", "B001", named(code="")),
        answer("b2e0007", "B001", named()),
        answer("b2e0009", "B001", "<insid>GW2601050001</insid>"),
        framed(document("b2e0009", "B001", named()).replace("100000001", "100000002")),
        framed(document("b2e0009", "B001", named()).replace("bocb2e", "other")),
        framed(document("b2e0009", "B001", named(), head="<trncod>b2e0009</trncod>")),
        framed(document("b2e0009", "B001", named()).replace(">OK<", ">受理<"), "UTF-8", "gbk"),
        http.answer(500, (), b""),
        http.answer(200, (), b""),
    ],
)
def test_what_is_no_answer_to_it_raises(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        paid(frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), frame)


@pytest.mark.parametrize(
    ("label", "codec"), [("UTF-8", "utf-8"), ("utf-8", "utf-8"), ("GB2312", "gb18030"), ("GBK", "gbk")]
)
def test_answers_are_read_as_they_declare_themselves(label: str, codec: str) -> None:
    xml = document("b2e0009", "B001", named(code="B777").replace(">OK<", ">失败麤<").replace("rspmsg", "errmsg"))
    told = paid(framed(xml.replace("<bocb2e ", '<bocb2e xmlns:xsd="http://www.w3.org/2001/XMLSchema" '), label, codec))
    assert (told.fate, told.text) == (Fate.UNKNOWN, "失败麤")
    bare = http.answer(200, (("Content-Type", "text/xml; charset=GBK"),), xml.encode())
    assert paid(bare).text == "失败麤"


# ---- the enquiry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "fate", "listed"),
    [
        ("B001", Fate.SETTLED, True),
        ("B054", Fate.PENDING, True),
        ("B059", Fate.PENDING, True),
        ("B266", Fate.PENDING, True),
        ("B002", Fate.UNKNOWN, False),
        ("TW02", Fate.UNKNOWN, False),
        ("103", Fate.UNKNOWN, False),
    ],
)
def test_the_row_of_the_enquiry_is_the_payment_s(code: str, fate: Fate, listed: bool) -> None:
    told = fated(answer("b2e0007", "B001", named(code=code)))
    assert (told.fate, told.listed) == (fate, listed)


def test_no_row_is_not_found_and_never_failed() -> None:
    assert fated(answer("b2e0007", "B001")).fate is Fate.NOT_FOUND
    assert fated(answer("b2e0007", "B001", named(code="TW04")), codes=CODES).fate is Fate.NOT_FOUND
    assert fated(answer("b2e0007", "TW04"), codes=CODES).fate is Fate.NOT_FOUND
    assert fated(answer("b2e0007", "B001", named(code="TW02")), codes=CODES).fate is Fate.FAILED


@pytest.mark.parametrize(
    ("code", "outcome"), [("1033", "signed_out"), ("B107", "signed_out"), ("B002", "retry"), ("TW02", "retry")]
)
def test_a_no_to_the_question_says_nothing_about_the_payment(code: str, outcome: str) -> None:
    with pytest.raises(Declined) as caught:
        fated(answer("b2e0007", code, named(code="B001")), codes=CODES)
    assert caught.value.outcome == outcome


@pytest.mark.parametrize(
    "rows", [(named("GW2601050002"),), (named(), named()), (named(inner="<trnamt>1.00</trnamt>"),), (row(),)]
)
def test_rows_that_are_not_ours_are_no_answer(rows: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        fated(answer("b2e0007", "B001", *rows))


# ---- batches -----------------------------------------------------------------------------------------------------


def hand_in(frame: bytes, **options: Any) -> Any:
    return talk(bank(**options).bundles[Kind.BATCH_ITEM].word(TWO, context()), frame)[0]


def asked_about(*frames: bytes, **options: Any) -> tuple[Any, list[bytes]]:
    conversation = bank(**options).bundles[Kind.BATCH_ITEM].fate(BundleFateQuestion(sent_bundle(TWO)), context())
    return talk(conversation, *frames)


def words(told: Any) -> list[Fate | None]:
    return [told[one].fate if one in told else None for one in map(reference_of, (1, 2))]


def test_each_row_of_a_batch_has_its_own_insid_and_answer() -> None:
    step = first_step(bank().bundles[Kind.BATCH_ITEM].word(TWO, context("GW2601059999")))
    xml = content(step.data)
    assert xml.count("<b2e0009-rq>") == 2
    assert all(f"<insid>{item.reference}</insid>" in xml for item in TWO.items)
    assert "GW2601059999" not in xml, "the message itself has no key at this bank"
    told = hand_in(answer("b2e0009", "B001", named(reference_of(2), "TW02"), named(reference_of(1))))
    assert words(told) == [Fate.PENDING, Fate.UNKNOWN]
    frame = answer("b2e0009", "B001", named(reference_of(2)))
    assert words(hand_in(frame)) == [None, Fate.PENDING]
    assert bank().bundles[Kind.BATCH_ITEM].read(sent_bundle(TWO), frame) == hand_in(frame)


def test_a_message_that_was_refused_counts_for_every_row() -> None:
    assert words(hand_in(answer("b2e0009", "B002"))) == [Fate.UNKNOWN] * 2
    assert words(hand_in(answer("b2e0009", "TW02"), codes=CODES)) == [Fate.FAILED] * 2
    assert words(hand_in(answer("b2e0009", "TW02", named(reference_of(1))), codes=CODES)) == [Fate.UNKNOWN] * 2


def test_a_batch_is_asked_about_some_at_a_time() -> None:
    one = answer("b2e0007", "B001", named(reference_of(1)))
    two = answer("b2e0007", "B001", named(reference_of(2), "B054"), number=SECOND)
    told, asked = asked_about(one, two, enquiry_lines=1)
    assert words(told) == [Fate.SETTLED, Fate.PENDING]
    assert [content(frame).count("<b2e0007-rq>") for frame in asked] == [1, 1]
    assert [
        f"<trnid>{number}</trnid>" in content(frame) for frame, number in zip(asked, (NUMBER, SECOND), strict=True)
    ] == [True, True]
    with pytest.raises(ProtocolError):
        asked_about(two, one, enquiry_lines=1)


def test_a_lane_draws_a_number_for_every_message_of_an_enquiry() -> None:
    assert bank().profile.serials_per_word == 20
    assert bank(batch_lines=101, enquiry_lines=50).profile.serials_per_word == 3


def test_an_answer_under_another_number_is_no_answer() -> None:
    late = answer("b2e0009", "B001", named(), number=SECOND)
    step = first_step(bank().money[Kind.PAYMENT](order(), context()))
    assert step.serials == ("b2e0009", NUMBER)
    with pytest.raises(ProtocolError) as caught:
        paid(late)
    assert caught.value.reason == "correlation"
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(serials=step.serials), late)
    with pytest.raises(ProtocolError):
        fated(answer("b2e0007", "B001", named(), number=SECOND))
    with pytest.raises(ProtocolError):
        hand_in(late)
    assert bank().read(Kind.PAYMENT, sent(), late).fate is Fate.PENDING, "written down before numbers were kept"
    assert paid(answer("b2e0009", "B001", named(), number="")).fate is Fate.PENDING, "where it is stated"


def test_rows_that_are_missing_are_left_out_and_none_at_all_is_not_found() -> None:
    assert words(asked_about(answer("b2e0007", "B001", named(reference_of(2))))[0]) == [None, Fate.SETTLED]
    assert words(asked_about(answer("b2e0007", "B001"))[0]) == [Fate.NOT_FOUND] * 2
    with pytest.raises(Declined):
        asked_about(answer("b2e0007", "1033"))


def test_a_row_whose_code_cannot_be_read_hides_no_other() -> None:
    odd, good = named(reference_of(1), "?"), named(reference_of(2))
    assert words(asked_about(answer("b2e0007", "B001", odd, good))[0]) == [None, Fate.SETTLED]
    with pytest.raises(ProtocolError):
        asked_about(answer("b2e0007", "B001", odd))
    with pytest.raises(ProtocolError):
        fated(answer("b2e0007", "B001", named(code="?")))


def test_what_a_batch_cannot_carry_is_refused_before_anything_is_sent() -> None:
    twice = replace(TWO, items=(TWO.items[0], TWO.items[0]))
    for given, options in ((twice, {}), (TWO, {"batch_lines": 1}), (bundle((1, 2), creditor=PERSON), {})):
        with pytest.raises(ProtocolError):
            first_step(bank(**options).bundles[Kind.BATCH_ITEM].word(given, context()))


# ---- the bank's faults -------------------------------------------------------------------------------------------


def pay(scene: Any, given: Any = None) -> Any:
    one = given or order()
    return scene.talk(scene.bank.money[one.kind](one, scene.context(REFERENCE)))


def fate(scene: Any) -> Any:
    return scene.talk(scene.bank.questions.fate(question(), scene.context()))


def test_a_message_refused_whose_row_was_taken_is_doubt_without_the_bank_s_word() -> None:
    scene = stage({"refuses": True})
    assert pay(scene).fate is Fate.UNKNOWN
    assert fate(scene).fate is Fate.SETTLED


@pytest.mark.parametrize("switch", ["http_500", "another"])
def test_an_answer_that_is_none_after_booking_raises_and_the_enquiry_tells(switch: str) -> None:
    scene = stage({switch: True})
    with pytest.raises(ProtocolError):
        pay(scene)
    assert fate(scene).fate is Fate.SETTLED
    assert len(scene.ledger.executions) == 1


def test_a_person_is_paid_and_asked_about() -> None:
    scene, given = stage(codes=CODES), order(creditor=PERSON)
    assert pay(scene, given).fate is Fate.PENDING
    assert b"<b2e0061-rs>" in scene.said[0].answer
    assert b"b2e0009" not in scene.said[0].answer
    assert fate(scene).fate is Fate.SETTLED
    assert pay(scene, given).fate is Fate.DUPLICATE
    assert len(scene.ledger.executions) == 1


def test_a_code_that_nobody_knows_is_doubt() -> None:
    scene = stage({"unlisted": True})
    pay(scene)
    assert (fate(scene).fate, fate(scene).listed) == (Fate.UNKNOWN, False)


def test_a_repeat_after_a_lost_answer_moves_nothing_and_is_never_a_failure() -> None:
    for codes, word in (({}, Fate.UNKNOWN), (CODES, Fate.DUPLICATE)):
        scene = stage(codes=codes)
        scene.tamper = lambda frame: frame[:40]
        with pytest.raises(ProtocolError):
            pay(scene)
        scene.tamper = None
        assert pay(scene).fate is word
        assert fate(scene).fate is Fate.SETTLED
        assert len(scene.ledger.executions) == 1


def test_an_enquiry_that_forgets_rows_leaves_them_in_doubt() -> None:
    scene = stage({"lone": True})
    word = scene.bank.bundles[Kind.BATCH_ITEM]
    scene.talk(word.word(TWO, scene.context(REFERENCE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(TWO)), scene.context()))
    assert words(told) == [None, Fate.SETTLED]


def test_an_unknown_insid_said_with_a_code() -> None:
    assert fate(stage({"not_known": True}, codes=CODES)).fate is Fate.NOT_FOUND
    assert fate(stage({"not_known": True})).fate is Fate.UNKNOWN


@pytest.mark.parametrize("side", [{"version": "100"}, {"answers": "GBK"}, {"version": "110"}])
def test_every_kind_of_front_end(side: dict[str, Any]) -> None:
    scene = stage(side, version=side.get("version", "120"), charset="GBK")
    assert pay(scene).fate is Fate.PENDING
    assert fate(scene).fate is Fate.SETTLED


def test_blanks_behind_a_request_do_not_matter_to_the_bank() -> None:
    scene = stage()
    xml = http.parse_request(first_step(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))).data).body
    padded = xml + b" " * 40
    request = b"POST /B2EC/E2BServlet HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(padded), padded)
    assert b"<rspcod>B001</rspcod>" in scene.twin.answer("business", request, scene.ledger, {}).data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<trnamt>123.45", b"<trnamt>x"),
        (b"<trnamt>123.45", b"<trnamt>0"),
        (b"20261124</trfdate>", b"20261123</trfdate>"),
        (b">CNY<", b">RMB<"),
        (b"<priolv>0", b"<priolv>2"),
        (b"40000", b"4000"),
        (b"E192168001010", b"X"),
        (b"<toname>", b"<toname>x</toname><toname>"),
        (b"b2e0009", b"b2e9999"),
        (b'security="true"', b""),
        (b"GW2601050001", b"GW-1"),
    ],
)
def test_what_the_bank_refuses(old: bytes, new: bytes) -> None:
    scene = stage()
    xml = http.parse_request(first_step(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))).data).body
    assert old in xml
    changed = xml.replace(old, new)
    request = b"POST /B2EC/E2BServlet HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(changed), changed)
    assert b"<rspcod>TW00</rspcod>" in scene.twin.answer("business", request, scene.ledger, {}).data
    assert not scene.ledger.executions
