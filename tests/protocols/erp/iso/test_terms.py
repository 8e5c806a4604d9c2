"""The optional content of an ISO 20022 file, beyond parties and amounts: carried, refused by name, or explained to
people.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.kernel.commit import order_codec
from gateway.kernel.core.policy import Route, check, field_faults
from protocols.canon.errors import Code, FieldCode, Refusal
from protocols.canon.limits import FieldLimit, Limits
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Channel, Kind, Urgency
from protocols.canon.party import Address, Name
from protocols.canon.terms import NO_TERMS, Remittance, Terms
from protocols.erp import commands
from protocols.erp.fingerprint import fingerprint
from protocols.erp.words import CommandType, SubmitBatch, SubmitFile, SubmitOrder
from protocols.kit.iso20022.remittance import is_qrr, is_rf
from protocols.kit.iso20022.transfer import Transfer
from tests.protocols.erp.iso.paper import group, one, pain001
from tests.protocols.erp.iso.test_reading import CHINA, XML, changed, faults, read, refused
from tests.protocols.kit.iso20022.paper import DAY

RF, QRR = "RF18539007547034", "210000000003139471430009017"
PAYMENT, BATCH = CommandType.PAYMENT_SUBMIT, CommandType.BATCH_SUBMIT


def rich() -> Transfer:
    """A transfer with every optional field."""
    paid = one(1, currency="EUR")
    party = replace(
        paid.creditor.party,
        bic="BBBBFIHHXXX",
        bank_name=None,
        cnaps=None,
        address=Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1"),
    )
    parts = (
        Remittance(RF, "INV-1", Money(900, "EUR")),
        Remittance("", "CN-2", Money(100, "EUR"), credit_note=True),
        Remittance(QRR),
    )
    return replace(
        paid,
        creditor=replace(paid.creditor, party=party),
        remittances=parts,
        purpose="SUPP",
        ultimate_debtor="示例甲分公司",
        ultimate_creditor="示例丙",
        charge_bearer="DEBT",
    )


def order(body: bytes) -> AnyOrder:
    [part] = read(PAYMENT, body).parts
    assert isinstance(part, SubmitOrder)
    return part.order


@pytest.mark.parametrize("name", ["pain.001.001.03", "pain.001.001.09"])
def test_everything_is_carried(name: str) -> None:
    found = order(pain001(group("G-1", rich()), name=name))
    assert found.terms == Terms("E2E-1", "SUPP", "DEBT", rich().remittances, Name("示例甲分公司"), Name("示例丙"))
    assert (found.creditor.bic, found.creditor.bank_name) == ("BBBBFIHHXXX", None)
    assert found.creditor.address == Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1")


def test_the_journal_and_the_fingerprint_know_it() -> None:
    full = order(pain001(group("G-1", rich())))
    assert order_codec.decode(order_codec.encode(full, "v1:0")) == (full, "v1:0")
    others = [
        replace(full, terms=NO_TERMS),
        replace(full, creditor=replace(full.creditor, bic="CCCCFIHH")),
        replace(full, creditor=replace(full.creditor, address=None)),
    ]
    assert len({fingerprint(each) for each in (full, *others)}) == 4


def test_a_transfer_s_own_word_wins() -> None:
    fast = replace(one(1), urgent=True, instrument="INST")
    found = order(pain001(group("G-1", fast)))
    assert (found.urgency, found.channel) == (Urgency.URGENT, Channel.INSTANT)
    slow = replace(group("G-1", replace(one(1), urgent=False)), urgent=True, instrument="INST")
    found = order(pain001(slow))
    assert (found.urgency, found.channel) == (Urgency.NORMAL, Channel.INSTANT)


def test_a_batch_of_instant_and_other_transfers_is_refused() -> None:
    mixed = group("G-1", replace(one(1), instrument="INST"), one(2))
    assert faults(BATCH, pain001(mixed)) == {
        "/Document/CstmrCdtTrfInitn/PmtInf[1]/PmtTpInf/LclInstrm": FieldCode.UNSUPPORTED
    }
    instant = group("G-1", *(replace(one(n), instrument="INST") for n in (1, 2)))
    [part] = read(BATCH, pain001(instant)).parts
    assert isinstance(part, SubmitBatch)
    assert {each.channel for each in part.orders} == {Channel.INSTANT}


def test_an_hour_is_an_hour() -> None:
    at = datetime(2026, 11, 25, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    found = order(pain001(replace(group("G-1", one(1)), at=at)))
    assert found.not_before == at.astimezone(UTC)
    assert order(pain001(group("G-1", one(1)))).not_before == datetime(DAY.year, DAY.month, DAY.day, tzinfo=CHINA)


def test_a_cheque_is_no_transfer() -> None:
    said = refused(PAYMENT, changed(pain001(group("G-1", one(1))), ("<PmtMtd>TRF<", "<PmtMtd>CHK<")))
    assert said.faults[0].detail == "PmtMtd of G-1 is CHK: only transfers (TRF) are sent"


def test_check_digits_are_checked() -> None:
    [good, bad] = ["FI2112345600000785", "FI2112345600000758"]
    whole = pain001(group("G-1", one(1)))
    named = changed(whole, ("<Othr><Id>0000000000000000025</Id></Othr>", f"<IBAN>{good}</IBAN>"))
    assert order(named).creditor.account.clear == good
    at = "/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf"
    assert faults(PAYMENT, changed(named, (good, bad))) == {f"{at}[1]/CdtrAcct/Id": FieldCode.PATTERN}
    assert faults(BATCH, changed(named, (good, bad))) == {f"{at}[1]/CdtrAcct/Id": FieldCode.PATTERN}
    for wrong in (RF.replace("RF18", "RF19"), QRR[:-1] + "8"):
        broken = replace(one(1), remittances=(Remittance(wrong),))
        assert faults(PAYMENT, pain001(group("G-1", broken))) == {f"{at}[1]/RmtInf/Strd": FieldCode.PATTERN}
    assert is_rf(RF)
    assert is_qrr(QRR)
    [fault] = field_faults(FieldLimit("/creditor/account", iban=True), bad, "UTF-8")
    assert "modulo 97" in fault.detail


def test_comments_do_not_hinder() -> None:
    whole = pain001(group("G-1", one(1)))
    talked = changed(
        whole,
        ("<GrpHdr>", "<!-- a sample --><GrpHdr>"),
        ("<Document", "<!-- of a bank -->\n<Document"),
        ("<MsgId>M-1", "<MsgId><!-- x -->M-1"),
    )
    assert order(talked) == order(whole)
    assert isinstance(commands.parse_command(PAYMENT, XML, talked, CHINA), SubmitFile)


@pytest.mark.parametrize(
    ("declared", "charset", "told"),
    [
        ('<?xml version="1.0" encoding="ISO-8859-1"?>', "latin-1", "declares Latin-1"),
        ('<?xml version="1.0"?>', "latin-1", "look like ISO-8859-1 (Latin-1)"),
        ('<?xml version="1.0"?>', "gbk", "can be read as GBK"),
    ],
)
def test_a_file_in_another_charset_is_told_so(declared: str, charset: str, told: str) -> None:
    word = "Mäkelän Säätiö" if charset == "latin-1" else "示例乙有限公司"
    plain = changed(pain001(group("G-1", replace(one(1), text="rent"))), ("示例乙", word)).decode()
    plain = plain[plain.index("<Document") :]
    for ours in ("示例甲公司", "示例银行某支行") if charset == "latin-1" else ():
        plain = plain.replace(ours, "Oy")
    said = commands.parse_command(PAYMENT, XML, (declared + plain).encode(charset), CHINA)
    assert isinstance(said, Refusal)
    assert said.code is Code.MALFORMED
    assert told in said.title


def test_what_a_bank_cannot_carry_is_refused_by_name_and_the_rest_is_not() -> None:
    full = order(pain001(group("G-1", rich())))
    route = Route(
        "1",
        "c",
        "b",
        "l",
        "EUR",
        replace(Limits("UTF-8"), amount=replace(Limits("UTF-8").amount, currencies=("EUR",))),
        frozenset(Kind),
    )
    assert [fault.at for fault in check(full, route, DAY)] == [
        "/terms/charge_bearer",
        "/terms/remittances",
        "/terms/ultimate_debtor",
        "/terms/ultimate_creditor",
    ]
    carried = frozenset({"charge_bearer", "remittances", "ultimate_debtor", "ultimate_creditor"})
    assert check(full, replace(route, limits=replace(route.limits, terms=carried)), DAY) == ()
    modest = replace(full, terms=Terms("E2E-1", "SUPP", "SHAR", (Remittance(RF),)), purpose=f"rent {RF}")
    assert check(modest, route, DAY) == ()


def test_json_says_the_same() -> None:
    said = {
        "id": "A-1",
        "debtor": {"account": "1", "name": "x"},
        "amount": "10.00",
        "currency": "EUR",
        "creditor": {"account": "2", "name": "y", "bic": "BBBBFIHH", "address": {"country": "FI", "lines": ["PL 1"]}},
        "terms": {
            "charge_bearer": "SHAR",
            "ultimate_debtor": None,
            "remittances": [{"reference": RF, "amount": "9.00"}, {"invoice": "7", "credit_note": True}],
        },
    }
    found = commands.parse_command(PAYMENT, "application/json", json.dumps(said).encode())
    assert isinstance(found, SubmitOrder)
    parts = (Remittance(RF, "", Money(900, "EUR")), Remittance("", "7", None, credit_note=True))
    assert found.order.terms == Terms("", "", "SHAR", parts)
    assert found.order.creditor.address == Address("FI", lines=("PL 1",))
    said["terms"]["remittances"][0] |= {"amount": "9.001"}  # type: ignore[index]
    wrong = commands.parse_command(PAYMENT, "application/json", json.dumps(said).encode())
    assert isinstance(wrong, Refusal)
    assert [fault.at for fault in wrong.faults] == ["/terms/remittances/0/amount"]
