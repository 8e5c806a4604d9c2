"""The XML form: it stands for the same JSON value, agrees with the XSD, and resists attacks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from protocols.canon.errors import Code, FieldCode, Refusal
from protocols.erp import examples, replies, xml_form, xsd
from protocols.erp.commands import parse_command
from protocols.erp.forms import FORMS
from protocols.erp.messages import MESSAGES, MessageWay
from protocols.erp.order_forms import PaymentSubmit
from protocols.erp.words import CommandType
from tests.protocols.erp.orders import BODY, as_json, bodies

SUBMIT = CommandType.PAYMENT_SUBMIT
XSD = etree.XMLSchema(etree.fromstring(xsd.xsd()))
GOOD = xml_form.xml_document("payment.submit", BODY, PaymentSubmit)


def refusal(body: bytes, type_: CommandType = SUBMIT) -> Refusal:
    got = parse_command(type_, "application/xml", body)
    assert isinstance(got, Refusal), got
    return got


def faults(inner: str, type_: CommandType = SUBMIT) -> dict[str, FieldCode]:
    found = refusal(f'<{type_.value} xmlns="urn:bankgw:1">{inner}</{type_.value}>'.encode(), type_)
    assert found.code is Code.SCHEMA, found
    return {fault.at: fault.code for fault in found.faults}


@given(bodies())
def test_an_order_survives_the_round_trip(body: dict[str, Any]) -> None:
    document = xml_form.xml_document("payment.submit", body, PaymentSubmit)
    assert xml_form.parse(document, "payment.submit", PaymentSubmit) == body
    assert parse_command(SUBMIT, "application/xml", document) == parse_command(
        SUBMIT, "application/json", as_json(body)
    )
    assert XSD.validate(etree.fromstring(document)), XSD.error_log


@pytest.mark.parametrize("name", sorted(examples.commands()))
def test_every_command_has_an_xml_form(name: str) -> None:
    type_ = CommandType(name.partition("+")[0])
    body = examples.commands()[name]
    document = xml_form.xml_document(type_.value, body, FORMS[type_])
    got = parse_command(type_, "application/xml", document)
    assert not isinstance(got, Refusal)
    assert got == parse_command(type_, "application/json", as_json(body))
    assert XSD.validate(etree.fromstring(document)), XSD.error_log


TOLD = {**examples.replies(), **examples.events()}


@pytest.mark.parametrize("name", sorted(TOLD))
def test_every_reply_and_event_has_an_xml_form(name: str) -> None:
    said = TOLD[name]
    message = MESSAGES[name.partition("+")[0]]
    assert message.voice is not MessageWay.COMMAND
    document = replies.reply_body(message.name, said, "application/xml")
    assert XSD.validate(etree.fromstring(document)), XSD.error_log
    form = message.other if message.other is not None and "seq" in said else message.form
    assert xml_form.parse(document, message.name, form) == said


def test_blanks_between_elements_and_a_schema_location_are_nothing() -> None:
    tree = etree.fromstring(GOOD)
    etree.indent(tree)
    tree.set("{http://www.w3.org/2001/XMLSchema-instance}schemaLocation", "urn:bankgw:1 bankgw-1.xsd")
    body = b"\xef\xbb\xbf" + etree.tostring(tree, encoding="UTF-8", xml_declaration=True)
    assert parse_command(SUBMIT, "text/xml; charset=utf-8", body) == parse_command(SUBMIT, None, as_json(BODY))


def test_a_prefix_is_as_good_as_a_default_namespace() -> None:
    text = GOOD.decode().replace(' xmlns="', ' xmlns:b="').replace("<", "<b:").replace("<b:/", "</b:")
    assert parse_command(SUBMIT, None, text.replace("<b:?xml", "<?xml").encode()) == parse_command(
        SUBMIT, None, as_json(BODY)
    )


_ENTITY = b'<!DOCTYPE payment.submit [<!ENTITY a "1">]>'
_BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
_BODY = GOOD.partition(b"?>")[2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<a/>",
        b"<payment.submit/>",
        b'<payment.submit xmlns="urn:bankgw:2"/>',
        _BODY.replace(b"payment.submit", b"payment.cancel"),
        _ENTITY + _BODY.replace(b"12345.67", b"&a;"),
        _BOMB + _BODY.replace(b"INV-0931", b"&b;"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + _BODY,
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + _BODY.replace(b"INV-0931", b"&e;"),
        b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd">%p;]>' + _BODY,
        b"<?xml-stylesheet href='x'?>" + _BODY,
        _BODY + b"<?pi x?>",
        _BODY.replace(b"12345.67", b"123<!-- -->45.67"),
        b"<!-- x -->" + _BODY,
        _BODY.replace(b"12345.67", b"123<?pi?>45.67"),
        _BODY.replace(b"12345.67", b"&#0;"),
        _BODY.replace(b"</amount>", b"</amount><amount>1.00</amount>"),
        _BODY.replace(b"</name>", b"</name><name>x</name>", 1),
        _BODY.replace(b"<amount>", b"text<amount>"),
        _BODY.replace(b"</amount>", b"</amount>text"),
        _BODY.replace(b"</entry>", b'</entry><entry key="invoice">2</entry>'),
        _BODY.replace(b' key="invoice"', b""),
        _BODY.replace(b"<entry key", b"<tag key").replace(b"</entry>", b"</tag>"),
        _BODY + _BODY,
        _BODY.replace(b"12345.67", b"&undefined;"),
        _BODY[:-5],
        b'<?xml version="1.0" encoding="GBK"?>' + _BODY.decode().encode("gbk"),
        _BODY.decode().encode("gbk"),
        _BODY.decode().encode("utf-16"),
        b'<payment.submit xmlns="urn:bankgw:1">' + b"<a>" * 200 + b"</a>" * 200 + b"</payment.submit>",
        b'<payment.submit xmlns="urn:bankgw:1">' + b"<tags/>" * 30_000 + b"</payment.submit>",
    ],
)
def test_what_is_refused_as_malformed(body: bytes) -> None:
    found = refusal(body)
    assert found.code is Code.MALFORMED
    assert found.title
    assert "root:" not in found.title


def test_faults_have_the_pointers_of_json() -> None:
    assert faults("<id>a b</id><amount>1e3</amount><x/><creditor><acount>1</acount><name/></creditor>") == {
        "/id": FieldCode.PATTERN,
        "/amount": FieldCode.AMOUNT,
        "/x": FieldCode.UNKNOWN_FIELD,
        "/creditor/account": FieldCode.REQUIRED,
        "/creditor/acount": FieldCode.UNKNOWN_FIELD,
        "/creditor/name": FieldCode.TOO_SHORT,
        "/debtor": FieldCode.REQUIRED,
        "/currency": FieldCode.REQUIRED,
    }


def test_attributes_and_foreign_elements_are_unknown_fields() -> None:
    found = faults('<id unit="x">a</id><currency xmlns="urn:other">CNY</currency><tags a="b"/>')
    assert found["/id"] is FieldCode.TYPE
    assert found["/{urn:other}currency"] is FieldCode.UNKNOWN_FIELD
    assert found["/currency"] is FieldCode.REQUIRED
    assert found["/tags/@a"] is FieldCode.PATTERN
    assert faults("<amount><a>1</a></amount>")["/amount"] is FieldCode.TYPE


def test_nil_is_no_way_to_say_nothing() -> None:
    nil = '<purpose xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
    assert faults(nil)["/purpose"] is FieldCode.TYPE


def test_text_between_items_is_malformed() -> None:
    for accounts in (b"x<item>1</item>", b"<item>1</item>x"):
        body = b'<balance.query xmlns="urn:bankgw:1"><accounts>' + accounts + b"</accounts></balance.query>"
        assert refusal(body, CommandType.BALANCE_QUERY).code is Code.MALFORMED


def test_numbers_of_questions_are_numbers() -> None:
    start = "<account>1</account><from>2026-01-01</from><to>2026-01-02</to>"
    question = CommandType.TRANSACTIONS_QUERY
    assert faults(f"{start}<limit>0</limit>", question) == {"/limit": FieldCode.PATTERN}
    assert faults(f"{start}<limit>ten</limit>", question) == {"/limit": FieldCode.TYPE}
    assert faults("<accounts><item>1</item><item/></accounts>", CommandType.BALANCE_QUERY) == {
        "/accounts/1": FieldCode.TOO_SHORT
    }
    found = refusal(
        b'<balance.query xmlns="urn:bankgw:1"><accounts><x>1</x></accounts></balance.query>', CommandType.BALANCE_QUERY
    )
    assert found.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"12345.67", b"1e3"),
        (b">CNY<", b">cny<"),
        (b">normal<", b">fast<"),
        (b"<currency>CNY</currency>", b""),
        (b"<amount>", b"<x/><amount>"),
        (b"000000000000<", b"0<"),
        (b"AP-2026-000871", b"a b"),
    ],
)
def test_the_xsd_refuses_what_read_refuses(old: bytes, new: bytes) -> None:
    document = GOOD.replace(old, new, 1)
    assert document != GOOD
    assert isinstance(parse_command(SUBMIT, "application/xml", document), Refusal)
    assert not XSD.validate(etree.fromstring(document))
