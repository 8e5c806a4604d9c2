"""What a signature binds is read back for each bank with a signing key; what is not read back is refused."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from protocols.bank import Sign
from protocols.canon.order import Bundle, Item, Kind
from protocols.readback.signed import Unreadable, judges, signed_message, why_not_judged
from tests.protocols.banks.every.bench import Table, table
from tests.protocols.banks.finws.paper import US

BANKS = ("sample", "finws")


def steps(at: Table, kind: Kind) -> tuple[list[Any], str, list[str], list[Sign]]:
    """The orders of one message, its reference, the orders' references, and the signatures that it asks for."""
    bundled = kind in at.bank.bundles
    orders = [at.order(kind, minor=1_234 + number, number=number) for number in range(1, 3 if bundled else 2)]
    reference = at.reference()
    names = [at.reference() for _ in orders] if bundled else [reference]
    context = at.stage.context(reference)
    if bundled:
        items = tuple(Item(one, name) for one, name in zip(orders, names, strict=True))
        talk: Any = at.bank.bundles[kind].word(Bundle(kind, items), context)
    else:
        talk = at.bank.money[kind](orders[0], context)
    return orders, reference, names, list(asked(talk))


def asked(talk: Any) -> Iterator[Sign]:
    step = next(talk)
    while isinstance(step, Sign):
        yield step
        step = talk.send(US.sign(step.octets))
    talk.close()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("bank", BANKS)
def test_each_fact_of_an_order_is_read(bank: str, kind: Kind) -> None:
    orders, reference, names, found = steps(table(bank), kind)
    assert [step.key for step in found] == list(table(bank).bank.profile.signs)
    for step in found:
        said = signed_message(bank, step.octets, step.document)
        assert said.moves_money and kind in said.kinds and said.reference == reference
        assert [line.reference for line in said.lines] == names
        for line, order in zip(said.lines, orders, strict=True):
            assert (line.debtor, line.payee) == (order.debtor.account.clear, order.creditor.account.clear)
            assert (str(line.amount), line.currency) == (str(order.amount), order.amount.currency)
            assert (line.debtor_name, line.payee_name) == (order.debtor.name.clear, order.creditor.name.clear)


@pytest.mark.parametrize("bank", BANKS)
def test_octets_and_document_belong_together(bank: str) -> None:
    *_, found = steps(table(bank), Kind.PAYMENT)
    *_, others = steps(table(bank), Kind.TRANSFER)
    for step, other in zip(found, others, strict=True):
        for octets, document in (
            (step.octets, other.document),
            (b"", step.document),
            (step.octets, b""),
            (step.octets + b" ", step.document),
            (step.document, step.document),
        ):
            with pytest.raises(Unreadable):
                signed_message(bank, octets, document)


def with_digest(octets: bytes, document: bytes) -> bytes:
    """The octets for another document: only their digest of the whole is another one."""
    value = base64.b64encode(hashlib.sha256(document).digest())
    return re.sub(b"(?<=<ds:DigestValue>)[^<]*", value, octets, count=1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<Amount>", b"<Amount>1</Amount><Amount>"),
        (b"<Amount>", b"<Amount >"),
        (b"<Amount>", b"<Amount><!-- -->"),
        (b"<Amount>", b'<Amount x="1">'),
        (b"<Amount>", b"<Amount>&#49;"),
        (b"<Amount>", b"x<Amount>"),
        (b"<Purpose>", b"<Fee>1.00</Fee><Purpose>"),
        (b"<Purpose>", b"<Purpose>a>b"),
        (b"<Urgent>N", b"<Urgent>?"),
        (b"<Operation>Pay<", b"<Operation>PayOut<"),
        (b"<Operation>Pay<", b"<Operation>Ping<"),
        (b"</Body>", b"</Body><Body></Body>"),
        (b"<SampleBank ", b"<?x?><SampleBank "),
        (b"<SampleBank ", b"\xef\xbb\xbf<SampleBank "),
        (b"urn:sample-bank:1", b"urn:sample-bank:2"),
    ],
)
def test_another_form_of_a_sample_message_is_refused(old: bytes, new: bytes) -> None:
    *_, [step] = steps(table("sample"), Kind.PAYMENT)
    assert step.document.count(old) == 1, "the test changes what is there"
    document = step.document.replace(old, new)
    with pytest.raises(Unreadable):
        signed_message("sample", with_digest(step.octets, document), document)


def test_a_text_with_escapes_is_read_as_it_was_written() -> None:
    *_, [step] = steps(table("sample"), Kind.PAYMENT)
    document = re.sub(b"<Purpose>[^<]*", b"<Purpose>a &amp;lt; &lt;b&gt; &amp; c&#xD;", step.document)
    [line] = signed_message("sample", with_digest(step.octets, document), document).lines
    assert line.purpose == "a &lt; <b> & c\r"


def test_a_finws_question_is_no_payment_and_carries_no_file() -> None:
    at = table("finws")
    found = list(asked(at.bank.sessions.probe(at.stage.context(""))))
    for step in found:
        said = signed_message("finws", step.octets, step.document)
        assert not said.moves_money and said.operation == "getUserInfo"


def test_banks_without_a_key_of_ours_are_not_judged() -> None:
    assert judges("sample") and not judges("pab")
    assert "cannot be read back" in why_not_judged("pab") and why_not_judged("finws") == ""
    assert "encrypted" in why_not_judged("finws", encrypted=True)
