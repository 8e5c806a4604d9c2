"""One table in every form: amounts are numbers with the currency's decimals, accounts stay text, totals are by currency."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from openpyxl import load_workbook

from gateway.reconciliation.rows.exceptions import NEXT_STEPS, ExceptionKind
from gateway.reports import sources, written
from gateway.reports.catalogue import SOURCES
from gateway.reports.charts import ChartFigures, ChartSums, svg
from gateway.reports.forms import BANK_SERVICE, FORMS, OPEN_ITEMS, PAYMENTS
from gateway.reports.table import (
    CellKind,
    ReportForm,
    TableChart,
    TableColumn,
    TableHead,
    TableRow,
    TableTotals,
    harmless,
)
from gateway.reports.typesetting import NoPdf
from gateway.reports.written import csv_text, to_html, to_pdf, to_xlsx
from protocols.canon.order import Kind
from protocols.canon.outcome import State

FORM = ReportForm(
    "x",
    "余额",
    "Balances",
    (
        TableColumn("account", "账号", "Account", CellKind.ACCOUNT),
        TableColumn("currency", "币种", "Currency"),
        TableColumn("amount", "金额", "Amount", CellKind.MONEY, added=True),
        TableColumn("count", "笔数", "Count", CellKind.COUNT, added=True),
        TableColumn("share", "比率", "Share", CellKind.PERCENT),
    ),
    "关于",
    "About",
)
FACTS = TableHead((("期间", "2026-11-01"),))
ROWS: list[TableRow] = [
    {"account": "0000012345678901234", "currency": "CNY", "amount": 123_456, "count": 2, "share": 1_234},
    {"account": "00007", "currency": "JPY", "amount": 1_500, "count": 1, "share": None},
    {"account": "=1+1", "currency": "CNY", "amount": -44, "count": None, "share": 0},
]


def test_a_workbook_has_numbers_and_texts(tmp_path: Path) -> None:
    assert to_xlsx(FORM, FACTS, ROWS, "zh", tmp_path / "x.xlsx") == 3
    sheet = load_workbook(tmp_path / "x.xlsx").active
    assert sheet is not None and sheet.title == "余额"
    table = list(sheet.iter_rows(min_row=5))
    assert [cell.value for cell in table[0]] == ["账号", "币种", "金额", "笔数", "比率"]
    assert [cell.value for cell in table[1]] == ["0000012345678901234", "CNY", 1234.56, 2, 0.1234]
    assert (table[1][2].number_format, table[2][2].number_format) == ("#,##0.00", "#,##0")
    assert table[2][2].value == 1_500 and table[1][0].number_format == "@"
    assert (table[3][0].value, table[3][0].data_type) == ("=1+1", "s"), "a text is no formula"
    assert [[cell.value for cell in row][:4] for row in table[4:]] == [
        ["合计 CNY", "CNY", 1234.12, 2],
        ["合计 JPY", "JPY", 1_500, 1],
    ]


def test_csv_has_plain_amounts_and_no_formulas() -> None:
    table = list(csv.reader(io.StringIO(csv_text(FORM, ROWS, "en"))))
    assert table == [
        ["Account", "Currency", "Amount", "Count", "Share"],
        ["0000012345678901234", "CNY", "1234.56", "2", "12.34"],
        ["00007", "JPY", "1500", "1", ""],
        ["'=1+1", "CNY", "-0.44", "", "0.00"],
    ]


TEXTS = ("=1+1", "＝1+1", "＋1", "－1", "＠x", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "'=1", '"=1', "\n=1", "﹦1")


def test_no_text_is_a_formula_in_any_spreadsheet(tmp_path: Path) -> None:
    """Full-width signs, tabs and line ends before a sign: spreadsheets read these as a formula too."""
    rows: list[TableRow] = [{"account": text, "currency": "CNY"} for text in TEXTS]
    for [cell, *_] in list(csv.reader(io.StringIO(csv_text(FORM, rows, "en"), newline="")))[1:]:
        assert cell.startswith("'") and not set(cell) & {"\t", "\r", "\n"}
    file = tmp_path / "x.xlsx"
    to_xlsx(FORM, FACTS, rows, "en", file)
    cells = [row[0] for row in load_workbook(file).active.iter_rows() if row[0].quotePrefix]  # type: ignore[union-attr]
    assert len(cells) == len(TEXTS) and all(cell.data_type == "s" for cell in cells)
    assert harmless("a\r\nb\tc") == "a b c" and harmless("示例=甲") == "示例=甲" and harmless("5=5") == "5=5"


CHARTED = ReportForm(
    "x",
    "付款",
    "Payments",
    (
        TableColumn("state", "状态", "State", zh_words={"settled": "成功"}),
        TableColumn("currency", "币种", "Currency"),
        TableColumn("day", "日期", "Day", CellKind.DAY),
        TableColumn("amount", "金额", "Amount", CellKind.MONEY, added=True),
    ),
    "",
    "",
    (TableChart("笔数", "By state", ("state",)), TableChart("金额", "By day", ("day",), ("amount",), True, True)),
)
CHARTED_ROWS: list[TableRow] = [
    {"state": "settled", "currency": "CNY", "day": "2026-11-02", "amount": 100},
    {"state": "settled", "currency": "CNY", "day": "2026-11-01", "amount": 250},
    {"state": "settled", "currency": "CNY", "day": "2026-11-01", "amount": 50},
    {"state": "<failed>", "currency": "JPY", "day": "2026-11-01", "amount": 7},
    {"currency": "JPY", "amount": 7},
]


def test_a_chart_adds_up_and_never_two_currencies() -> None:
    sums = ChartSums(CHARTED)
    assert list(sums.passing(CHARTED_ROWS)) == CHARTED_ROWS
    by_state, by_day = sums.charts("zh")
    assert (by_state.labels, by_state.series) == (("成功", "<failed>"), (("笔数", (3.0, 1.0)),)), (
        "counts have no currency"
    )
    assert (by_day.title, by_day.labels) == ("金额 (CNY)", ("2026-11-01", "2026-11-02"))
    assert by_day.series == (("金额", (3.0, 1.0)),) and by_day.is_line
    crowded = ChartSums(CHARTED)
    for number in range(5_000):
        list(crowded.passing([{"state": str(number), "currency": "CNY", "amount": 1}]))
    assert crowded.charts("en") == []
    assert ChartSums(CHARTED).charts("en") == [] and [one.title for one in sums.charts("en")] == [
        "By state",
        "By day (CNY)",
    ]


def test_a_chart_is_drawn_in_every_form(tmp_path: Path) -> None:
    out = io.StringIO()
    to_html(CHARTED, FACTS, CHARTED_ROWS, "en", out)
    page = out.getvalue()
    assert page.count("<svg") == 2 and page.count("<polyline") == 1 and page.count("<circle") == 2
    assert "&lt;failed&gt;" in page and "<failed>" not in page and "href" not in page
    file = tmp_path / "x.xlsx"
    to_xlsx(CHARTED, FACTS, CHARTED_ROWS, "zh", file)
    sheet = load_workbook(file)["图表"]
    assert len(vars(sheet)["_charts"]) == 2 and [sheet["A3"].value, sheet["B3"].value] == ["成功", 3]
    line = svg(ChartFigures("t", True, ("a", "b"), (("n", (-5.0, 5.0)),)))
    assert "-5" in line and ElementTree.fromstring(line).tag.endswith("svg")
    for language, words in (("zh", ("123.5 亿", "1.0 万")), ("en", ("12.3 bn", "10.0 k"))):
        for value, word in zip((12_345_678_901.0, 10_000.0), words, strict=True):
            assert f">{word}<" in svg(ChartFigures("t", False, ("a",), (("n", (value,)),), language))
    for labels, count in (("成功", 13), ("2026-11-01 sample bank", 7)):
        drawn = svg(ChartFigures("t", False, (labels,) * 13, (("n", (1.0,) * 13),)))
        assert drawn.count('text-anchor="middle"') == count, "labels do not run into each other, and none is left out"
    assert ElementTree.fromstring(svg(ChartFigures("t", False, ("a",), (("n", (0.0,)),)))).tag.endswith("svg")
    try:
        octets, _ = to_pdf(CHARTED, FACTS, CHARTED_ROWS, "zh")
    except NoPdf as error:
        pytest.skip(str(error))
    assert octets.startswith(b"%PDF-")


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
def test_a_chart_shows_columns_that_there_are(form: ReportForm) -> None:
    columns = {column.key: column for column in form.columns}
    for chart in form.charts:
        assert chart.zh and chart.en and {*chart.label, *chart.values} <= columns.keys()
        assert all(columns[key].kind not in (CellKind.TEXT, CellKind.ACCOUNT) for key in chart.values)


def test_html_escapes_and_adds_up() -> None:
    out = io.StringIO()
    rows: list[TableRow] = [*ROWS, {"account": "<b>", "currency": "CNY", "amount": 1, "count": 0, "share": None}]
    assert to_html(FORM, FACTS, rows, "zh", out) == 4
    page = out.getvalue()
    assert "&lt;b&gt;" in page and "<b>" not in page and "<script" not in page
    assert re.findall(r"合计 (\w+).*?>([\d,.]+)<", page) == [("CNY", "1,234.13"), ("JPY", "1,500")]
    assert '<td class="n">12.34 %</td>' in page


def test_a_pdf_has_pages_and_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        octets, count = to_pdf(FORM, FACTS, ROWS * 40, "zh")
    except NoPdf as error:
        pytest.skip(str(error))
    assert octets.startswith(b"%PDF-") and count == 120
    monkeypatch.setattr(written, "PDF_MOST_ROWS", 2)
    with pytest.raises(written.CannotWrite, match="shorter period"):
        to_pdf(FORM, FACTS, ROWS, "zh")


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
def test_every_report_can_be_written_empty(form: ReportForm, tmp_path: Path) -> None:
    for language in ("zh", "en"):
        assert form.title(language) in (out := io.StringIO(), to_html(form, FACTS, (), language, out))[0].getvalue()
        assert to_xlsx(form, FACTS, (), language, tmp_path / f"{language}.xlsx") == 0
        assert csv_text(form, (), language).count("\r\n") == 1


def test_every_report_has_rows_and_both_languages() -> None:
    assert FORMS.keys() == SOURCES.keys()
    for form in FORMS.values():
        assert all(column.zh and column.en for column in form.columns)
        assert len({column.key for column in form.columns}) == len(form.columns)
        # A total without its currency would add amounts of different currencies.
        if any(column.kind is CellKind.MONEY for column in form.columns):
            assert "currency" in {column.key for column in form.columns}
    assert not any(column.kind is CellKind.MONEY for column in BANK_SERVICE.columns)


def test_states_and_kinds_have_chinese_words() -> None:
    words = {column.key: column.zh_words for column in PAYMENTS.columns}
    assert words["state"].keys() == {state.value for state in State}
    opened = {column.key: column.zh_words for column in OPEN_ITEMS.columns}
    assert opened["exception"].keys() == {kind.value for kind in ExceptionKind}
    assert opened["next_step"].keys() == set(NEXT_STEPS.values())
    assert words["exception"].keys() == {
        *sources._EXCEPTIONS.values(),
        *(word for _, word in sources.DOUBT_AGES),
        "no outcome for a day",
    }
    assert words["kind"].keys() == {kind.value for kind in Kind}
    row: TableRow = {"state": "in_doubt", "kind": "payment", "currency": "CNY"}
    assert "结果未知" in csv_text(PAYMENTS, [row], "zh") and "in_doubt" in csv_text(PAYMENTS, [row], "en")


def test_a_total_says_whose_it_is() -> None:
    totals = TableTotals(FORM.columns)
    assert list(totals.passing(ROWS)) == ROWS and totals.rows == 3
    assert totals.lines("en")[1] == {"account": "Total JPY", "currency": "JPY", "amount": 1_500, "count": 1}


def test_many_rows_fit_into_little_memory(tmp_path: Path) -> None:
    def rows() -> Iterator[TableRow]:
        for number in range(20_000):
            yield {**{column.key: f"text {number}" for column in PAYMENTS.columns}, "amount": number, "currency": "CNY"}

    tracemalloc.start()
    try:
        assert to_xlsx(PAYMENTS, FACTS, rows(), "zh", tmp_path / "big.xlsx") == 20_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
