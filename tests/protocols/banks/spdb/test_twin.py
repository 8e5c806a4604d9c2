"""The bank's side: the form of its answers, and the adapter's reaction to each fault that it can commit."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions
from protocols.banks.spdb import twin
from protocols.canon.money import Money
from protocols.canon.order import Item, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, ReturnsQuestion
from protocols.canon.statement import Return
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    AUTHORISED,
    BUNDLE,
    DEBTOR,
    ITEMS,
    OTHER,
    PAYEE,
    REFERENCE,
    TODAY,
    bundle,
    key_pem,
    order,
    sent,
    sent_bundle,
    sign_page,
    signer,
    stage,
)
from tests.protocols.banks.spdb.test_payment import openssl
from tests.world.dialogue import BankAndTwin

KIND = Kind.BATCH_ITEM
FRONT_END_VERIFIES = {"bank_certificate": None}


def pay(scene: BankAndTwin, reference: str = REFERENCE, **changes: Any) -> Fate:
    return scene.talk(scene.bank.money[Kind.PAYMENT](order(**changes), scene.context(reference))).fate


def ask(scene: BankAndTwin, reference: str = REFERENCE) -> Fate:
    fate = scene.bank.questions.fate
    assert fate is not None
    return scene.talk(fate(FateQuestion(sent(reference)), scene.context())).fate


def send(scene: BankAndTwin) -> set[Fate]:
    told = scene.talk(scene.bank.bundles[KIND].word(bundle(), scene.context(BUNDLE)))
    assert set(told) <= set(ITEMS[:3])
    return {one.fate for one in told.values()}


def ask_bundle(scene: BankAndTwin, serial: str | None = None) -> list[Fate | None]:
    question = BundleFateQuestion(sent_bundle(serial=serial))
    told = scene.talk(scene.bank.bundles[KIND].fate(question, scene.context()))
    return [told[one].fate if one in told else None for one in ITEMS[:3]]


def came_back(scene: BankAndTwin) -> list[Return]:
    ask_returns = scene.bank.questions.returns
    assert ask_returns is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY, TODAY)
    return list(scene.talk(ask_returns(question, scene.context())).returns)


def booked(scene: BankAndTwin) -> int:
    return sum(not one.refused for one in scene.ledger.executions)


# ---- its answers ----


def test_an_answer_in_bytes() -> None:
    scene = stage()
    assert pay(scene) is Fate.PENDING
    body = scene.said[-1].answer.partition(b"\r\n\r\n")[2]
    assert re.fullmatch(rb"[1-9][0-9]*( *)", body[:6]) and int(body[:6]) == len(body)
    assert body[6:].startswith(
        b'<?xml version="1.0" encoding="gb2312"?><packet><head><transCode>8801</transCode><signFlag>1</signFlag>'
        b"<packetID>00000000000000000017</packetID><timeStamp>2026-01-05 10:16:00</timeStamp>"
        b"<returnCode>AAAAAAA</returnCode></head><body><signature>MII"
    )
    assert b"masterID" not in body and b"acceptNo" not in body


def test_openssl_verifies_what_the_twin_signs_and_finds_the_body(tmp_path: Path) -> None:
    scene = stage()
    pay(scene)
    request, answer, der = scene.said[-1].request, scene.said[-1].answer, b""
    for message in (request, answer):
        found = re.search(rb"<signature>([^<]+)</signature>", message)
        assert found is not None
        der = base64.b64decode(found.group(1))
        said = openssl("cms", "-verify", "-noverify", "-inform", "DER", "-binary", data=der)
        assert said.returncode == 0, said.stderr
        assert said.stdout.startswith(b"<body><") and said.stdout.endswith(b"</body>")
        assert said.stdout in der
        changed = der.replace(b"<body><", b"<body>>")
        assert openssl("cms", "-verify", "-noverify", "-inform", "DER", "-binary", data=changed).returncode != 0
    # The answer's key is the bank's: it is verified only against its public half.
    text = openssl(
        "cms", "-verify", "-noverify", "-inform", "DER", "-binary", "-certsout", str(tmp_path / "c.pem"), data=der
    )
    assert text.returncode == 0
    key = openssl("x509", "-in", str(tmp_path / "c.pem"), "-noout", "-pubkey", data=b"").stdout
    assert key.strip() == signer()[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip()


def test_a_refused_row_as_the_page_shows_it() -> None:
    scene = stage()
    pay(scene, amount=Money(99_999_999_999))
    found = scene.bank.questions.fate
    assert found is not None
    asked = replace(sent(), amount=Money(99_999_999_999))
    outcome = scene.talk(found(FateQuestion(asked), scene.context()))
    assert (outcome.fate, outcome.code) == (Fate.FAILED, "EGG0042")
    assert outcome.text == "错误原因:EGG0042 处理失败[EGG0044][余额不足"


@pytest.mark.parametrize("options", [{}, FRONT_END_VERIFIES], ids=["pinned", "front-end"])
@pytest.mark.parametrize(
    ("conduct", "first", "asked", "later"),
    [
        (BookingRules(), Fate.PENDING, Fate.SETTLED, Fate.SETTLED),
        (BookingRules(refuse_share=1), Fate.UNKNOWN, Fate.FAILED, Fate.FAILED),
        (BookingRules(late_share=1), Fate.PENDING, Fate.PENDING, Fate.SETTLED),
        (BookingRules(late_refuse_share=1), Fate.PENDING, Fate.PENDING, Fate.FAILED),
        (BookingRules(return_share=1), Fate.PENDING, Fate.SETTLED, Fate.RETURNED),
    ],
)
def test_a_payment_s_whole_life(
    conduct: BookingRules, first: Fate, asked: Fate, later: Fate, options: dict[str, Any]
) -> None:
    scene = stage(conduct=conduct, options=options)
    assert pay(scene) is first
    assert ask(scene) is asked
    scene.time.later(3_600)
    assert ask(scene) is later


@pytest.mark.parametrize("padding", ["zeros", "blanks"])
def test_both_ways_of_padding_the_length_are_taken(padding: str) -> None:
    scene = stage(options={"length_padding": padding})
    assert (pay(scene), ask(scene)) == (Fate.PENDING, Fate.SETTLED)


@pytest.mark.parametrize("status", ["0", "1", "2", "3", "A"])
def test_what_waits_for_anything_at_the_bank_is_not_paid(status: str) -> None:
    scene = stage(conduct=BookingRules(late_share=1), taken_status=status)
    assert pay(scene) is Fate.PENDING
    assert ask(scene) is Fate.PENDING


def test_money_that_comes_back_is_among_the_returns_and_was_not_before() -> None:
    scene = stage(conduct=BookingRules(return_share=1))
    assert pay(scene) is Fate.PENDING and ask(scene) is Fate.SETTLED
    assert came_back(scene) == []
    scene.time.later(3_600)
    assert [(one.reference, one.amount) for one in came_back(scene)] == [(REFERENCE, Money(12_345))]


def test_a_return_without_a_reason_is_still_found_by_the_returns_question() -> None:
    scene = stage(["bare_refusal"], conduct=BookingRules(return_share=1))
    pay(scene)
    scene.time.later(3_600)
    # The row alone looks like a refusal. The asker knows that it was settled before.
    assert ask(scene) is Fate.FAILED
    assert [one.reference for one in came_back(scene)] == [REFERENCE]


def test_a_refusal_never_looks_like_a_duplicate_or_the_other_way_round() -> None:
    scene = stage()
    assert pay(scene) is Fate.PENDING
    assert pay(scene) is Fate.DUPLICATE
    scene.time.later(86_400)
    # On the next day the packetID is free again. The voucher is refused with an unpublished code.
    assert pay(scene) is Fate.UNKNOWN
    assert booked(scene) == 1 and not scene.ledger.doubles()


def test_a_batch_again_is_a_duplicate_and_moves_nothing() -> None:
    scene = stage()
    assert send(scene) == {Fate.PENDING}
    assert send(scene) == {Fate.DUPLICATE}
    assert ask_bundle(scene) == [Fate.SETTLED] * 3
    assert booked(scene) == 3


def test_an_unknown_account_has_no_balance_and_a_known_one_the_books() -> None:
    scene = stage(conduct=BookingRules(late_share=1))
    pay(scene)
    balance = scene.bank.questions.balance
    assert balance is not None
    told = scene.talk(balance(BalanceQuestion(AccountNumber(DEBTOR)), scene.context()))
    assert (told.book, told.available, told.frozen) == (Money(10_000_000), Money(9_987_655), Money(12_345))
    with pytest.raises(Declined):
        scene.talk(balance(BalanceQuestion(AccountNumber("0000")), scene.context()))


# ---- requests that it refuses ----


def submitted(scene: BankAndTwin, page: bytes | None = None) -> bytes:
    conversation = scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))
    first = next(conversation)
    answer = scene.exchange("sign", first.data) if page is None else page  # type: ignore[union-attr]
    return conversation.send(answer).data  # type: ignore[union-attr]


def code_of(answer: bytes) -> bytes:
    found = re.search(rb"<returnCode>(.{7})</returnCode>", answer)
    return b"" if found is None else found.group(1)


def relengthened(wire: bytes, old: bytes, new: bytes) -> bytes:
    """The frame after a replacement, with both lengths corrected."""
    assert old in wire and len(old) == len(new)
    return wire.replace(old, new)


def test_a_signature_that_the_front_end_did_not_make_is_refused() -> None:
    scene = stage()
    conversation = scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))
    body = next(conversation).data.partition(b"\r\n\r\n")[2]  # type: ignore[union-attr]
    step = conversation.send(sign_page(body))
    assert code_of(scene.exchange("business", step.data)) == b"EYY9994"  # type: ignore[union-attr]
    assert not scene.ledger.executions


def test_another_customer_and_a_wrong_length_are_refused() -> None:
    scene = stage()
    wire = submitted(scene)
    foreign = relengthened(wire, b"<masterID>2000000001<", b"<masterID>2000000009<")
    assert code_of(scene.exchange("business", foreign)) == b"B2E0005"
    body = wire.partition(b"\r\n\r\n")[2]
    shorter = str(len(body) - 6).rjust(6, "0").encode()
    assert scene.exchange("business", wire.replace(body[:6], shorter)).startswith(b"HTTP/1.1 500")
    assert not scene.ledger.executions
    assert code_of(scene.exchange("business", wire)) == b"AAAAAAA"


def test_faults_options_and_keys_have_names() -> None:
    for options in ({"faults": ["earthquake"]}, {"colour": 1}, {"hash": "md5"}):
        with pytest.raises(BadOptions):
            twin.build(options, {"bank": key_pem()})
    with pytest.raises(BadOptions):
        twin.build({}, {})


# ---- its faults, and the adapter's reactions ----


@pytest.mark.parametrize("options", [{}, FRONT_END_VERIFIES], ids=["pinned", "front-end"])
@pytest.mark.parametrize(
    ("fault", "after"),
    [
        ("error_after_booking", Fate.SETTLED),
        ("http_500_after_booking", Fate.SETTLED),
        ("unsigned_success", None),
        ("counts_characters", None),
        ("others_packet", None),
        ("wrong_key", None),
        ("others_amount", None),
        ("two_records", Fate.UNKNOWN),
        ("others_rows", Fate.SETTLED),
        ("total_too_high", None),
    ],
)
def test_after_a_fault_a_payment_that_was_booked_is_never_failed(
    fault: str, after: Fate | None, options: dict[str, Any]
) -> None:
    scene = stage([fault], options=options)
    try:
        fate = pay(scene)
    except ProtocolError:
        fate = Fate.UNKNOWN  # the lane reads it like this once the bytes have left
    assert fate in (Fate.UNKNOWN, Fate.PENDING)
    assert booked(scene) == 1
    if fault == "counts_characters":
        # Signed answers are ASCII outside the signature. An error answer has Chinese text.
        with pytest.raises(ProtocolError):
            ask(scene, OTHER)
        return
    if after is None:
        with pytest.raises(ProtocolError):
            ask(scene)
    else:
        assert ask(scene) is after


def test_a_refusal_at_the_door_is_one_only_where_head_and_body_agree() -> None:
    for extra, fate in (((), Fate.FAILED), (("head_only",), Fate.UNKNOWN)):
        scene = stage(["refuses_at_once", *extra], conduct=BookingRules(refuse_share=1))
        assert pay(scene) is fate
        assert ask(scene) is Fate.NOT_FOUND
        assert booked(scene) == 0
    scene = stage(["refuses_at_once", "codes_disagree"], conduct=BookingRules(refuse_share=1))
    with pytest.raises(ProtocolError):
        pay(scene)


@pytest.mark.parametrize("fault", ["no_key", "swapped_signatures"])
def test_a_sign_port_that_errs_lets_nothing_out(fault: str) -> None:
    scene = stage([fault])
    if fault == "swapped_signatures":
        assert pay(scene, OTHER, purpose="第一") is Fate.PENDING
    with pytest.raises(Declined):
        pay(scene, purpose="第二")
    assert sum(one.money for one in scene.said) == booked(scene)


@pytest.mark.parametrize("fault", ["verify_refuses", "verify_mixes_up"])
def test_a_verify_port_that_errs_is_doubt(fault: str) -> None:
    scene = stage([fault], options=FRONT_END_VERIFIES)
    if fault == "verify_mixes_up":
        assert pay(scene, OTHER) is Fate.PENDING
    with pytest.raises(ProtocolError):
        pay(scene)
    # With the bank's certificate the front end is not asked to verify.
    assert pay(stage([fault])) is Fate.PENDING


def test_sha_1_counts_only_until_its_last_day() -> None:
    for options, believed in (({}, False), ({"sha1_until": "2026-01-04"}, False), ({"sha1_until": "2026-01-05"}, True)):
        scene = stage(options=options, hash="sha1")
        if believed:
            assert pay(scene) is Fate.PENDING
            continue
        with pytest.raises(ProtocolError) as caught:
            pay(scene)
        assert caught.value.reason == "algorithm"


def test_a_walk_that_goes_round_is_found_out() -> None:
    scene = stage(["page_repeats"], options={"enquiry_rows": 1})
    pay(scene, amount=Money(1))
    pay(scene, OTHER, amount=Money(2))
    ask_returns = scene.bank.questions.returns
    assert ask_returns is not None
    question: Any = ReturnsQuestion(AccountNumber(DEBTOR), TODAY, TODAY)
    page = scene.talk(ask_returns(question, scene.context()))
    assert page.cursor is not None
    last = scene.talk(ask_returns(replace(question, cursor=page.cursor), scene.context()))
    assert last.cursor is None
    loose = stage(["page_repeats", "others_rows"], options={"enquiry_rows": 1})
    pay(loose)
    pay(loose, OTHER)
    with pytest.raises(ProtocolError) as caught:
        ask(loose)
    assert caught.value.reason == "paging"


def test_no_rows_are_an_empty_list_or_a_code_and_neither_is_a_failure() -> None:
    assert ask(stage()) is ask(stage(["empty_list"])) is Fate.NOT_FOUND
    assert ask_bundle(stage(["empty_list"]), f"PT{BUNDLE}") == [Fate.NOT_FOUND] * 3


def test_a_name_beyond_gbk_in_a_row_is_read() -> None:
    scene = stage()
    pay(scene)
    booking = scene.ledger.find(REFERENCE)
    assert booking is not None
    scene.ledger.executions[0] = replace(
        scene.ledger.executions[0], instruction=replace(booking.instruction, creditor_name="𬭎乙")
    )
    scene.ledger._index[REFERENCE] = scene.ledger.executions[0]
    assert ask(scene) is Fate.SETTLED
    assert "𬭎".encode("gb18030") in base64.b64decode(
        re.search(rb"<signature>([^<]+)<", scene.said[-1].answer).group(1)  # type: ignore[union-attr]
    )


# ---- batches ----


def test_rows_backwards_or_not_all_never_shift_the_others() -> None:
    for fault in ("rows_reversed", "last_line_silent"):
        scene = stage([fault])
        shy = replace(bundle().items[1].order, purpose="#refuse")
        given = replace(bundle(), items=(bundle().items[0], Item(shy, ITEMS[1]), bundle().items[2]))
        told = scene.talk(scene.bank.bundles[KIND].word(given, scene.context(BUNDLE)))
        assert {one.fate for one in told.values()} == {Fate.UNKNOWN}
        assert ask_bundle(scene, f"PT{BUNDLE}") == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
        assert ask_bundle(scene) == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
        assert booked(scene) == 2


def test_a_batch_answered_with_an_error_is_doubt_and_the_enquiry_tells() -> None:
    scene = stage(["error_after_booking"])
    assert send(scene) == {Fate.UNKNOWN}
    assert ask_bundle(scene) == [Fate.SETTLED] * 3


def test_payroll_is_taken_as_payments_to_persons() -> None:
    scene, kind = stage(options={"payroll_purpose": "2"}), Kind.PAYROLL_ITEM
    scene.talk(scene.bank.bundles[kind].word(bundle(kind), scene.context(BUNDLE)))
    told = scene.talk(scene.bank.bundles[kind].fate(BundleFateQuestion(sent_bundle()), scene.context()))
    assert {one.fate for one in told.values()} == {Fate.SETTLED}


# ---- authorisation at the web bank ----


def test_until_users_authorise_it_is_pending_and_the_host_knows_nothing() -> None:
    scene = stage(options=AUTHORISED, authorise_s=60)
    assert pay(scene) is Fate.PENDING
    assert ask(scene) is Fate.PENDING
    scene.time.later(61)
    assert ask(scene) is Fate.SETTLED
    # Without the option the web bank is not asked, and the payment is "not found", never failed.
    blind = stage(authorise_s=60)
    pay(blind)
    assert ask(blind) is Fate.NOT_FOUND


def test_a_batch_in_two_stages() -> None:
    scene = stage(options=AUTHORISED, authorise_s=60)
    assert send(scene) == {Fate.PENDING}
    assert ask_bundle(scene) == [Fate.PENDING] * 3
    scene.time.later(61)
    assert ask_bundle(scene) == [Fate.SETTLED] * 3


def test_what_authorisers_refuse_is_failed_and_moves_nothing() -> None:
    scene = stage(["authoriser_refuses"], options=AUTHORISED, authorise_s=0)
    assert pay(scene) is Fate.PENDING and send(scene) == {Fate.PENDING}
    assert ask(scene) is Fate.FAILED and ask_bundle(scene) == [Fate.FAILED] * 3
    assert not scene.ledger.executions


@pytest.mark.parametrize(
    ("status", "fate"),
    [("1", Fate.UNKNOWN), ("Y", Fate.UNKNOWN), ("5", Fate.PENDING), ("9", Fate.PENDING), ("X", Fate.UNKNOWN)],
)
def test_no_other_word_of_the_web_bank_decides_what_was_booked(status: str, fate: Fate) -> None:
    scene = stage(options=AUTHORISED, authorise_s=0, web_status=status)
    pay(scene)
    send(scene)
    assert ask(scene) is fate and ask_bundle(scene) == [fate] * 3


def test_the_cheap_twin_does_not_verify_and_answers_the_same() -> None:
    scene = stage(cheap=True)
    assert (pay(scene), ask(scene)) == (Fate.PENDING, Fate.SETTLED)
    wire = submitted(stage(cheap=True))
    assert wire.startswith(b"POST")
    assert PAYEE.name.clear not in repr(scene.said[0].answer)
