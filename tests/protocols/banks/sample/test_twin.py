"""The bank's own side refuses the requests that its page names."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from protocols.bank import BadOptions
from protocols.banks.sample import twin
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.sample.paper import (
    GOLDEN,
    REFERENCE,
    SENT,
    keys,
    pay,
    private_pem,
    public_pem,
    show,
    stage,
    xmlsec_signed,
)
from tests.world.dialogue import BankAndTwin, order_of


def asked(made: BankAndTwin, document: bytes) -> tuple[str, bytes]:
    """Code and bytes of the twin's answer to a signed document."""
    answer = made.exchange("business", b"%08d" % len(document) + document)
    return show(answer)[0], answer


def golden(**changes: str) -> bytes:
    root = etree.fromstring((GOLDEN / "pay-request.xml").read_bytes())
    for name, text in changes.items():
        [element] = root.iter(f"{{urn:sample-bank:1}}{name}")
        element.text = text
    return xmlsec_signed(etree.tostring(root, encoding="UTF-8"), keys().client)


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("Reference", "golden00000000000001"),
        ("Reference", "GOLDEN0000000000001"),
        ("DebtorAccount", "17"),
        ("CreditorName", ""),
        ("CreditorName", "名" * 41),
        ("Purpose", "用" * 47),
        ("Amount", "012.00"),
        ("Amount", "1.5"),
        ("Amount", "-1.00"),
        ("Amount", "100000000000.00"),
        ("Currency", "USD"),
        ("Urgent", "yes"),
    ],
)
def test_values_that_are_not_allowed_book_nothing(element: str, text: str) -> None:
    made = stage()
    assert asked(made, golden(**{element: text}))[0] == "M300"
    assert made.ledger.executions == []


def test_a_signature_that_does_not_verify_has_no_effect() -> None:
    made = stage()
    document = golden().replace(b"<Amount>12345.67", b"<Amount>12345.68")
    assert asked(made, document)[0] == "M200"
    unsigned = (GOLDEN / "pay-request.xml").read_bytes().rstrip()
    assert asked(made, unsigned)[0] == "M200"
    assert made.ledger.executions == []


def test_the_cheap_twin_does_not_look_at_signatures() -> None:
    made = stage(cheap=True)
    assert asked(made, golden().replace(b"<Amount>12345.67", b"<Amount>12345.68"))[0] == "0000"


@pytest.mark.parametrize("operation", ["pay", "Steal", ""])
def test_unknown_operations(operation: str) -> None:
    made = stage()
    assert asked(made, golden(Operation=operation))[0] == "M100"


def test_elements_out_of_order() -> None:
    made = stage()
    root = etree.fromstring((GOLDEN / "pay-request.xml").read_bytes())
    root[1].append(root[1][0])
    assert asked(made, xmlsec_signed(etree.tostring(root), keys().client))[0] == "M100"


@pytest.mark.parametrize("request_", [b"", b"<SampleBank/>", b"not xml", b"<A><Head/><Body/></A>"])
def test_what_is_no_message_closes_the_connection(request_: bytes) -> None:
    made = stage()
    with pytest.raises(ProtocolError):
        made.twin.answer("business", request_, made.ledger, {})


def test_nothing_without_sign_on() -> None:
    made = stage()
    made.connection.clear()
    assert asked(made, golden())[0] == "S100"
    assert made.ledger.executions == []


def test_a_token_is_good_on_its_own_connection_only() -> None:
    made = stage()
    old = made.session
    made.connection = {}
    made.sign_on()
    made.session = old
    with pytest.raises(ProtocolError, match="S100"):
        made.talk(made.bank.sessions.probe(made.context()))


def test_spoiled_answers_are_never_believed() -> None:
    made = stage()
    assert pay(made).fate is Fate.SETTLED
    answer = made.said[-1].answer
    spoils = made.twin
    assert isinstance(spoils, twin.SampleTwin)
    for n in range(20):
        spoiled = spoils.spoil(answer, n / 20)
        assert len(spoiled) == len(answer)
        assert sum(a != b for a, b in zip(spoiled, answer)) == 1
        with pytest.raises(ProtocolError) as refused:
            made.bank.read(Kind.PAYMENT, SENT, spoiled)
        assert refused.value.reason == "digest"


def test_entities_and_markup_survive_both_ways() -> None:
    made = stage()
    nasty = "<b>&amp; ]]> \"'\u00a0ü 汉 𠮷"
    order = order_of({"amount": "1.00", "purpose": nasty, "payee": nasty})
    assert made.talk(made.bank.money[Kind.PAYMENT](order, made.context(REFERENCE))).fate is Fate.SETTLED
    [execution] = made.ledger.truth()[REFERENCE]
    assert execution.instruction.purpose == nasty
    question = LinesQuestion(AccountNumber("0000000000000000017"), made.time.now.date(), made.time.now.date())
    assert made.bank.questions.lines is not None
    [line] = made.talk(made.bank.questions.lines(question, made.context())).lines
    assert line.counterparty_name is not None
    # Our side replaces characters that deceive a reader: the no-break space does not print.
    assert line.counterparty_name.clear == nasty.replace("\u00a0", "\ufffd")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"user": "u"}, "password"),
        ({"password": "p"}, "user"),
        ({"user": "u", "password": "p", "page_lines": 0}, "page_lines"),
        ({"user": "u", "password": "p", "pages": 3}, "pages"),
        ({"user": "u", "password": "p", "customer": 1}, "customer"),
    ],
)
def test_bad_options(options: dict[str, Any], key: str) -> None:
    pems = {"bank": private_pem(keys().bank), "client": public_pem(keys().client)}
    with pytest.raises(BadOptions) as refused:
        twin.build(options, pems)
    assert refused.value.key == key


@pytest.mark.parametrize("missing", ["bank", "client"])
def test_missing_keys(missing: str) -> None:
    pems = {"bank": private_pem(keys().bank), "client": public_pem(keys().client)}
    del pems[missing]
    with pytest.raises(BadOptions, match=f"keys.{missing}"):
        twin.build({"user": "u", "password": "p"}, pems)
