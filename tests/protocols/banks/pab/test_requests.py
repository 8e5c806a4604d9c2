"""The tables that write requests: their limits, and mistakes in them that the readback catches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from protocols.banks.pab.header import Sender
from protocols.banks.pab.options import Options
from protocols.banks.pab.requests import (
    AGENCY,
    AGENCY_LINE,
    BATCH,
    BATCH_LINE,
    FAST_PAYMENT,
    PAYMENT,
    REQUESTS,
    SWEPT,
    Written,
    WrittenBatch,
    request,
    request_with_rows,
)
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Bundle,
    Channel,
    Item,
    Kind,
    PayrollItemDetail,
    TransferDetail,
)
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.charset import GBK, Unencodable
from protocols.kit.errors import ProtocolError
from protocols.kit.request_fields import RequestTable
from protocols.kit.xmldoc import build
from protocols.readback import differs, wanted
from tests.protocols.banks.pab.paper import CREDITOR, DEBTOR, ENTERPRISE, NOON, REFERENCE, order

CNAPS = "102100099996"
BATCH_REFERENCE = "GW00000000000000B001"
OPTIONS = Options(ENTERPRISE, fast_pay_item="00001", sweeps="4052", agreement="AG1")
SINGLE: Mapping[str, RequestTable[Written]] = {"4004": PAYMENT, "KHKF03": FAST_PAYMENT, "4052": SWEPT}
TOGETHER = {"4018": (BATCH, BATCH_LINE), "4047": (AGENCY, AGENCY_LINE)}
PLACES = {
    "4004": ("OutAcctNo", "InAcctNo", "TranAmount"),
    "KHKF03": ("AcctNo", "InAcctNo", "TranAmount"),
    "4052": ("AcctNo", "subAccountNo", "Amount"),
    "4018": ("OutAcctNo", "InAcctNo", "TranAmount"),
    "4047": ("SrcAccNo", "OppAccNo", "Amount"),
}
"""Where each order states our account, the payee's account, and the amount."""
CURRENCY = {"4004": "CcyCode", "KHKF03": "CcyCode", "4018": "CcyCode", "4047": "Currency"}


def of(operation: str) -> AnyOrder:
    """The page's sample payment, as an order that goes by this operation."""
    plain: Any = order()
    details = {"4018": BatchItemDetail("B1", 1), "4047": PayrollItemDetail("B1", 1), "4052": TransferDetail("push")}
    if operation == "KHKF03":
        plain = replace(plain, channel=Channel.INSTANT)
    made: AnyOrder = replace(plain, detail=details.get(operation, plain.detail))
    return made


def _always(text: str, _subject: Any) -> str:
    return text


def with_texts(table: RequestTable[Any], texts: Mapping[str, str]) -> RequestTable[Any]:
    """The table with other texts in some of its fields."""
    fields = (
        replace(one, value=partial(_always, texts[one.name])) if one.name in texts else one for one in table.fields
    )
    return replace(table, fields=tuple(fields))


def differences(operation: str, texts: Mapping[str, str]) -> str:
    """The readback's word about the page's sample order, written by tables with other texts."""
    one = of(operation)
    if operation in SINGLE:
        body = request(with_texts(SINGLE[operation], texts), Written(one, REFERENCE, OPTIONS))
    else:
        head, row = (with_texts(table, texts) for table in TOGETHER[operation])
        bundle = Bundle(one.kind, (Item(one, REFERENCE),))
        body = request_with_rows(head, row, WrittenBatch.of(bundle, BATCH_REFERENCE, OPTIONS))
    wire = Sender(ENTERPRISE, "00000", "GW").message(operation, build(body, GBK), serial=1, now=NOON)
    return differs("pab", wire, [wanted(DEBTOR, CREDITOR, "10.00")])


@pytest.mark.parametrize("operation", PLACES)
def test_the_tables_write_what_the_order_says(operation: str) -> None:
    assert differences(operation, {}) == ""


@pytest.mark.parametrize("operation", PLACES)
def test_our_account_and_the_payee_s_exchanged_are_caught(operation: str) -> None:
    own, other, _amount = PLACES[operation]
    assert "another own account" in differences(operation, {own: CREDITOR, other: DEBTOR})


@pytest.mark.parametrize("operation", PLACES)
@pytest.mark.parametrize("written", ["1000", "0.10", "1000.00"])
def test_fen_in_the_place_of_yuan_are_caught(operation: str, written: str) -> None:
    assert "another amount" in differences(operation, {PLACES[operation][2]: written})


@pytest.mark.parametrize("operation", PLACES)
def test_the_payee_s_bank_in_the_place_of_the_payee_is_caught(operation: str) -> None:
    assert "another payee's account" in differences(operation, {PLACES[operation][1]: CNAPS})


@pytest.mark.parametrize("operation", CURRENCY)
def test_another_currency_is_caught(operation: str) -> None:
    assert "currency" in differences(operation, {CURRENCY[operation]: "USD"})


def test_a_sweep_in_the_other_direction_is_caught() -> None:
    assert "another own account" in differences("4052", {"guiJiType": "1"})


def test_payroll_written_as_a_collection_is_caught() -> None:
    assert "another own account" in differences("4047", {"PayType": "0"})


# ---- limits ----


@pytest.mark.parametrize("operation", SINGLE)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "长" * 31}, "value"),
        ({"creditor": Party(AccountNumber(""), Name("示例丙"), "工行", CNAPS)}, "missing"),
    ],
)
def test_an_order_beyond_a_table_s_limits_is_not_written(operation: str, changes: Any, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        request(SINGLE[operation], Written(replace(of(operation), **changes), REFERENCE, OPTIONS))
    assert caught.value.reason == reason


@pytest.mark.parametrize("reference", ["", "G" * 21, "GW-1", "凭证"])
def test_a_text_that_is_no_voucher_is_not_written(reference: str) -> None:
    with pytest.raises(ProtocolError, match="no voucher"):
        Written(of("4004"), reference, OPTIONS)
    with pytest.raises(ProtocolError, match="no voucher"):
        WrittenBatch.of(Bundle(Kind.BATCH_ITEM, (Item(of("4018"), reference),)), BATCH_REFERENCE, OPTIONS)


def test_a_character_outside_gbk_is_not_written() -> None:
    wrong = replace(of("4004"), creditor=Party(AccountNumber(CREDITOR), Name("示例𬭎"), "工行"))
    with pytest.raises(Unencodable):
        request(PAYMENT, Written(wrong, REFERENCE, OPTIONS))


def test_every_table_has_a_source_for_each_field_and_no_field_twice() -> None:
    for table in REQUESTS:
        names = [one.name for one in table.fields]
        assert len(names) == len(set(names)), table.operation
        assert all(one.source.startswith("banks/pab.md ") for one in table.fields), table.operation
