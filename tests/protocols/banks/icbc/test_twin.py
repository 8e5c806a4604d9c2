"""The bank's side: the form of its answers, and the adapter's reaction to each fault that it can commit."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions
from protocols.banks.icbc import twin
from protocols.banks.icbc.twin_rules import NO_ACCOUNT, ODD
from protocols.canon.order import Item, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, LinesQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.icbc.paper import (
    BUNDLE,
    CODES,
    DEBTOR,
    ITEMS,
    REFERENCE,
    TODAY,
    bank,
    bundle,
    context,
    order,
    sent,
    sent_bundle,
    signature,
    stage,
    steps,
)
from tests.world.dialogue import BankAndTwin


def pay(scene: BankAndTwin, reference: str = REFERENCE, **changes: Any) -> Fate:
    return scene.talk(scene.bank.money[Kind.PAYMENT](order(**changes), scene.context(reference))).fate


def ask(scene: BankAndTwin, reference: str = REFERENCE) -> Fate:
    fate = scene.bank.questions.fate
    assert fate is not None
    return scene.talk(fate(FateQuestion(sent(reference)), scene.context())).fate


def ask_bundle(scene: BankAndTwin, kind: Kind) -> dict[str, Fate]:
    question = BundleFateQuestion(sent_bundle(bundle(kind)))
    fates = scene.talk(scene.bank.bundles[kind].fate(question, scene.context()))
    return {key: one.fate for key, one in fates.items()}


def booked(scene: BankAndTwin) -> int:
    return sum(not one.refused for one in scene.ledger.executions)


# ---- its answers ----


def test_an_answer_in_bytes() -> None:
    scene = stage()
    assert pay(scene) is Fate.SETTLED
    body = scene.said[-1].answer.partition(b"\r\n\r\n")[2]
    assert body.startswith(b"reqData=")
    lines = body[8:].split(b"\r\n")
    assert {len(line) for line in lines[:-2]} == {76}
    document = base64.b64decode(body[8:])
    assert document.startswith(b'<?xml  version="1.0" encoding="GBK" ?><CMS><eb><pub><TransCode>PAYENT</TransCode>')
    assert b"<SignTime>" not in document
    row = document.partition(b"<rd>")[2]
    assert row.startswith(b"<iSeqno>1</iSeqno><OrderNo>1</OrderNo><ReimburseNo>")
    assert row.partition(b"<Result>")[2].startswith(b"7</Result><iRetCode>0</iRetCode><iRetMsg></iRetMsg><MCardNo>")


@pytest.mark.parametrize(
    ("conduct", "first", "later"),
    [
        (BookingRules(), Fate.SETTLED, Fate.SETTLED),
        (BookingRules(refuse_share=1), Fate.FAILED, Fate.FAILED),
        (BookingRules(late_share=1), Fate.PENDING, Fate.SETTLED),
        (BookingRules(late_refuse_share=1), Fate.PENDING, Fate.FAILED),
        (BookingRules(return_share=1), Fate.SETTLED, Fate.SETTLED),
    ],
)
def test_a_payment_s_whole_life(conduct: BookingRules, first: Fate, later: Fate) -> None:
    scene = stage(conduct=conduct)
    assert pay(scene) is first
    assert ask(scene) is first
    scene.time.later(3_600)
    assert ask(scene) is later


def test_money_that_comes_back_is_seen_in_the_entries() -> None:
    scene = stage(conduct=BookingRules(return_share=1))
    assert pay(scene) is Fate.SETTLED
    scene.time.later(3_600)
    lines = scene.bank.questions.lines
    assert lines is not None
    page = scene.talk(lines(LinesQuestion(AccountNumber(DEBTOR), TODAY, TODAY), scene.context()))
    assert [(line.direction.value, line.amount.minor) for line in page.lines] == [("debit", 12_345), ("credit", 12_345)]


def test_the_reference_comes_back_in_ref_if_it_was_sent_there() -> None:
    for told, wanted in ((True, REFERENCE), (False, None)):
        scene = stage(options={"reference_in_ref": told})
        pay(scene)
        lines = scene.bank.questions.lines
        assert lines is not None
        [line] = scene.talk(lines(LinesQuestion(AccountNumber(DEBTOR), TODAY, TODAY), scene.context())).lines
        assert line.reference == wanted


@pytest.mark.parametrize("options", [{}, {"version": "0.0.0.1"}, {"query_data": "base64"}, {"language_and_zip": True}])
def test_every_way_of_writing_is_understood(options: dict[str, Any]) -> None:
    scene = stage(options=options)
    assert (pay(scene), ask(scene)) == (Fate.SETTLED, Fate.SETTLED)


def test_the_same_bytes_again_are_a_duplicate_and_book_nothing() -> None:
    scene = stage()
    assert pay(scene) is Fate.SETTLED
    assert pay(scene) is Fate.DUPLICATE
    kind = Kind.BATCH_ITEM
    word = scene.bank.bundles[kind].word
    assert {one.fate for one in scene.talk(word(bundle(kind), scene.context(BUNDLE))).values()} == {Fate.SETTLED}
    assert {one.fate for one in scene.talk(word(bundle(kind), scene.context(BUNDLE))).values()} == {Fate.DUPLICATE}
    # The same items under another package's number: each is refused, with the code of a failure.
    other = scene.talk(word(bundle(kind), scene.context("BUN00000000000000002")))
    assert {one.fate for one in other.values()} == {Fate.DUPLICATE}
    assert booked(scene) == 4 and not scene.ledger.doubles()


def test_without_the_declared_code_a_duplicate_is_doubt() -> None:
    scene = stage(options={"codes": {}})
    assert pay(scene) is Fate.SETTLED
    assert pay(scene) is Fate.UNKNOWN
    assert pay(scene) is not Fate.FAILED


def test_a_package_that_nobody_knows_is_not_found() -> None:
    assert ask(stage()) is Fate.NOT_FOUND
    assert set(ask_bundle(stage(), Kind.COLLECTION).values()) == {Fate.NOT_FOUND}
    assert ask(stage(options={"codes": {}})) is Fate.UNKNOWN


def test_a_wrong_work_date_is_refused_and_an_asked_one_is_right() -> None:
    scene = stage(work_days_ahead=1)
    assert pay(scene) is Fate.UNKNOWN
    assert booked(scene) == 0
    scene = stage(work_days_ahead=1, options={"work_date": "balance"})
    assert pay(scene) is Fate.SETTLED


def test_an_unknown_account_has_no_balance() -> None:
    scene = stage()
    balance = scene.bank.questions.balance
    assert balance is not None
    with pytest.raises(Declined) as caught:
        scene.talk(balance(BalanceQuestion(AccountNumber("0000")), scene.context()))
    assert caught.value.code == NO_ACCOUNT


# ---- requests that it refuses ----


def submit(scene: BankAndTwin) -> bytes:
    """A request in the adapter's form, with a seal that the twin did not make."""
    return steps(scene.bank.money[Kind.PAYMENT](order(), context()))[-1].data


@pytest.mark.parametrize(
    "spoil",
    [
        lambda wire: wire,  # signed by somebody else
        lambda wire: wire.replace(b"userID=demo.y.4000", b"userID=demo.y.4001"),
    ],
)
def test_what_the_front_end_does_not_pass_on(spoil: Any) -> None:
    scene = stage()
    assert scene.exchange("business", spoil(submit(scene))).endswith(b"errorCode=40418")
    assert not scene.ledger.executions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"PackageID=PAY00000000000000001&Cert", b"PackageID=PAY00000000000000002&Cert"),
        (b"PackageID=PAY00000000000000001&Send", b"PackageID=PAY00000000000000002&Send"),
        (b"userID=demo.y.4000", b"userID=demo.y.4001"),
        (b"GroupCIS=40009000-5ABCDE", b"GroupCIS=40009000-5ABCDF"),
        (b"TransCode=PAYENT", b"TransCode=PAYPER"),
        (b"Cert=&", b"Cert=A&"),
    ],
)
def test_url_form_and_message_must_agree(old: bytes, new: bytes) -> None:
    scene = stage()
    conversation = scene.bank.money[Kind.PAYMENT](order(), context())
    step = conversation.send(scene.exchange("sign", next(conversation).data))  # type: ignore[union-attr]
    assert old in step.data  # type: ignore[union-attr]
    assert scene.exchange("business", step.data.replace(old, new)).endswith(b"errorCode=40418")  # type: ignore[union-attr]
    assert not scene.ledger.executions


def test_a_plus_that_was_lost_on_the_way_is_refused() -> None:
    scene = stage()
    for n in range(20):
        conversation = scene.bank.money[Kind.PAYMENT](order(purpose=f"货款{n}"), context())
        step = conversation.send(scene.exchange("sign", next(conversation).data))  # type: ignore[union-attr]
        if b"%2B" in step.data:  # type: ignore[union-attr]
            lost = step.data.replace(b"%2B", b"+")  # type: ignore[union-attr]
            head, _, body = lost.partition(b"\r\n\r\n")
            length = f"Content-Length: {len(body)}".encode()
            lines = [length if line.startswith(b"Content-Length") else line for line in head.split(b"\r\n")]
            said = scene.exchange("business", b"\r\n".join(lines) + b"\r\n\r\n" + body)
            assert said.endswith(b"errorCode=40418") and not scene.ledger.executions
            return
    raise AssertionError("no signature with a plus")


# ---- its faults, and the adapter's reactions ----


def test_faults_have_names() -> None:
    with pytest.raises(BadOptions):
        twin.build({"faults": ["earthquake"]}, {})


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        ("error_code_after_booking", Fate.SETTLED),
        ("http_500_after_booking", Fate.SETTLED),
        ("message_refused", Fate.SETTLED),
        ("empty_result", Fate.PENDING),
        ("last_line_silent", Fate.UNKNOWN),
        ("others_package", None),
        ("others_amount", None),
        ("raw_ampersand", None),
    ],
)
def test_after_a_fault_a_payment_that_was_booked_is_doubt_or_pending_but_never_failed(
    fault: str, after: Fate | None
) -> None:
    scene = stage([fault])
    try:
        fate = pay(scene)
    except ProtocolError:
        fate = Fate.UNKNOWN  # the lane reads it like this once the bytes have left
    assert fate in (Fate.UNKNOWN, Fate.PENDING)
    assert booked(scene) == 1
    if after is None:
        with pytest.raises(ProtocolError):
            ask(scene)
    else:
        assert ask(scene) is after


def test_an_enquiry_s_line_that_is_refused_says_nothing_about_the_payment() -> None:
    scene = stage(["enquiry_line_refused"])
    assert pay(scene) is Fate.SETTLED
    assert ask(scene) is Fate.UNKNOWN


@pytest.mark.parametrize("fault", ["no_key", "swapped_signatures"])
def test_a_sign_port_that_errs_lets_nothing_out(fault: str) -> None:
    scene = stage([fault])
    if fault == "swapped_signatures":
        assert pay(scene, purpose="第一") is Fate.SETTLED
    with pytest.raises(Declined):
        pay(scene, "PAY00000000000000002", purpose="第二")
    assert [one.money for one in scene.said if one.money] == [True] * booked(scene)
    # Without the check, the payment before would be sent again under its own number, in place of this one.
    loose = stage(["swapped_signatures"], options={"check_signed_content": False})
    pay(loose)
    assert pay(loose, "PAY00000000000000002") is Fate.UNKNOWN
    assert booked(loose) == 1


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_a_package_whose_rows_come_backwards_or_not_all(kind: Kind) -> None:
    for fault, told in (("lines_reversed", 3), ("last_line_silent", 2)):
        scene = stage([fault])
        fates = scene.talk(scene.bank.bundles[kind].word(bundle(kind), scene.context(BUNDLE)))
        assert {key: one.fate for key, one in fates.items()} == dict.fromkeys(ITEMS[:told], Fate.SETTLED)
        assert ask_bundle(scene, kind) == dict.fromkeys(ITEMS[:told], Fate.SETTLED)
        assert booked(scene) == 3


def test_a_line_that_is_hidden_for_a_while_does_not_shift_the_others() -> None:
    scene, kind = stage(), Kind.BATCH_ITEM
    given = bundle(kind)
    shy = Item(replace(given.items[0].order, purpose="#hide"), given.items[0].reference)
    given = replace(given, items=(shy, *given.items[1:]))
    scene.talk(scene.bank.bundles[kind].word(given, scene.context(BUNDLE)))
    assert ask_bundle(scene, kind) == dict(zip(ITEMS, (Fate.NOT_FOUND, Fate.SETTLED, Fate.SETTLED)))
    scene.time.later(120)
    assert ask_bundle(scene, kind) == dict.fromkeys(ITEMS, Fate.SETTLED)


def test_a_package_answered_with_a_transport_word_is_doubt_for_each_line_and_the_enquiry_tells() -> None:
    kind = Kind.BATCH_ITEM
    scene = stage(["error_code_after_booking"])
    fates = scene.talk(scene.bank.bundles[kind].word(bundle(kind), scene.context(BUNDLE)))
    assert {one.fate for one in fates.values()} == {Fate.UNKNOWN}
    assert ask_bundle(scene, kind) == dict.fromkeys(ITEMS, Fate.SETTLED)


def test_the_flag_and_the_columns_contradict_each_other() -> None:
    scene = stage(["both_columns"])
    pay(scene)
    scene.time.later(86_400)
    lines = scene.bank.questions.lines
    assert lines is not None
    page = scene.talk(lines(LinesQuestion(AccountNumber(DEBTOR), TODAY, TODAY), scene.context()))
    assert page.lines == () and "contradict each other" in page.findings[0]


def test_gb18030_under_the_label_gb2312_is_read() -> None:
    scene = stage(["declares_gb2312"])
    assert pay(scene) is Fate.SETTLED


def test_collections_bring_money_in() -> None:
    scene = stage()
    kind = Kind.COLLECTION
    scene.talk(scene.bank.bundles[kind].word(bundle(kind), scene.context(BUNDLE)))
    held = scene.ledger.holding(DEBTOR)
    assert held is not None and held.book.minor == 10_000_000 + 450


def test_hand_made_signatures_are_none_of_the_twin_s() -> None:
    assert b"NetSafe" not in signature(b"x")
    assert set(CODES) == {"duplicate", "not_found"}
    assert bank(codes=CODES).profile.name == "icbc"


def test_a_refusal_that_the_settings_know_fails_nothing_that_its_own_line_says_was_paid() -> None:
    scene = stage(["message_refused"], options={"codes": {**CODES, "refused": [ODD]}})
    assert pay(scene) is Fate.UNKNOWN
    assert booked(scene) == 1
    assert ask(scene) is Fate.SETTLED


def test_a_payroll_whose_batch_was_refused_beside_its_lines_is_doubt() -> None:
    scene = stage(["batch_refused"])
    given = bundle(Kind.PAYROLL_ITEM)
    word = scene.bank.bundles[Kind.PAYROLL_ITEM]
    handed = scene.talk(word.word(given, scene.context(BUNDLE)))
    told = scene.talk(word.fate(BundleFateQuestion(sent_bundle(given)), scene.context()))
    assert {one.fate for one in (*handed.values(), *told.values())} == {Fate.UNKNOWN}
    assert booked(scene) == 3


def test_an_answer_inside_an_attached_signature_is_read() -> None:
    scene = stage(["attached"])
    assert pay(scene) is Fate.SETTLED
    assert scene.said[-1].money
    assert base64.b64decode(scene.said[-1].answer.partition(b"reqData=")[2]).startswith(b"\x30\x80")
