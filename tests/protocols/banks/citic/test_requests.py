"""The tables that write the requests: the order of elements, their lengths, and the payments that the readback finds in
their bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from lxml import etree

from protocols.banks.citic.requests import REQUESTS
from protocols.canon.order import Kind, TransferDetail
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.errors import ProtocolError
from protocols.readback import differs, wanted
from tests.protocols.banks.citic.paper import OURS, THEIRS, bank, bundle, content, context, first_step, order, show

MONEY = ("DLOUTTRN", "DLINETRN", "CMMANSWP", "CMDWNSWP", "DLPAYBAT", "DLSALIMP", "DLAGENTF")


def written(action: str, **changes: Any) -> bytes:
    """The adapter's bytes for a message of this action."""
    details = {"DLINETRN": "transfer", "CMMANSWP": "sweep", "CMDWNSWP": "push"}
    bundled = {"DLPAYBAT": Kind.BATCH_ITEM, "DLSALIMP": Kind.PAYROLL_ITEM, "DLAGENTF": Kind.COLLECTION}
    made = bank(sweeps="CMMANSWP")
    if action in bundled:
        kind = bundled[action]
        step = first_step(made.bundles[kind].word(bundle(kind, (500, 700), **changes), context()))
    else:
        one = order(TransferDetail(details[action]), **changes) if action in details else order(**changes)
        step = first_step(made.money[one.kind](one, context()))
    data: bytes = step.data
    return data


def elements(data: bytes) -> tuple[list[str], list[str]]:
    """The names in the head, and in the first row."""
    root = etree.fromstring(content(data).partition("?>")[2])
    rows = root.findall("list/row")
    return [str(one.tag) for one in root], [str(one.tag) for one in rows[0]] if rows else []


@pytest.mark.parametrize(
    ("action", "head", "row"),
    [
        (
            "DLSALIMP",
            "clientID totalNumber totalAmount payAccountNo abstract msgAbstract preFlg preDate preTime yearMonth",
            "employeeNo employeeName recAccountNo tranAmount wagDetl",
        ),
        (
            "DLAGENTF",
            "clientID totalNumber totalAmount rcvAccountNo preFlg preDate preTime",
            "payAccountNo payAccountName tranAmount abstract",
        ),
    ],
)
def test_the_order_of_elements(action: str, head: str, row: str) -> None:
    assert elements(written(action)) == (["action", "userName", *head.split(), "list"], row.split())


def test_every_table_is_listed_once_and_names_its_page() -> None:
    assert set(MONEY) < {one.operation for one in REQUESTS}
    assert max(Counter((one.operation, one.part) for one in REQUESTS).values()) == 1
    assert all(field.source.startswith("citic.md") for one in REQUESTS for field in one.fields)


@pytest.mark.parametrize("action", MONEY)
def test_the_bank_s_name_stands_in_its_own_element_alone(action: str) -> None:
    other = Party(AccountNumber(THEIRS), Name("乙公司"), "中国工商银行北京分行", "102100099996")
    sides = {"creditor" if action != "DLAGENTF" else "debtor": other}
    _, shown = show(written(action, **sides))
    holds = [name for name, text in shown.items() if "工商银行" in text]
    assert holds == (["recOpenBankName"] if action == "DLOUTTRN" else [])


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("DLAGENTF", {"debtor": Party(AccountNumber("0" * 20), Name("丁"))}),
        ("DLINETRN", {"creditor": Party(AccountNumber("0" * 33), Name("丁"))}),
        ("CMMANSWP", {"creditor": Party(AccountNumber("0" * 20), Name("丁"))}),
        ("DLSALIMP", {"creditor": Party(AccountNumber(THEIRS), Name("名" * 62))}),
        ("DLPAYBAT", {"purpose": "款" * 52}),
        ("DLAGENTF", {"purpose": "款" * 41}),
    ],
)
def test_what_is_too_long_is_refused_before_anything_is_sent(action: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        written(action, **changes)


# ---- the readback finds what the tables could get wrong ----------------------------------------------------------

SIDES: Mapping[str, tuple[str, str]] = {
    "DLOUTTRN": ("payAccountNo", "recAccountNo"),
    "DLINETRN": ("payAccountNo", "recAccountNo"),
    "CMMANSWP": ("accountNo", "conAccountNo"),
    "CMDWNSWP": ("coreAccountNo", "accountNo"),
    "DLPAYBAT": ("list/row/payAccountNo", "list/row/recAccountNo"),
    "DLSALIMP": ("payAccountNo", "list/row/recAccountNo"),
    "DLAGENTF": ("rcvAccountNo", "list/row/payAccountNo"),
}
Change = Callable[[etree._Element, str], None]


def swapped_sides(root: etree._Element, action: str) -> None:
    own, other = (root.find(path) for path in SIDES[action])
    assert own is not None and other is not None
    own.text, other.text = other.text, own.text


def in_fen(root: etree._Element, action: str) -> None:
    for one in root.iter("tranAmount"):
        one.text = (one.text or "").replace(".", "")


def payee_is_the_bank(root: etree._Element, action: str) -> None:
    payee = root.find(SIDES[action][1])
    assert payee is not None
    payee.text = "102100099996"


def an_amount_of_another_line(root: etree._Element, action: str) -> None:
    first = next(root.iter("tranAmount"))
    first.text = "7.00"


@pytest.mark.parametrize("change", [swapped_sides, in_fen, payee_is_the_bank, an_amount_of_another_line])
@pytest.mark.parametrize("action", MONEY)
def test_a_mistake_of_the_writer_is_read_back(action: str, change: Change) -> None:
    data = written(action)
    amounts = ("5.00", "7.00") if action in ("DLPAYBAT", "DLSALIMP", "DLAGENTF") else ("10.00",)
    sides = (THEIRS, OURS) if action == "DLAGENTF" else (OURS, THEIRS)
    asked = [wanted(*sides, amount) for amount in amounts]
    assert differs("citic", data, asked) == ""
    head, _, body = data.partition(b"\r\n\r\n")
    root = etree.fromstring(body.decode("gbk").partition("?>")[2])
    change(root, action)
    assert differs("citic", head + b"\r\n\r\n" + etree.tostring(root, encoding="gbk"), asked) != ""
