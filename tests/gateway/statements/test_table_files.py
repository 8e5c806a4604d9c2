"""Text tables: encodings, separators, preambles, totals, ruined numbers; no bytes end in another error."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.statements.rules.statement_files import BadStatement, from_csv
from gateway.statements.rules.table_files import BadTable, day_of, decoded
from protocols.canon.statement import Direction, Line

ACCOUNT = "00000000000118"
COLUMNS = {
    "id": "流水号",
    "date": "交易日期",
    "credit": "贷方发生额",
    "debit": "借方发生额",
    "counterparty_account": "对方账号",
    "text": "摘要",
}
HEADING = "交易日期,流水号,借方发生额,贷方发生额,对方账号,摘要"
EXPORT = f"""账号,{ACCOUNT},币种,人民币
查询区间：2026年11月1日至2026年11月30日

{HEADING}
2026年11月2日,1,-,"1,000.00",="00000000000299",货款
2026-11-03 09:30:12,2,300.00,0.00,'00000000000399,手续费
20261104101500,3,200.00,—,00000000000399\t,货款
合计,,500.00,"1,000.00",,
"""


def signed(line: Line) -> int:
    return line.amount.minor if line.direction is Direction.CREDIT else -line.amount.minor


def entries(text: str, encoding: str = "utf-8") -> list[tuple[str, int, str]]:
    told = from_csv(text.encode(encoding), ACCOUNT, "CNY", COLUMNS, "")
    return [(f"{line.bank_date}", signed(line), line.text) for line in told.lines]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_a_banks_export_is_read_without_a_declared_encoding(encoding: str, separator: str) -> None:
    text = EXPORT.replace("\t", "").replace('"1,000.00"', "1000.00").replace(",", separator)
    expected = [("2026-11-02", 100_000, "货款"), ("2026-11-03", -30_000, "手续费"), ("2026-11-04", -20_000, "货款")]
    assert entries(text, encoding) == expected


def test_cells_marked_as_text_for_a_spreadsheet_keep_their_zeros() -> None:
    told = from_csv(EXPORT.encode(), ACCOUNT, "CNY", COLUMNS, "")
    parties = [line.counterparty_account.clear for line in told.lines if line.counterparty_account]
    assert parties == ["00000000000299", "00000000000399", "00000000000399"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'00000000000399", "6.22E+18", "line 6, column 对方账号: '6.22E.18' has lost digits"),
        ("20261104101500", "46330", "line 7, column 交易日期: '46330' is a spreadsheet's day number"),
        ("2026-11-03 09:30:12", "202611", "line 6, column 交易日期: '202611' is not a date"),
        ("300.00", "301.00", "line 8: the total of debit is 500.00, the entries above it have 501.00"),
        ("300.00", "9" * 40, "line 6: .* more than 15 digits"),
        ("合计", "本页小计", "line 8, column 交易日期: '本页小计' is not a date"),
    ],
)
def test_what_a_spreadsheet_ruined_or_does_not_add_up_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(BadStatement, match=said):
        entries(EXPORT.replace(old, new, 1))


def test_a_name_that_begins_with_the_word_for_a_total_is_an_entry() -> None:
    text = "摘要,交易日期,流水号,借方发生额,贷方发生额,对方账号\n合计货款,2026-11-02,1,,5.00,\n"
    assert entries(text) == [("2026-11-02", 500, "合计货款")]


@pytest.mark.parametrize(("mark", "minor"), [("贷", 100), ("借", -100), ("C", 100), ("dr", -100), ("往账", -100)])
def test_an_amount_with_a_mark(mark: str, minor: int) -> None:
    [line] = from_csv(f"date,direction,amount\n2026-11-01,{mark},1\n".encode(), ACCOUNT, "CNY", {}, "").lines
    assert signed(line) == minor


@pytest.mark.parametrize(
    ("data", "said"), [(b"PK\x03\x04", "workbook .xlsx."), (b"\xff", "gb18030"), (b"a\0b", "control characters")]
)
def test_what_is_no_text(data: bytes, said: str) -> None:
    with pytest.raises(BadTable, match=said):
        decoded(data, "")


@given(some.one_of(some.binary(), some.text().map(lambda text: f"{HEADING}\n{text}".encode())))
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    try:
        from_csv(data, ACCOUNT, "CNY", COLUMNS, "")
    except BadStatement:
        return


@given(some.lists(some.text(alphabet="0123456789.,-/E+年月日合计借贷=\"' ", max_size=24), min_size=6, max_size=6))
def test_no_row_ends_in_another_error(cells: list[str]) -> None:
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    try:
        from_csv(f"{HEADING}\n{row}\n".encode(), ACCOUNT, "CNY", COLUMNS, "")
    except BadStatement:
        return


@given(some.dates(min_value=date(1000, 1, 1)))
def test_each_form_of_a_day(day: date) -> None:
    year, month, last = str(day).split("-")
    for text in (f"{year}{month}{last}", f"{year}/{int(month)}/{int(last)}", f"{year}年{int(month)}月{int(last)}日"):
        assert str(day_of(text, 2, "date")) == str(day)
