"""Paying at Sample Bank: golden messages, and every answer that must not be believed."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from protocols.bank import Bank, Sign, Submit
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.sample.paper import (
    CREDITOR,
    GOLDEN,
    ORDER,
    REFERENCE,
    SENT,
    answer,
    keys,
    pay,
    sign,
    stage,
    xmlsec_signed,
)
from tests.world.dialogue import NOON, BankAndTwin, sent_of

PAYMENT = Kind.PAYMENT


@cache
def bank() -> Bank:
    """The adapter, built once, because it keeps nothing between conversations."""
    return stage().bank


@cache
def settled() -> Outcome:
    """The outcome of the golden answer."""
    return bank().read(PAYMENT, SENT, answer())


def said(frame: bytes, made: BankAndTwin | None = None) -> Outcome:
    """The adapter's outcome of this answer to the golden order."""
    own = made or stage()
    own._serial = 1000  # the golden answer's serial is 1001
    own.tamper = lambda _frame: frame
    return pay(own)


# ---- golden messages -----------------------------------------------------------------------------


def test_request_is_the_golden_one() -> None:
    made = stage()
    context = replace(made.context(REFERENCE), serials=(1042,))
    conversation = made.bank.money[PAYMENT](ORDER, context)
    step = next(conversation)
    assert isinstance(step, Sign)
    assert step.key == "order"
    submit = conversation.send(sign(keys().client, step.octets))
    assert isinstance(submit, Submit)
    assert (submit.port, submit.serials) == ("business", ("1042",))
    length, document = int(submit.data[:8]), submit.data[8:]
    assert length == len(document)
    unsigned = re.sub(rb"<ds:Signature.*</ds:Signature>", b"", document)
    assert unsigned == (GOLDEN / "pay-request.xml").read_bytes().rstrip()
    profile = dsig.SignatureProfile("golden", f"/{{urn:sample-bank:1}}SampleBank/{{{dsig.DS}}}Signature")
    assert dsig.verify(document, profile, dsig.PinnedKey.of(keys().client.public_key())).root[1][0].text == REFERENCE


def test_twin_understands_a_golden_request_of_another_hand() -> None:
    made = stage()
    request = xmlsec_signed((GOLDEN / "pay-request.xml").read_bytes(), keys().client)
    made.exchange("business", b"%08d" % len(request) + request)
    [execution] = made.ledger.truth()[REFERENCE]
    taken = execution.instruction
    assert (taken.creditor_name, taken.purpose) == ("Müller & 乙 <GmbH>", '货款 "HT-0931"')
    assert (taken.amount, taken.urgent, taken.creditor_account) == (Money(1_234_567), True, CREDITOR)


@pytest.mark.parametrize("verify", ["xmlsec", "hand"])
def test_golden_answer_of_another_hand(verify: str) -> None:
    assert said(answer(), stage(verify=verify)) == settled()
    assert (settled().fate, settled().code, settled().listed) == (Fate.SETTLED, "S", True)
    assert (settled().bank_serial, settled().fee) == ("20261124000000000007", Money(200))
    assert settled().booked_at == NOON + timedelta(milliseconds=250)


def test_twins_own_answer_verifies_under_libxmlsec() -> None:
    import xmlsec

    made = stage()
    pay(made)
    root = etree.fromstring(made.said[-1].answer)
    context = xmlsec.SignatureContext()
    pem = dsig.PinnedKey.of(keys().bank.public_key()).pem
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    context.verify(root[-1])  # raises if it does not


# ---- the meanings of codes -----------------------------------------------------------------------

LISTED = {"0000", "D100", "N100", "M100", "M200", "M300", "A100", "S100", "S200", "L100", "B900"}


@pytest.mark.parametrize(
    ("status", "fate"), [("S", Fate.SETTLED), ("T", Fate.PENDING), ("R", Fate.FAILED), ("B", Fate.RETURNED)]
)
def test_status(status: str, fate: Fate) -> None:
    outcome = said(answer({"Status": status}))
    assert (outcome.fate, outcome.code, outcome.listed) == (fate, status, True)


@settings(max_examples=10)
@example("")
@example("s")
@given(st.from_regex("[0-9A-Za-z]{0,3}", fullmatch=True).filter(lambda one: one not in ("S", "T", "R", "B")))
def test_unknown_status_is_doubt(status: str) -> None:
    outcome = said(answer({"Status": status}))
    assert (outcome.fate, outcome.listed, outcome.code) == (Fate.UNKNOWN, False, status)


@settings(max_examples=10)
@example("00000")
@given(st.from_regex("[0-9A-Z]{4,5}", fullmatch=True).filter(lambda one: one not in LISTED))
def test_unknown_code_is_doubt(code: str) -> None:
    outcome = said(answer({"Code": code}, empty=True))
    assert (outcome.fate, outcome.listed, outcome.code) == (Fate.UNKNOWN, False, code)


@pytest.mark.parametrize("code", ["S100", "M100", "M200", "L100", "B900"])
def test_codes_about_the_message_are_doubt_about_the_payment(code: str) -> None:
    outcome = said(answer({"Code": code}, empty=True))
    assert (outcome.fate, outcome.listed) == (Fate.UNKNOWN, True)


@pytest.mark.parametrize("code", ["M300", "A100"])
def test_codes_with_which_nothing_was_booked(code: str) -> None:
    assert said(answer({"Code": code}, empty=True)).fate is Fate.FAILED


@pytest.mark.parametrize("status", ["S", "R", "X"])
def test_duplicate_whatever_else_it_says(status: str) -> None:
    outcome = said(answer({"Code": "D100", "Status": status}))
    assert (outcome.fate, outcome.code) == (Fate.DUPLICATE, "D100")


@pytest.mark.parametrize("code", ["A100", "M100", "M200", "M300", "B900", "L100", "S100", "Z999"])
def test_a_refused_enquiry_says_nothing_about_the_payment(code: str) -> None:
    made = stage()
    made._serial = 1000
    made.tamper = lambda _frame: answer({"Operation": "Fate", "Code": code}, empty=True)
    assert made.bank.questions.fate is not None
    question = FateQuestion(sent_of(ORDER, REFERENCE, NOON.date()))
    with pytest.raises(ProtocolError, match=code):
        made.talk(made.bank.questions.fate(question, made.context()))


def test_done_without_a_payment_is_no_answer() -> None:
    with pytest.raises(ProtocolError) as refused:
        said(answer(empty=True))
    assert refused.value.reason == "missing"


def test_bank_text_cannot_deceive_a_reader() -> None:
    outcome = said(answer({"Status": "R", "Reason": "ok\u202e\nfailed"}))
    assert outcome.text == "ok\ufffd\ufffdfailed"


# ---- answers to another request ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("Reference", "GOLDEN00000000000002"),
        ("DebtorAccount", "0000000000000000018"),
        ("CreditorAccount", "0000000000000000026"),
        ("Amount", "12345.68"),
        ("Amount", "1234567.00"),
        ("Currency", "USD"),
        ("Serial", "1002"),
        ("Operation", "Move"),
        ("Operation", "Fate"),
        ("Customer", "0002"),
    ],
)
@pytest.mark.parametrize("code", ["0000", "D100"])
@pytest.mark.parametrize("hear", [said, lambda frame: bank().read(PAYMENT, SENT, frame)], ids=["fresh", "stored"])
def test_well_signed_answer_about_something_else(
    hear: Callable[[bytes], Outcome], element: str, text: str, code: str
) -> None:
    with pytest.raises(ProtocolError) as refused:
        hear(answer({"Code": code, element: text}))
    assert refused.value.reason == "correlation"


@pytest.mark.parametrize("code", ["A100", "M300", "B900"])
def test_a_stored_refusal_of_another_message_is_refused(code: str) -> None:
    """The body of the stored refusal is empty: only its serial number shows that it is not about our payment."""
    assert bank().read(PAYMENT, SENT, answer({"Code": code}, empty=True)).code == code
    with pytest.raises(ProtocolError) as refused:
        bank().read(PAYMENT, SENT, answer({"Code": code, "Serial": "1002"}, empty=True))
    assert refused.value.reason == "correlation"


def test_answer_about_another_payment_of_the_same_amount() -> None:
    made = stage()
    first = made.bank.money[PAYMENT](ORDER, made.context("GOLDEN00000000000009"))
    made.talk(first)
    with pytest.raises(ProtocolError) as refused:
        said(made.said[-1].answer, made)
    assert refused.value.reason == "correlation"


# ---- answers that are forged ---------------------------------------------------------------------


def reasons(frame: bytes) -> str:
    with pytest.raises(ProtocolError) as refused:
        said(frame)
    return refused.value.reason


def test_request_reflected_as_answer() -> None:
    request = xmlsec_signed((GOLDEN / "pay-request.xml").read_bytes(), keys().client)
    assert reasons(request) == "signature"


def test_signed_by_a_stranger() -> None:
    assert reasons(answer(key=keys().stranger)) == "signature"


def test_unsigned() -> None:
    assert reasons((GOLDEN / "pay-answer.xml").read_bytes()) == "unsigned"


def _wrap_whole(signed: bytes, forged: bytes) -> bytes:
    """The signed document inside the forged one."""
    return forged.replace(b"</Body>", b"</Body>" + re.sub(rb"^<\?xml.*?\?>\s*", b"", signed))


def _move_signature(signed: bytes, forged: bytes) -> bytes:
    """The forged document with the signature of the true one."""
    found = re.search(rb"<ds:Signature.*</ds:Signature>", signed, re.DOTALL)
    assert found is not None
    return forged.replace(b"</SampleBank>", found.group() + b"</SampleBank>")


def _in_object(signed: bytes, forged: bytes) -> bytes:
    """The true document moved into an Object of its own signature."""
    original = re.sub(
        rb"^<\?xml.*?\?>\s*", b"", re.sub(rb"<ds:Signature.*</ds:Signature>", b"", signed, flags=re.DOTALL)
    )
    return _move_signature(signed, forged).replace(
        b"</ds:Signature>", b"<ds:Object>" + original + b"</ds:Object></ds:Signature>"
    )


def _second_body(signed: bytes, forged: bytes) -> bytes:
    found = re.search(rb"<Body>.*</Body>", forged, re.DOTALL)
    assert found is not None
    return signed.replace(b"<Body>", found.group() + b"<Body>")


def _commented(signed: bytes, _forged: bytes) -> bytes:
    return signed.replace(b"<Amount>12345.67", b"<Amount>1<!-- -->2345.67")


def _doctype(signed: bytes, _forged: bytes) -> bytes:
    return signed.replace(b"<SampleBank", b"<!DOCTYPE SampleBank [<!ENTITY a 'b'>]><SampleBank", 1)


def _two_signatures(signed: bytes, _forged: bytes) -> bytes:
    found = re.search(rb"<ds:Signature.*</ds:Signature>", signed, re.DOTALL)
    assert found is not None
    return signed.replace(found.group(), found.group() * 2)


@pytest.mark.parametrize(
    "attack", [_wrap_whole, _move_signature, _in_object, _second_body, _commented, _doctype, _two_signatures]
)
def test_forgery(attack: Callable[[bytes, bytes], bytes]) -> None:
    signed = answer({"Status": "R", "Reason": "no"})
    forged = (GOLDEN / "pay-answer.xml").read_bytes().rstrip()
    frame = attack(signed, forged)
    assert frame != signed
    assert reasons(frame) in ("structure", "digest", "signature", "comment", "doctype", "ambiguous")


@pytest.mark.parametrize("flip", [0x01, 0x04, 0x20])
def test_no_changed_byte_settles_with_other_values(flip: int) -> None:
    """Every byte of a signed answer is changed: the answer is refused, or its outcome is the same (blanks, spare bits
    of Base64)."""
    made, frame = stage(), answer()
    context = replace(made.context(REFERENCE), serials=(1001,))
    refused = 0
    for at in range(len(frame)):
        mutant = frame[:at] + bytes((frame[at] ^ flip,)) + frame[at + 1 :]
        conversation = made.bank.money[PAYMENT](ORDER, context)
        next(conversation)
        conversation.send(b"not looked at")
        outcome = None
        try:
            conversation.send(mutant)
        except StopIteration as end:
            outcome = end.value
        except ProtocolError:
            refused += 1
        assert outcome in (None, settled())
    assert refused > 0.97 * len(frame)


@given(st.binary(max_size=400))
def test_noise_is_a_protocol_error(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        bank().read(PAYMENT, SENT, noise)


_NAMES = ["SampleBank", "Head", "Body", "Code", "Status", "Signature", "Amount"]
_TEXTS = st.text(alphabet="S0R<>&; 19\u202e", max_size=8).map(lambda text: text.replace("<", "").replace("&", ""))
_TREES = st.recursive(
    st.tuples(st.sampled_from(_NAMES), _TEXTS).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>"),
    lambda inner: st.tuples(st.sampled_from(_NAMES), st.lists(inner, max_size=4)).map(
        lambda pair: f"<{pair[0]}>{''.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=12,
)


@given(_TREES, st.binary(min_size=1, max_size=40))
def test_invented_documents_are_a_protocol_error(inner: str, value: bytes) -> None:
    signed = f"<SignatureValue>{b64encode(value).decode()}</SignatureValue>"
    signature = f'<Signature xmlns="{dsig.DS}">{signed}</Signature>'
    document = f'<SampleBank xmlns="urn:sample-bank:1">{inner}{signature}</SampleBank>'
    with pytest.raises(ProtocolError):
        bank().read(PAYMENT, SENT, document.encode())


# ---- replay --------------------------------------------------------------------------------------


def test_stored_bytes_are_good_on_another_connection_and_book_once() -> None:
    made = stage()
    conversation = made.bank.money[PAYMENT](ORDER, made.context(REFERENCE))
    step = next(conversation)
    assert isinstance(step, Sign)
    submit = conversation.send(sign(keys().client, step.octets))
    assert isinstance(submit, Submit)
    made.exchange("business", submit.data)
    conversation.close()
    made.connection = {}
    made.sign_on()
    written = sent_of(ORDER, REFERENCE, NOON.date(), submit.serials)
    outcome = made.bank.read(PAYMENT, written, made.exchange("business", submit.data))
    assert outcome.fate is Fate.DUPLICATE
    assert len(made.ledger.truth()[REFERENCE]) == 1


def test_read_refuses_kinds_and_answers_that_are_not_its_own() -> None:
    with pytest.raises(ProtocolError, match="collection"):
        bank().read(Kind.COLLECTION, SENT, answer())
    with pytest.raises(ProtocolError) as refused:
        bank().read(Kind.TRANSFER, SENT, answer())
    assert refused.value.reason == "correlation"
