"""Mistakes of a writer that the readback must see: accounts swapped, fen for yuan, the bank's number as the account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from protocols.canon.order import AnyOrder, Bundle, Kind, TransferDetail
from protocols.readback import PaidLine, differs, wanted
from tests.protocols.banks.cmb.paper import bank, bundle, context, first_step, order

FORMS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "DCPAYMNT": (order(), {}),
    "DCPAYMNT lines": (bundle(Kind.BATCH_ITEM, (12_345, 500)), {}),
    "DCOPRTRF": (order(TransferDetail()), {"transfer_code": "N02041"}),
    "NTAGCSAL": (bundle(Kind.PAYROLL_ITEM, (12_345, 500)), {}),
    "NTAGCACL": (bundle(Kind.COLLECTION, (12_345, 500)), {}),
    "AgentRequest pays": (bundle(Kind.PAYROLL_ITEM, (12_345, 500)), {"agency": "AgentRequest"}),
    "AgentRequest collects": (bundle(Kind.COLLECTION, (12_345, 500)), {"agency": "AgentRequest"}),
}


def said(given: Any, options: Mapping[str, Any]) -> tuple[bytes, list[PaidLine]]:
    """The adapter's document, and what it should pay."""
    made = bank(transport="socket", **options)
    word = made.bundles[given.kind].word if isinstance(given, Bundle) else made.money[given.kind]
    orders: list[AnyOrder] = [item.order for item in given.items] if isinstance(given, Bundle) else [given]
    lines = [wanted(one.debtor.account.clear, one.creditor.account.clear, str(one.amount)) for one in orders]
    return first_step(word(given, context())).data, lines


def swapped(data: bytes, one: str, other: str) -> bytes:
    """The document with the contents of two elements in each other's place, in every line."""
    pair = rb"<%s>(.*?)</%s>(.*?)<%s>(.*?)</%s>" % (one.encode(), one.encode(), other.encode(), other.encode())
    first, last = f"<{one}>".encode(), f"<{other}>".encode()
    changed, count = re.subn(
        pair, lambda m: first + m[3] + f"</{one}>".encode() + m[2] + last + m[1] + f"</{other}>".encode(), data
    )
    assert count, f"{one} and {other} are not in this message"
    return changed


def in_fen(data: bytes) -> bytes:
    return re.sub(rb"<TRSAMT>([0-9]+)\.([0-9]{2})</TRSAMT>", rb"<TRSAMT>\1\2</TRSAMT>", data)


@pytest.mark.parametrize("form", FORMS)
def test_what_we_write_is_read_back(form: str) -> None:
    data, lines = said(*FORMS[form])
    assert differs("cmb", data, lines) == ""


@pytest.mark.parametrize("form", FORMS)
def test_fen_for_yuan_is_seen(form: str) -> None:
    data, lines = said(*FORMS[form])
    assert in_fen(data) != data
    assert "amount" in differs("cmb", in_fen(data), lines)


@pytest.mark.parametrize("form", ["DCPAYMNT", "DCPAYMNT lines", "DCOPRTRF"])
def test_swapped_accounts_are_seen(form: str) -> None:
    data, lines = said(*FORMS[form])
    assert "own account" in differs("cmb", swapped(data, "DBTACC", "CRTACC"), lines)


@pytest.mark.parametrize(("form", "own"), [("NTAGCSAL", "ACCNBR"), ("AgentRequest pays", "DBTACC")])
def test_the_own_account_in_the_place_of_the_payee_s_is_seen(form: str, own: str) -> None:
    data, lines = said(*FORMS[form])
    assert differs("cmb", swapped(data, own, "ACCNBR"), lines)


@pytest.mark.parametrize(("form", "business"), [("AgentRequest pays", b"N03030"), ("AgentRequest collects", b"N03010")])
def test_a_payroll_sent_as_a_collection_is_seen(form: str, business: bytes) -> None:
    data, lines = said(*FORMS[form])
    turned = re.sub(rb"<BUSCOD>N0[0-9]{4}", b"<BUSCOD>" + business, data)
    assert "own account" in differs("cmb", turned, lines)


@pytest.mark.parametrize("field", ["BRDNBR", "CRTNAM", "CRTBNK"])
def test_the_payee_s_bank_or_name_in_the_place_of_the_account_is_seen(field: str) -> None:
    data, lines = said(*FORMS["DCPAYMNT"])
    assert "payee's account" in differs("cmb", swapped(data, "CRTACC", field), lines)


@pytest.mark.parametrize("business", [b"N03020", b"N03040"])
def test_a_business_that_is_not_known_is_not_read(business: bytes) -> None:
    data, lines = said(*FORMS["AgentRequest pays"])
    found = differs("cmb", data.replace(b"N03010", business), lines)
    assert found == (
        "" if business == b"N03020" else "the bytes cannot be read back: business 'N03040' is not known here"
    )
