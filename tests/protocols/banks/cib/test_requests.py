"""The tables that write requests: lengths of the bank's page, and mistakes in them that the readback must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocols.bank import Submit
from protocols.banks.cib import requests
from protocols.canon.order import AnyOrder, Kind, Order, TransferDetail, Urgency
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.errors import ProtocolError
from protocols.kit.request_fields import RequestTable
from protocols.readback import differs, wanted
from tests.protocols.banks.cib.paper import BUNDLE, CENTRE, DEBTOR, bank, body_of, bundle, context, line, payment


def written(kind: str) -> tuple[bytes, list[AnyOrder]]:
    """The adapter's bytes for a message of this kind, and the orders in it."""
    own, centre = (
        Party(AccountNumber(DEBTOR), Name("甲公司")),
        Party(AccountNumber(CENTRE), Name("甲集团"), None, "309391000011"),
    )
    singles: dict[str, AnyOrder] = {
        "XFERTRN": payment(),
        "ICTRANSFERTRN": payment(urgency=Urgency.URGENT),
        "XPMTTRN": Order("T", own, centre, payment().amount, TransferDetail("sweep"), "调拨"),
    }
    many = {
        "ASYNBATCHTRSFRTRN": Kind.BATCH_ITEM,
        "RBATCHTRSFRTRN": Kind.BATCH_ITEM,
        "RPAYOFFTRN": Kind.PAYROLL_ITEM,
        "GATHERTRN": Kind.COLLECTION,
    }
    made = bank(fast_pay=True, batch="realtime" if kind == "RBATCHTRSFRTRN" else "async", own_cnaps=["309"])
    if kind in singles:
        order = singles[kind]
        step, orders = next(made.money[order.kind](order, context())), [order]
    else:
        orders = [line(1, many[kind]), line(2, many[kind], "20.00")]
        step = next(made.bundles[many[kind]].word(bundle(*orders), context(BUNDLE)))
    assert isinstance(step, Submit)
    assert f"<{kind}RQ>".encode() in step.data
    return step.data, orders


def noticed(kind: str) -> str:
    """What the readback says about the bytes of this kind."""
    data, orders = written(kind)
    lines = [wanted(one.debtor.account.clear, one.creditor.account.clear, str(one.amount)) for one in orders]
    return differs("cib", data, lines)


def other(of: Any) -> str:
    return str(of.other.account.clear)


def own(of: Any) -> str:
    order = of.order if isinstance(of, requests.Written) else of[0].items[0].order
    return str(order.creditor.account.clear if order.kind is Kind.COLLECTION else order.debtor.account.clear)


def its_bank(of: Any) -> str:
    return str(of.other.cnaps)


def fen(of: Any) -> str:
    return str(of.order.amount.minor)


def payee_of_first(of: Any) -> str:
    return "0000000000000025"


SINGLES, BATCHES = ("XFERTRN", "ICTRANSFERTRN", "XPMTTRN"), ("RBATCHTRSFRTRN",)
WRONG: list[tuple[str, str, str, Callable[[Any], str], tuple[str, ...]]] = [
    (
        "the payee's account for our own",
        "PAYER",
        "ACCTID",
        payee_of_first,
        (*SINGLES, *BATCHES, "ASYNBATCHTRSFRTRN", "RPAYOFFTRN"),
    ),
    ("our own account for the payee's", "PAYEE", "ACCTID", own, (*SINGLES, *BATCHES)),
    ("the bank's number for the payee", "PAYEE", "ACCTID", its_bank, (*SINGLES, *BATCHES)),
    ("fen for yuan", "PAYMENT", "TRNAMT", fen, SINGLES),
    ("fen for yuan", "REALTIME_LINE", "TRNAMT", fen, BATCHES),
    ("our own account for the payee's", "TEXT_LINE", "收款账号", own, ("ASYNBATCHTRSFRTRN",)),
    ("the bank's number for the payee", "TEXT_LINE", "收款账号", its_bank, ("ASYNBATCHTRSFRTRN",)),
    ("fen for yuan", "TEXT_LINE", "金额", fen, ("ASYNBATCHTRSFRTRN",)),
    ("our own account for the payee's", "CARD", "ACCTID", own, ("RPAYOFFTRN",)),
    ("the bank's number for the payee", "CARD", "ACCTID", its_bank, ("RPAYOFFTRN",)),
    ("fen for yuan", "CARD", "TRNAMT", fen, ("RPAYOFFTRN",)),
    ("the payer's account for our own", "COLLECTION", "ACCTID", payee_of_first, ("GATHERTRN",)),
    ("our own account for the payer's", "OTHER_PAYER", "ACCTID", own, ("GATHERTRN",)),
    ("the bank's number for the payer", "OTHER_PAYER", "ACCTID", its_bank, ("GATHERTRN",)),
    ("fen for yuan", "DEBIT", "APPLYAMT", fen, ("GATHERTRN",)),
]
CASES = [
    pytest.param(kind, table, field, value, id=f"{kind}-{what}")
    for what, table, field, value, kinds in WRONG
    for kind in kinds
]


@pytest.mark.parametrize(("kind", "table", "field", "value"), CASES)
def test_a_wrong_row_of_a_table_is_noticed_in_the_bytes(
    kind: str, table: str, field: str, value: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert noticed(kind) == ""
    right: RequestTable[Any] = getattr(requests, table)
    assert any(one.name == field for one in right.fields)
    fields = tuple(replace(one, value=value) if one.name == field else one for one in right.fields)
    monkeypatch.setattr(requests, table, replace(right, fields=fields))
    assert "another" in noticed(kind)


# ---- lengths ----

LENGTHS = {
    ("ACCTFROM", "ACCTID"): 18,
    ("ACCTFROM", "NAME"): 50,
    ("ACCTFROM", "CITY"): 30,
    ("ACCTTO", "NAME"): 50,
    ("ACCTTO", "BANKDESC"): 50,
    ("ACCTTO", "BANKNUM"): 12,
    ("RPAYOFF", "ACCTNAME"): 20,
    ("RPAYOFF", "ACCTID"): 18,
    ("RPAYOFFINFO, behind ACCTFROM", "TITLE"): 30,
    ("PAYINFO", "CONTRACTID"): 60,
    ("PAYINFO", "PURPOSE"): 30,
    ("a line of XFERINFOTEXT", "备注"): 50,
}


@pytest.mark.parametrize(("place", "most"), LENGTHS.items())
def test_lengths_are_those_of_the_bank_s_page(place: tuple[str, str], most: int) -> None:
    part, name = place
    [field] = [one for table in requests.REQUESTS if table.part == part for one in table.fields if one.name == name]
    assert field.most_bytes == most


def test_every_field_names_its_row_of_the_page() -> None:
    fields = [one for table in requests.REQUESTS for one in table.fields]
    assert len(fields) > 60 and all(one.source.startswith("banks/cib.md ") for one in fields)


@pytest.mark.parametrize(
    ("purpose", "option", "fits"), [("用" * 15, 30, True), ("用" * 16, 30, False), ("用" * 30, 60, True)]
)
def test_the_option_shortens_the_purpose(purpose: str, option: int, fits: bool) -> None:
    talk = bank(max_purpose_bytes=option).money[Kind.PAYMENT](payment(purpose=purpose), context())
    if fits:
        assert f"<PURPOSE>{purpose}</PURPOSE>" in body_of(next(talk))
    else:
        with pytest.raises(ProtocolError, match="PURPOSE takes 30 bytes, not 32"):
            next(talk)
