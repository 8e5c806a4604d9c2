"""Reading commands: a valid one becomes canon's types, a wrong one gets all its faults, nothing raises."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import Channel, PaymentDetail, Urgency
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.erp.commands import Media, claimed_id, media, parse_command
from protocols.erp.words import (
    BalanceQuery,
    CancelOrder,
    CommandType,
    ReceiptRequest,
    StatementRequest,
    StatusQuery,
    SubmitOrder,
    TransactionsQuery,
)
from tests.protocols.erp.orders import BODY, as_json, bodies, changed

SUBMIT = CommandType.PAYMENT_SUBMIT
MONEY = 'money is a string such as "12345.67", not a number'


def faults(body: Any, type_: CommandType = SUBMIT) -> dict[str, Fault]:
    found = parse_command(type_, "application/json", as_json(body))
    assert isinstance(found, Refusal), f"read as {found}"
    assert found.code is Code.SCHEMA
    assert len({fault.at for fault in found.faults}) == len(found.faults)
    return {fault.at: fault for fault in found.faults}


def order(body: Any) -> Any:
    found = parse_command(SUBMIT, "application/json", as_json(body))
    assert isinstance(found, SubmitOrder), found
    return found.order


def test_the_contracts_example_becomes_an_order() -> None:
    assert order(BODY).debtor == Party(AccountNumber("0000000000000000017"), Name("示例甲公司"))
    got = order(BODY)
    assert got.creditor == Party(
        AccountNumber("0000000000000000025"), Name("示例乙公司"), "示例银行某支行", "000000000000", PartyKind.CORPORATE
    )
    assert (got.id, got.amount, got.detail) == ("AP-2026-000871", Money(1234567, "CNY"), PaymentDetail())
    assert (got.purpose, got.urgency, got.channel) == ("货款 合同 HT-0931", Urgency.NORMAL, Channel.AUTO)
    assert got.valid_until == datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert got.not_before is None
    assert got.tags == {"invoice": "INV-0931"}


def test_only_five_fields_are_needed() -> None:
    got = order({name: BODY[name] for name in ("id", "debtor", "creditor", "amount", "currency")})
    assert (got.purpose, got.urgency, got.channel, got.valid_until, got.tags) == (
        "",
        Urgency.NORMAL,
        Channel.AUTO,
        None,
        {},
    )
    assert set(faults({})) == {"/id", "/debtor", "/creditor", "/amount", "/currency"}
    assert {fault.code for fault in faults({}).values()} == {FieldCode.REQUIRED}


def test_orders_of_one_account_share_its_words_and_only_theirs() -> None:
    first, second = order(BODY), order({**BODY, "id": "another"})
    assert second.debtor is first.debtor
    elsewhere = order({**BODY, "debtor": {**BODY["debtor"], "name": "另一家公司"}})
    assert elsewhere.debtor.name == Name("另一家公司")
    assert elsewhere.debtor.account == first.debtor.account


def test_all_faults_come_at_once_each_with_its_pointer() -> None:
    found = faults(
        changed(
            id="",
            debtor={"account": "1 2", "name": " x"},
            amount=12.5,
            currency="cny",
            urgency="fast",
            valid_until="2026-11-24",
            colour="red",
            tags={"a/b~c": "x", "n": 5},
        )
    )
    assert {at: fault.code for at, fault in found.items()} == {
        "/id": FieldCode.TOO_SHORT,
        "/debtor/account": FieldCode.PATTERN,
        "/debtor/name": FieldCode.PATTERN,
        "/amount": FieldCode.TYPE,
        "/currency": FieldCode.CURRENCY,
        "/urgency": FieldCode.UNKNOWN_CODE,
        "/valid_until": FieldCode.TIME,
        "/colour": FieldCode.UNKNOWN_FIELD,
        "/tags/a~1b~0c": FieldCode.PATTERN,
        "/tags/n": FieldCode.TYPE,
    }


def test_faults_between_fields_come_with_the_others() -> None:
    found = faults(changed(amount="1.234", not_before="2027-01-01T00:00:00Z", id=5))
    assert {at: fault.code for at, fault in found.items()} == {
        "/amount": FieldCode.AMOUNT,
        "/not_before": FieldCode.DATE_RANGE,
        "/id": FieldCode.TYPE,
    }
    assert set(faults(changed(amount="1.234"))) == {"/amount"}
    assert set(faults(changed(not_before=BODY["valid_until"]))) == {"/not_before"}


@pytest.mark.parametrize("number", [1, 12345.67, -1, 0, True, 10**30])
def test_a_number_is_no_money(number: object) -> None:
    found = faults(changed(amount=number))["/amount"]
    assert found.code is FieldCode.TYPE
    assert found.detail == ("must be a string, it is true or false" if number is True else MONEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.00",
        "-1",
        "+1",
        "1e3",
        "1.",
        ".5",
        "01",
        "1,000.00",
        " 1",
        "1 ",
        "1\n",
        "1234567890123456",
        "1.23456",
        "1.234",
        "١٢",
        "\uff11\uff12",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "9" * 300,
    ],
)
def test_text_that_is_no_amount(text: str) -> None:
    assert faults(changed(amount=text))["/amount"].code in (FieldCode.AMOUNT, FieldCode.TOO_LONG, FieldCode.TOO_SHORT)


@pytest.mark.parametrize(
    ("text", "minor"), [("1", 100), ("1.5", 150), ("0.01", 1), ("1.2300", 123), ("999999999999999.99", 10**17 - 1)]
)
def test_amounts(text: str, minor: int) -> None:
    assert order(changed(amount=text)).amount == Money(minor)


def test_decimals_follow_the_currency() -> None:
    assert order(changed(amount="5", currency="JPY")).amount == Money(5, "JPY")
    assert set(faults(changed(amount="5.5", currency="JPY"))) == {"/amount"}
    assert order(changed(amount="5.555", currency="KWD")).amount == Money(5555, "KWD")


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("2026-11-24T17:00:00+08:00", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("2026-11-24T09:00:00Z", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("2026-11-24T17:00:00.1234567+08:00", datetime(2026, 11, 24, 9, 0, 0, 123000, tzinfo=UTC)),
        ("2026-11-24T09:00:00.5Z", datetime(2026, 11, 24, 9, 0, 0, 500000, tzinfo=UTC)),
        ("2026-11-24T09:00:00.999999999-00:30", datetime(2026, 11, 24, 9, 30, 0, 999000, tzinfo=UTC)),
    ],
)
def test_times(text: str, read_as: datetime) -> None:
    got = order(changed(valid_until=text)).valid_until
    assert (got, got.tzinfo) == (read_as, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24",
        "2026-11-24T17:00:00",
        "2026-11-24 17:00:00+08:00",
        "2026-02-30T00:00:00Z",
        "2026-11-24T24:30:00Z",
        "2026-11-24T17:00:00+25:00",
        "2026-11-24T17:00+08:00",
        "0001-01-01T00:00:00+08:00",
        "9999-12-31T23:59:59-08:00",
        "2026-11-24T17:00:60Z",
        "2026-11-24T17:00:00.Z",
        "1795512345",
        "2026-11-24T17:00:00+08:00[Asia/Shanghai]",
    ],
)
def test_times_that_are_none(text: str) -> None:
    assert faults(changed(valid_until=text))["/valid_until"].code in (FieldCode.TIME, FieldCode.TOO_LONG)


@pytest.mark.parametrize(
    "number",
    [
        0x00,
        0x09,
        0x0A,
        0x7F,
        0x85,
        0xAD,
        0x200B,
        0x200F,
        0x2028,
        0x202E,
        0x2066,
        0xFEFF,
        0xFFFE,
        0xD800,
        0xDFFF,
        0xE0041,
    ],
)
def test_what_a_person_cannot_see_is_refused_with_its_place(number: int) -> None:
    hidden = chr(number)
    body = json.dumps(changed(purpose=f"货款{hidden}2")).encode()
    found = parse_command(SUBMIT, None, body)
    assert isinstance(found, Refusal)
    (fault,) = found.faults
    assert (fault.at, fault.code) == ("/purpose", FieldCode.FORBIDDEN_CHARACTER)
    assert f"U+{number:04X} at position 2" in fault.detail


@pytest.mark.parametrize("name", ["𠮷田", "䶮", "O'Neil & <Söhne>", 'A "B"', "全角　空格", "①€"])
def test_unusual_names_pass_here_and_are_the_banks_to_judge(name: str) -> None:
    assert order(changed(creditor={"account": "1", "name": name})).creditor.name == Name(name)


def test_limits_of_length() -> None:
    assert order(changed(id="x" * 64)).id == "x" * 64
    assert faults(changed(id="x" * 65))["/id"] == Fault("/id", FieldCode.TOO_LONG, "65 characters, limit 64", 64)
    assert faults(changed(id="付款单1"))["/id"].code is FieldCode.PATTERN
    assert order(changed(purpose="款" * 200)).purpose == "款" * 200
    assert faults(changed(purpose="款" * 201))["/purpose"].limit == 200
    assert faults(changed(tags={f"t{n}": "" for n in range(21)}))["/tags"].limit == 20
    assert faults(changed(tags={"a": "x" * 257}))["/tags/a"].code is FieldCode.TOO_LONG


def test_null_is_the_same_as_absent() -> None:
    assert order(changed(valid_until=None, purpose=None, tags={"a": None, "b": "1"})).tags == {"b": "1"}
    assert faults(changed(amount=None))["/amount"].code is FieldCode.REQUIRED


def test_a_near_miss_is_named() -> None:
    assert "'currency'" in faults(changed(curency="CNY"))["/curency"].detail
    assert "'account'" in faults(changed(debtor={"acount": "1", "name": "x"}))["/debtor/acount"].detail


def test_no_fault_repeats_what_was_sent() -> None:
    secret = "0000020200011223344"
    bad = changed(
        id=secret + "\n",
        debtor={"account": f"{secret}!", "name": f"{secret}\n"},
        amount=secret * 2,
        currency=secret,
        purpose=f"{secret}\x00",
        urgency=secret,
        valid_until=secret,
        tags={"a": secret * 20},
    )
    found = parse_command(SUBMIT, None, as_json(bad))
    assert isinstance(found, Refusal)
    assert len(found.faults) == 9
    assert secret not in repr(found)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not well-formed JSON"),
        (b"{", "line 1 column 2"),
        (b'{"id":"a","id":"b"}', "'id' occurs twice"),
        (b'{"debtor":{"name":"a","name":"a"}}', "'name' occurs twice"),
        (b'{"amount":NaN}', "NaN is not JSON"),
        (b'{"amount":-Infinity}', "-Infinity is not JSON"),
        (b'{"amount":"1"} x', "Extra data"),
        (b'{"amount":' + b"9" * 5000 + b"}", "too many digits"),
        ('{"id":"款"}'.encode("gbk"), "not UTF-8"),
        ('{"id":"a"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 17 + b"]" * 17, "deeper than 16"),
        (b'{"a":' * 200_000, "deeper than 16"),
        (b'{"id":"tab\there"}', "not well-formed JSON"),
        (b'{"x":' + as_json({f"n{n}": 0 for n in range(300)}) + b"}", "300 names"),
    ],
)
def test_what_is_no_json_is_malformed(body: bytes, says: str) -> None:
    found = parse_command(SUBMIT, "application/json", body)
    assert isinstance(found, Refusal)
    assert found.code is Code.MALFORMED
    assert says in found.title


def test_json_that_is_not_too_deep_and_no_object() -> None:
    for body in (b"[]", b'"x"', b"1", b"null", b"[" * 16 + b"]" * 16, b'{"purpose":"[[[[[[[[[[[[[[[[[[[[[[[["}'):
        found = parse_command(SUBMIT, None, body)
        assert isinstance(found, Refusal)
        assert found.code is Code.SCHEMA, body


def test_a_byte_order_mark_is_forgiven() -> None:
    assert parse_command(SUBMIT, None, b"\xef\xbb\xbf" + as_json(BODY)) == parse_command(SUBMIT, None, as_json(BODY))


def test_a_flood_of_faults_is_cut() -> None:
    found = parse_command(SUBMIT, None, as_json({f"n{n}": 0 for n in range(200)}))
    assert isinstance(found, Refusal)
    assert len(found.faults) == 100
    found = parse_command(CommandType.BALANCE_QUERY, None, as_json({"accounts": [1] * 100_000}))
    assert isinstance(found, Refusal)
    assert found.faults == (Fault("/accounts", FieldCode.TOO_LONG, "100000 items, limit 50", 50),)
    (long,) = (fault.at for fault in faults(changed(**{"x" * 5000: 1})).values())
    assert len(long) < 100


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", Media.JSON),
        ("application/json; charset=utf-8", Media.JSON),
        ("text/xml", Media.XML),
        ('Application/XML;charset="UTF-8"', Media.XML),
        (None, Media.JSON),
        ("", Media.JSON),
    ],
)
def test_media(content_type: str | None, expected: Media) -> None:
    assert media(content_type, b"{}") is expected


def test_media_without_content_type_and_what_is_refused() -> None:
    assert media(None, b"\xef\xbb\xbf \n<a/>") is Media.XML
    for wrong in ("text/plain", "application/json; charset=gbk", "application/json, application/xml", "\x00" * 10_000):
        refused = media(wrong, b"{}")
        assert isinstance(refused, Refusal)
        assert refused.code is Code.MALFORMED
        assert parse_command(SUBMIT, wrong, as_json(BODY)) == refused


def test_cancel() -> None:
    assert parse_command(CommandType.PAYMENT_CANCEL, None, b'{"id":"A1","reason":"x"}') == CancelOrder("A1", "x")
    assert parse_command(CommandType.PAYMENT_CANCEL, None, b'{"id":"A1"}') == CancelOrder("A1", "")
    assert set(faults({"payment": "x"}, CommandType.PAYMENT_CANCEL)) == {"/id", "/payment"}


def test_status_wants_exactly_one_name() -> None:
    key = "01KA5V3Q8ZJ4M2N7R9T6W0XYBC"
    assert parse_command(CommandType.STATUS_QUERY, None, b'{"id":"A1"}') == StatusQuery(id="A1")
    assert parse_command(CommandType.STATUS_QUERY, None, as_json({"payment": key, "id": None})) == StatusQuery(
        payment=key
    )
    assert faults({}, CommandType.STATUS_QUERY)["/id"].code is FieldCode.REQUIRED
    assert set(faults({"id": "A", "payment": key}, CommandType.STATUS_QUERY)) == {"/payment"}
    assert set(faults({"x": 1}, CommandType.STATUS_QUERY)) == {"/x", "/id"}
    assert set(faults({"id": 5}, CommandType.STATUS_QUERY)) == {"/id"}
    assert faults({"payment": key.lower()}, CommandType.STATUS_QUERY)["/payment"].code is FieldCode.PATTERN


def test_balance() -> None:
    got = parse_command(CommandType.BALANCE_QUERY, None, as_json({"accounts": ["1", "2", "1"], "max_age": "PT1H1M1S"}))
    assert got == BalanceQuery((AccountNumber("1"), AccountNumber("2")), 3661, 60)
    got = parse_command(
        CommandType.BALANCE_QUERY, None, as_json({"accounts": ["1"], "max_age": "PT0S", "max_wait": "PT10M"})
    )
    assert got == BalanceQuery((AccountNumber("1"),), 0, 600)
    assert faults({"accounts": []}, CommandType.BALANCE_QUERY)["/accounts"].code is FieldCode.TOO_SHORT
    assert set(faults({"accounts": ["1", 2]}, CommandType.BALANCE_QUERY)) == {"/accounts/1"}
    assert faults({"accounts": "1"}, CommandType.BALANCE_QUERY)["/accounts"].code is FieldCode.TYPE


@pytest.mark.parametrize("text", ["PT", "P1D", "30", "PT-1S", "PT0.5S", "pt5s", "PT1S1H", "PT25H", "PT99999S", "PT5"])
def test_durations_that_are_none(text: str) -> None:
    assert set(faults({"accounts": ["1"], "max_age": text}, CommandType.BALANCE_QUERY)) == {"/max_age"}


def test_transactions() -> None:
    base = {"account": "1", "from": "2026-01-01", "to": "2026-12-31"}
    wanted = CommandType.TRANSACTIONS_QUERY
    assert parse_command(wanted, None, as_json(base)) == TransactionsQuery(
        AccountNumber("1"), date(2026, 1, 1), date(2026, 12, 31), None, 500, 60
    )
    got = parse_command(wanted, None, as_json(base | {"after": "abc_-", "limit": 1, "max_wait": "PT5S"}))
    assert isinstance(got, TransactionsQuery)
    assert (got.after, got.limit, got.max_wait_s) == ("abc_-", 1, 5)
    assert faults(base | {"to": "2025-12-31"}, wanted)["/to"].code is FieldCode.DATE_RANGE
    assert faults(base | {"to": "2027-01-02"}, wanted)["/to"].limit == 366
    assert not isinstance(parse_command(wanted, None, as_json(base | {"to": "2027-01-01"})), Refusal)
    for limit in (0, 1001, "500", 5.0, True):
        assert set(faults(base | {"limit": limit}, wanted)) == {"/limit"}
    assert set(faults(base | {"from": "2026-02-30", "first": "x"}, wanted)) == {"/from", "/first"}


def test_the_id_of_a_refused_command() -> None:
    assert claimed_id("application/json", as_json(changed(amount=5))) == "AP-2026-000871"
    assert claimed_id(None, b'<payment.submit xmlns="urn:bankgw:1"><id>A1</id><x/></payment.submit>') == "A1"
    for body in (b"{", b"[]", b"{}", b'{"id":5}', as_json({"id": "x" * 65}), b"<a/>", b'{"id":"a b"}'):
        assert claimed_id(None, body) is None, body
    assert claimed_id("text/plain", b'{"id":"A1"}') is None


@given(st.sampled_from(CommandType), st.sampled_from(["application/json", "application/xml", None]), st.binary())
@example(SUBMIT, "application/xml", b'<payment.submit xmlns="urn:bankgw:1"><tags><entry/></tags></payment.submit>')
def test_any_bytes_are_read_or_refused(type_: CommandType, content_type: str | None, body: bytes) -> None:
    parse_command(type_, content_type, body)
    claimed_id(content_type, body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "debtor", "account", "tags", "amount", "accounts", "from"]) | st.text(max_size=4),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(CommandType), _json)
def test_any_json_is_read_or_refused(type_: CommandType, body: object) -> None:
    parse_command(type_, None, json.dumps(body).encode())


@given(bodies())
def test_what_is_right_is_read(body: dict[str, Any]) -> None:
    got = order(body)
    assert (got.id, str(got.amount)) == (body["id"], body["amount"])
    assert got.creditor.name.clear == body["creditor"]["name"]
    assert got.purpose == body.get("purpose", "")
    assert got.tags == body.get("tags", {})
    for name in ("valid_until", "not_before"):
        given_time, got_time = body.get(name), getattr(got, name)
        assert got_time == (None if given_time is None else datetime.fromisoformat(given_time))


def test_a_days_statement_and_a_past_balance() -> None:
    asked = parse_command(CommandType.STATEMENT_REQUEST, None, b'{"account":"1","date":"2026-11-23"}')
    assert asked == StatementRequest(AccountNumber("1"), date(2026, 11, 23), None, 500, 60)
    past = parse_command(CommandType.BALANCE_QUERY, None, b'{"accounts":["1"],"on":"2026-11-23"}')
    assert isinstance(past, BalanceQuery) and past.on == date(2026, 11, 23)


KEY = "01KA5V3Q8ZJ4M2N7R9T6W0XYBC"
ENTRY = {"account": "1", "bank_date": "2026-11-24", "bank_line_id": "9"}


@pytest.mark.parametrize("named", [{"id": "AP-1"}, {"payment": KEY}, ENTRY])
def test_a_receipt_is_named_in_one_of_three_ways(named: dict[str, str]) -> None:
    got = parse_command(CommandType.RECEIPT_REQUEST, None, as_json(named))
    assert isinstance(got, ReceiptRequest), got
    assert (got.page, got.max_wait_s) == (1, 3600)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, ["/id"]),
        ({"id": "a", "payment": KEY}, ["/payment"]),
        ({"id": "a", **ENTRY}, ["/account"]),
        ({"account": "1"}, ["/bank_date", "/bank_line_id"]),
        ({"id": "a", "page": 0}, ["/page"]),
        ({"id": "a", "max_wait": "PT25H"}, ["/max_wait"]),
    ],
)
def test_a_receipt_named_wrongly(body: dict[str, Any], at: list[str]) -> None:
    assert list(faults(body, CommandType.RECEIPT_REQUEST)) == at


def test_a_body_in_gbk_is_named_as_such() -> None:
    for content_type, body in (
        ("application/json", '{"id":"AP-1","purpose":"货款"}'.encode("gbk")),
        (
            "application/xml",
            '<payment.submit xmlns="urn:bankgw:1"><purpose>货款</purpose></payment.submit>'.encode("gbk"),
        ),
    ):
        refused = parse_command(CommandType.PAYMENT_SUBMIT, content_type, body)
        assert isinstance(refused, Refusal) and refused.code is Code.MALFORMED
        assert refused.title.endswith("read as GBK: write the body in UTF-8, the gateway converts it for the bank")
    neither = parse_command(CommandType.PAYMENT_SUBMIT, "application/json", b'{"id":"\xff\xff"}')
    assert isinstance(neither, Refusal) and "GBK" not in neither.title
