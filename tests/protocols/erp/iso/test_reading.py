"""pain.001 and pain.008 as commands: the same orders as in JSON, every fault with its element, no half-read order."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from protocols.canon.errors import Code, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import BatchItemDetail, CollectionDetail, PayrollItemDetail, Urgency
from protocols.canon.terms import DebitTerms
from protocols.erp import commands
from protocols.erp.fingerprint import batch_fingerprint, fingerprint
from protocols.erp.words import CommandType, SubmitBatch, SubmitFile, SubmitOrder
from tests.protocols.erp.iso.paper import OTHER, OURS, THEIRS, file, group, one, pain001, pain008, person, urgent
from tests.protocols.kit.iso20022.paper import DAY

CHINA = timezone(timedelta(hours=8))
XML = "application/xml"
VERSIONS = ["pain.001.001.03", "pain.001.001.09"]


def read(type_: CommandType, body: bytes) -> SubmitFile:
    found = commands.parse_command(type_, XML, body, CHINA)
    assert isinstance(found, SubmitFile), found
    return found


def refused(type_: CommandType, body: bytes) -> Refusal:
    found = commands.parse_command(type_, XML, body, CHINA)
    assert isinstance(found, Refusal), found
    return found


def faults(type_: CommandType, body: bytes) -> dict[str, FieldCode]:
    return {fault.at: fault.code for fault in refused(type_, body).faults}


def changed(body: bytes, *pairs: tuple[str, str]) -> bytes:
    for old, new in pairs:
        assert old.encode() in body, old
        body = body.replace(old.encode(), new.encode(), 1)
    return body


@pytest.mark.parametrize("name", VERSIONS)
def test_each_transfer_is_a_payment(name: str) -> None:
    found = read(CommandType.PAYMENT_SUBMIT, pain001(name=name))
    assert (found.message_id, found.name) == ("M-1", name)
    orders = [part.order for part in found.parts if isinstance(part, SubmitOrder)]
    assert [order.id for order in orders] == ["M-1/G-1/E2E-1", "M-1/G-1/E2E-2", "M-1/G-2/E2E-1"]
    assert [order.debtor.account.clear for order in orders] == [OURS, OURS, OTHER]
    first = orders[0]
    assert (first.amount, first.purpose, first.urgency) == (Money(1234, "CNY"), "货款 0931", Urgency.NORMAL)
    assert (first.creditor.account.clear, first.creditor.cnaps, first.creditor.bank_name) == (
        THEIRS,
        "000000000000",
        "示例银行某支行",
    )
    assert first.not_before == datetime(DAY.year, DAY.month, DAY.day, tzinfo=CHINA)
    assert first.tags == {
        "msg_name": name,
        "msg_id": "M-1",
        "pmt_inf_id": "G-1",
        "end_to_end_id": "E2E-1",
        "instr_id": "I-1",
    }


def test_each_group_is_a_batch() -> None:
    first, second = read(CommandType.BATCH_SUBMIT, pain001()).parts
    assert isinstance(first, SubmitBatch) and isinstance(second, SubmitBatch)
    assert (first.id, first.sum_minor, second.id) == ("M-1/G-1", 1235, "M-1/G-2")
    assert [order.detail for order in first.orders] == [BatchItemDetail("M-1/G-1", 1), BatchItemDetail("M-1/G-1", 2)]
    assert {order.ours.account.clear for order in second.orders} == {OTHER}
    assert first.orders[1].tags["end_to_end_id"] == "E2E-2" and first.tags["pmt_inf_id"] == "G-1"


def test_the_same_orders_as_in_json() -> None:
    """An order has the same fingerprint in whichever form it arrived."""
    [part] = read(CommandType.PAYMENT_SUBMIT, pain001(group("G-1", one(1)))).parts
    assert isinstance(part, SubmitOrder)
    party: dict[str, Any] = {
        "account": THEIRS,
        "name": "示例乙",
        "cnaps": "000000000000",
        "bank_name": "示例银行某支行",
    }
    said = {
        "id": "M-1/G-1/E2E-1",
        "debtor": {"account": OURS, "name": "示例甲公司"},
        "creditor": party,
        "amount": "12.34",
        "currency": "CNY",
        "purpose": "货款 0931",
        "not_before": "2026-11-24T00:00:00+08:00",
        "tags": dict(part.order.tags),
        "terms": {"end_to_end_id": "E2E-1"},
    }
    written = commands.parse_command(CommandType.PAYMENT_SUBMIT, "application/json", json.dumps(said).encode())
    assert isinstance(written, SubmitOrder)
    assert fingerprint(written.order) == fingerprint(part.order)
    [batch] = read(CommandType.BATCH_SUBMIT, pain001(group("G-1", one(1)))).parts
    [again] = read(CommandType.BATCH_SUBMIT, pain001(group("G-1", one(1)))).parts
    [other] = read(CommandType.BATCH_SUBMIT, pain001(group("G-1", one(1, "12.35")))).parts
    assert isinstance(batch, SubmitBatch) and isinstance(again, SubmitBatch) and isinstance(other, SubmitBatch)
    assert batch_fingerprint(batch) == batch_fingerprint(again) != batch_fingerprint(other)


def test_payroll_pays_persons_and_urgent_is_urgent() -> None:
    pay = replace(one(1), creditor=person(THEIRS))
    [part] = read(CommandType.PAYROLL_SUBMIT, pain001(urgent(group("G-1", pay)))).parts
    assert isinstance(part, SubmitBatch)
    assert isinstance(part.orders[0].detail, PayrollItemDetail) and part.orders[0].urgency is Urgency.URGENT


def test_a_pain_008_is_collections() -> None:
    [part] = read(CommandType.COLLECTION_SUBMIT, pain008()).parts
    assert isinstance(part, SubmitBatch)
    assert [order.detail for order in part.orders] == [
        CollectionDetail(f"MND-{n}", "M-8/G-1", n, DebitTerms(f"2026-01-0{n + 1}", "RCUR", "CORE")) for n in (1, 2)
    ]
    assert [(order.debtor.account.clear, order.ours.account.clear) for order in part.orders] == [(THEIRS, OURS)] * 2


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (CommandType.PAYMENT_SUBMIT, pain008()),
        (CommandType.COLLECTION_SUBMIT, pain001()),
        (CommandType.STATUS_QUERY, pain001()),
        (CommandType.PAYMENT_CANCEL, pain001()),
        (CommandType.PAYMENT_SUBMIT, pain001().replace(b"pain.001.001.09", b"pacs.008.001.08")),
        (CommandType.PAYMENT_SUBMIT, pain001()[:-9]),
    ],
)
def test_what_a_command_does_not_take(type_: CommandType, body: bytes) -> None:
    assert refused(type_, body).code is Code.MALFORMED


def test_counts_and_sums_that_are_not_the_file_s_refuse_all_of_it() -> None:
    body = changed(pain001(), ("<NbOfTxs>3</NbOfTxs>", "<NbOfTxs>4</NbOfTxs>"), ("<CtrlSum>12.35<", "<CtrlSum>12.36<"))
    top = "/Document/CstmrCdtTrfInitn"
    assert faults(CommandType.PAYMENT_SUBMIT, body) == {
        f"{top}/GrpHdr/NbOfTxs": FieldCode.TOTAL,
        f"{top}/PmtInf[1]/CtrlSum": FieldCode.TOTAL,
    }


@pytest.mark.parametrize("type_", [CommandType.PAYMENT_SUBMIT, CommandType.BATCH_SUBMIT])
def test_every_fault_names_its_element(type_: CommandType) -> None:
    body = pain001(group("G-1", one(1), one(2)), group("G-2", one(1), one(2), account="账号"))
    body = changed(
        body,
        (">12.34</InstdAmt>", ">0</InstdAmt>"),
        ("<CtrlSum>24.68<", "<CtrlSum>12.34<"),
        ("<CtrlSum>49.36<", "<CtrlSum>37.02<"),
    )
    top = "/Document/CstmrCdtTrfInitn"
    assert faults(type_, body) == {
        f"{top}/PmtInf[1]/CdtTrfTxInf[1]/Amt/InstdAmt": FieldCode.AMOUNT,
        f"{top}/PmtInf[2]/DbtrAcct/Id": FieldCode.PATTERN,
    }


def test_what_the_schema_forbids_is_told_with_its_line() -> None:
    body = changed(pain001(), ("<EndToEndId>E2E-1</EndToEndId>", ""))
    found = refused(CommandType.PAYMENT_SUBMIT, body)
    assert found.code is Code.SCHEMA and found.faults[0].at == "/Document"
    assert "EndToEndId" in found.faults[0].detail


def test_instructions_that_cannot_be_told_apart() -> None:
    twice = pain001(group("G-1", one(1), one(1)))
    at = "/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf[2]/PmtId"
    assert faults(CommandType.PAYMENT_SUBMIT, twice) == {at: FieldCode.REPEATED}
    assert faults(CommandType.BATCH_SUBMIT, twice) == {at: FieldCode.REPEATED}
    hidden = [replace(one(n), end_to_end_id="NOTPROVIDED") for n in (1, 2)]
    found = read(CommandType.PAYMENT_SUBMIT, pain001(group("G-1", *hidden)))
    assert [part.order.id for part in found.parts if isinstance(part, SubmitOrder)] == ["M-1/G-1/I-1", "M-1/G-1/I-2"]


def test_a_batch_is_of_one_currency() -> None:
    mixed = pain001(group("G-1", one(1), one(2, "1.00", "EUR")))
    assert len(read(CommandType.PAYMENT_SUBMIT, mixed).parts) == 2
    at = "/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf/Amt/InstdAmt/@Ccy"
    assert faults(CommandType.BATCH_SUBMIT, mixed) == {at: FieldCode.CURRENCY}


def test_long_and_strange_ids_keep_what_the_payee_sees() -> None:
    long = replace(one(1), end_to_end_id="E" * 35)
    body = pain001(replace(group("G" * 35, long)), message="消息 1")
    [part] = read(CommandType.PAYMENT_SUBMIT, body).parts
    [other] = read(CommandType.PAYMENT_SUBMIT, pain001(replace(group("G" * 35, long)), message="消息 2")).parts
    assert isinstance(part, SubmitOrder) and isinstance(other, SubmitOrder)
    assert part.order.id.startswith("E" * 35 + "~") and len(part.order.id) == 60
    assert part.order.id != other.order.id
    assert part.order.tags["msg_id"] == "消息 1"


def test_a_file_is_known_by_its_root_alone() -> None:
    assert commands.claimed_id(XML, pain001()) == "M-1"
    said = b'<payment.submit xmlns="urn:bankgw:1"><purpose>Document urn:iso:std:iso:20022:tech:xsd:pain.001.001.09</purpose></payment.submit>'
    found = commands.parse_command(CommandType.PAYMENT_SUBMIT, XML, said)
    assert isinstance(found, Refusal) and found.code is Code.SCHEMA, "it is read as the contract's own form"
    prefixed = (
        pain001()
        .replace(b"<", b"<p:")
        .replace(b"<p:/", b"</p:")
        .replace(b"xmlns=", b"xmlns:p=")
        .replace(b"<p:?", b"<?")
    )
    assert len(read(CommandType.PAYMENT_SUBMIT, prefixed).parts) == 3


def test_a_file_too_large_for_a_batch() -> None:
    body = pain001(group("G-1", *(one(n) for n in range(1001))))
    assert FieldCode.TOO_LONG in faults(CommandType.BATCH_SUBMIT, body).values()


def test_the_day_begins_where_the_bank_is() -> None:
    [part] = read(CommandType.PAYMENT_SUBMIT, pain001(group("G-1", one(1)))).parts
    utc = commands.parse_command(CommandType.PAYMENT_SUBMIT, XML, pain001(group("G-1", one(1))), UTC)
    assert isinstance(part, SubmitOrder) and isinstance(utc, SubmitFile) and isinstance(utc.parts[0], SubmitOrder)
    assert part.order.not_before is not None and utc.parts[0].order.not_before is not None
    assert utc.parts[0].order.not_before - part.order.not_before == timedelta(hours=8)


def test_versions_without_a_schema_here_are_read_by_their_names() -> None:
    assert len(read(CommandType.PAYMENT_SUBMIT, pain001().replace(b"pain.001.001.09", b"pain.001.001.11")).parts) == 3
    assert len(file().amounts) == 3
