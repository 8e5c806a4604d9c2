"""Fixed rows: 529 bytes and a newline. They are cut as bytes, whatever characters they contain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.banks.cib.rows import FIXED, ROW_BYTES, line_of_fixed, split
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line, Page
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import DEBTOR, QUERY, SIGNED_ON, TODAY, http_answer, payment, stage
from tests.protocols.banks.cib.test_statement import pay_often, read, walk

ACCOUNT = AccountNumber(DEBTOR)
# name, bytes: as the bank's page counts them
PLACES = (
    ("core_serial", 30),
    ("voucher_group", 10),
    ("voucher_number", 3),
    ("day", 8),
    ("clock", 6),
    ("region", 2),
    ("branch", 3),
    ("operation", 4),
    ("accounting", 4),
    ("teller_serial", 8),
    ("channel", 3),
    ("voucher", 10),
    ("client", 10),
    ("balance", 15),
    ("amount", 15),
    ("currency", 2),
    ("cash", 1),
    ("side", 1),
    ("correction", 1),
    ("corrected", 1),
    ("summary", 3),
    ("other_voucher", 32),
    ("other_account", 32),
    ("other_name", 120),
    ("other_bank_number", 14),
    ("other_bank", 70),
    ("route", 1),
    ("purpose", 60),
    ("remark", 60),
)
VALUES = {
    "core_serial": "S1",
    "voucher_group": "0000000077",
    "voucher_number": "001",
    "day": "20250108",
    "clock": "102030",
    "channel": "204",
    "balance": "50897.3",
    "amount": "12.50",
    "currency": "01",
    "side": "1",
    "other_name": "示例丙",
    "other_account": "0000000000000025",
    "other_bank": "建行",
    "purpose": "货款",
    "remark": "PO-77",
}


def row(**changes: str | bytes) -> bytes:
    """A row written out from the page's table."""
    cells = {**VALUES, **changes}
    parts = []
    for name, width in PLACES:
        cell = cells.get(name, "")
        data = cell if isinstance(cell, bytes) else cell.encode("gb18030")
        parts.append(data[:width].ljust(width))
    return b"".join(parts)


def document(*rows: bytes, size: str = "", more: str = "N", total: str = "", end: bytes = b"\n") -> bytes:
    """An answer with fixed rows, as bytes."""
    head = (
        f"<FOX>{SIGNED_ON}<SECURITIES_MSGSRSV1><FSTMTTRNRS><TRNUID>{QUERY}</TRNUID><STATUS><CODE>0</CODE></STATUS>"
        f"<SCUSTSTMTRS><ACCTFROM><ACCTID>{DEBTOR}</ACCTID></ACCTFROM><TOTAL>{total}</TOTAL><MORE>{more}</MORE>"
        f'<TRANLIST size="{size or len(rows)}">'
    ).encode()
    tail = b"</TRANLIST></SCUSTSTMTRS></FSTMTTRNRS></SECURITIES_MSGSRSV1></FOX>"
    return head + b"<![CDATA[" + b"".join(one + end for one in rows) + b"]]>" + tail


def page(*rows: bytes, **changes: str) -> Page:
    return read(http_answer(document(*rows, **changes)), lines="FSTMT", file_lines=100)  # type: ignore[arg-type]


def test_the_widths_are_the_page_s() -> None:
    assert tuple((column.name, column.width) for column in FIXED.columns) == PLACES
    assert ROW_BYTES + 1 == 530


def test_a_row_as_an_entry() -> None:
    line = line_of_fixed(row(), ACCOUNT)
    assert (line.bank_line_id, line.direction, line.amount) == ("202501080000000077001", Direction.CREDIT, Money(1_250))
    assert (line.balance, line.text, line.bank_date) == (None, "货款 PO-77", TODAY)
    assert line.booked_at is not None and line.booked_at.isoformat() == "2025-01-08T10:20:30+08:00"
    assert line.counterparty_name is not None and line.counterparty_name.clear == "示例丙"


def test_two_entries_never_share_a_key_because_their_numbers_are_short() -> None:
    pairs = (("1", "23"), ("12", "3"), ("123", ""))
    keys = [
        line_of_fixed(row(voucher_group=group, voucher_number=number or "0"), ACCOUNT).bank_line_id
        for group, number in pairs
    ]
    assert keys == ["202501081---------23-", "2025010812--------3--", "20250108123-------0--"]


@pytest.mark.parametrize("name", ["麤", "䶮", "镕", "𬭎", "麤䶮镕𬭎" * 8, "é", "x麤"])
def test_characters_beyond_gb2312_do_not_move_the_columns(name: str) -> None:
    [line] = page(row(other_name=name)).lines
    assert line.counterparty_name is not None and line.counterparty_name.clear == name
    assert (line.amount, line.text, line.counterparty_bank) == (Money(1_250), "货款 PO-77", "建行")


@given(st.text(st.characters(codec="gb18030", exclude_categories=["C", "Z"]), min_size=1, max_size=90))
def test_any_name_leaves_its_neighbours_alone(name: str) -> None:
    """A name that the bank cuts in the middle of a character changes no other field either."""
    [line] = page(row(other_name=name)).lines
    assert (line.amount, line.text, line.counterparty_bank) == (Money(1_250), "货款 PO-77", "建行")
    got = line.counterparty_name.clear if line.counterparty_name else ""
    whole = len(name.encode("gb18030")) <= 120
    assert got == name if whole else name.startswith(got) and len(got.encode("gb18030")) >= 117


def test_half_a_character_before_a_neighbour_that_begins_with_a_digit() -> None:
    """0x81 0x30 begins a character of four bytes. Decoded as one text, the name would absorb the bank's number."""
    [line] = page(row(other_name=b"x" + "长".encode("gbk") * 59 + b"\x81", other_bank_number="30120099")).lines
    assert line.counterparty_name is not None and line.counterparty_name.clear == "x" + "长" * 59
    assert (line.counterparty_bank, line.amount) == ("建行", Money(1_250))


@pytest.mark.parametrize("indent", [b"", b" ", b"        ", b"\t\t"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_indentation_and_line_ends(indent: bytes, end: bytes) -> None:
    # The first field may itself be padded on the left.
    rows = [indent + row(core_serial=b" " * 28 + b"S1"), indent + row(voucher_number="002")]
    made = split(document(*rows, end=end))
    assert [line_of_fixed(one, ACCOUNT).bank_line_id for one in made.rows] == [
        "202501080000000077001",
        "202501080000000077002",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [row()[:-1]],
        [b"x" + row()],
        [row(side="2")],
        [row(amount="")],
        [row(amount="1,5")],
        [row(day="20251308")],
        [row(voucher_group="")],
        [row(currency="14")],
        [row(purpose=b"\xff\xff")],
    ],
)
def test_a_row_that_cannot_be_trusted_is_none_and_hides_no_other(rows: list[bytes]) -> None:
    if b"14" in rows[0]:
        with pytest.raises(ProtocolError, match="correlation"):
            page(*rows)
        return
    found = page(*rows, row(voucher_number="002"))
    assert [line.bank_line_id[-3:] for line in found.lines] == ["002"]
    assert (found.unread, len(found.findings)) == (1, 1)


def test_the_page_s_own_counts_are_checked() -> None:
    two = (row(), row(voucher_number="002"))
    assert len(page(*two, total="2").lines) == 2
    for changes in ({"size": "3"}, {"size": "1"}, {"more": "X"}):
        with pytest.raises(ProtocolError):
            page(*two, **changes)


def test_the_count_of_closed_days_is_checked_and_today_s_may_grow() -> None:
    yesterday = TODAY.replace(day=7)
    answer = http_answer(document(row(), total="5"))
    assert len(read(answer, lines="FSTMT").lines) == 1
    with pytest.raises(ProtocolError):
        read(answer, yesterday, yesterday, lines="FSTMT")


def test_rows_outside_their_section_are_not_overlooked() -> None:
    loose = document().replace(b"<![CDATA[]]>", row(other_name="abc"))
    with pytest.raises(ProtocolError):
        read(http_answer(loose.replace(b'size="0"', b"")), lines="FSTMT")
    with pytest.raises(ProtocolError):
        split(document(row()) + document(row()))


@pytest.mark.parametrize("faults", [{"cut_names": True}, {"indent": True}])
def test_the_bank_s_side_with_names_cut_and_rows_indented(faults: dict[str, Any]) -> None:
    made = stage({"lines": "FSTMT"}, **faults)
    pay_often(made, 3)
    found: list[Line] = walk(made, TODAY, TODAY)
    assert [line.amount for line in found] == [Money(1), Money(2), Money(3)]
    assert {line.counterparty_account for line in found} == {payment().creditor.account}
    names = {line.counterparty_name.clear for line in found if line.counterparty_name}
    assert names == ({"x" + "长" * 59} if "cut_names" in faults else {"乙公司"})
