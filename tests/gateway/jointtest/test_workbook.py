"""The bank's workbook: it is read by a mapping, and written back with only the mapped cells changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import openpyxl
import pytest
from openpyxl.styles import Font

from gateway.jointtest.workbook import BadWorkbook, bank_cases, fill, read_mapping
from tests.gateway.jointtest.samples import result

KNOWN = frozenset({"settles.payment", "probe"})
TESTERS = {"ours": "企业甲", "bank": "银行乙"}
MAPPING = """
sheet = "联调案例"
first_row = 3
[columns]
number = "A"
title = "B"
[cases]
"TC-001" = "settles.payment"
"TC-002" = "probe"
[results]
verdict = "D"
why = "E"
our_reference = "F"
bank_serial = "G"
our_tester = "H"
bank_tester = "I"
our_version = "J"
bank_version = "K"
seen = "L"
operation = "M"
bank_code = "N"
bank_text = "O"
amount = "P"
account = "Q"
request = "R"
answer = "S"
date = "T"
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    made = openpyxl.Workbook()
    made.worksheets[0].title = "说明"
    sheet = made.create_sheet("联调案例")
    sheet["A1"], sheet["C1"] = "银企直联联调案例", "=1+1"
    sheet["A1"].font = Font(bold=True, color="FF0000")
    sheet.append(["编号", "案例", "步骤"])
    sheet.append(["TC-001", "单笔付款", "发 4004"])
    sheet.append(["TC-002", "签到", "发 S001"])
    sheet.append(["TC-003", "柜面核对", "人工"])
    made.save(tmp_path / "bank.xlsx")
    (tmp_path / "mapping.toml").write_text(MAPPING, "utf-8")
    return tmp_path / "bank.xlsx"


def test_it_is_read(book: Path) -> None:
    found = bank_cases(book, read_mapping(book.with_name("mapping.toml")), KNOWN)
    assert [(one.row, one.number, one.title, one.case) for one in found] == [
        (3, "TC-001", "单笔付款", "settles.payment"),
        (4, "TC-002", "签到", "probe"),
        (5, "TC-003", "柜面核对", ""),
    ]


def test_results_are_written_and_the_rest_stays(book: Path) -> None:
    told, target = read_mapping(book.with_name("mapping.toml")), book.with_name("filled.xlsx")
    facts = {"bank_reference": "03LSC4Y", "bank_serial": "20261128000000000001"}
    cases = {
        "settles.payment": result("passed", facts=facts),
        "probe": result("failed", why="=HYPERLINK(1)", seen="bank", ended="2026-11-28T22:00:00+00:00"),
    }
    facts |= {
        "operation": "4004",
        "bank_code": "E102",
        "bank_text": "户名不符",
        "amount": "1.05",
        "account_tail": "0017",
    }
    tried = book.parent / "evidence" / "R1-x-1"
    tried.mkdir(parents=True)
    (tried / "gateway-JT-1-05-sent-wire-signed-1.bin").write_bytes(b"signed octets")
    (tried / "gateway-JT-1-05-sent-wire.bin").write_bytes("<付款>\x00\x01</付款>".encode("gb18030"))
    (tried / "twin-01-money-request.bin").write_bytes(b"the twin's copy")
    (tried / "twin-01-money-answer.bin").write_bytes(b"=" * 40_000)
    assert fill(book, told, cases, TESTERS, target, KNOWN, 1, book.parent / "evidence") == 2
    sheet = openpyxl.load_workbook(target)["联调案例"]
    assert (sheet["T3"].value, sheet["T4"].value) == ("2026-11-28", "2026-11-29"), "days in China"
    assert [sheet[f"{column}3"].value for column in "DFGHIJKL"] == [
        "通过",
        "03LSC4Y",
        "20261128000000000001",
        "企业甲",
        "银行乙",
        "1",
        "V2",
        "模拟器，非银行",
    ]
    cells = [sheet[f"{column}3"].value for column in "MNOPQR"]
    assert cells == ["4004", "E102", "户名不符", "1.05", "0017", "<付款></付款>"]
    assert sheet["S3"].value == "'" + "=" * 32_000 and sheet["S3"].data_type == "s"
    assert sheet["D4"].value == "不通过" and sheet["L4"].value == "银行"
    assert sheet["E4"].value == "'=HYPERLINK(1)" and sheet["E4"].data_type == "s"
    assert sheet["D5"].value is None
    assert (sheet["A1"].value, sheet["C1"].value) == ("银企直联联调案例", "=1+1")
    assert sheet["A1"].font.bold and sheet["C3"].value == "发 4004"
    assert openpyxl.load_workbook(book)["联调案例"]["D3"].value is None, "the bank's own file stays as it is"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('"TC-002" = "probe"', '"TC-002" = "prob"'), "row 4: TC-002: we have no case prob"),
        (('"TC-002" = "probe"', '"TC-009" = "probe"'), "TC-009 of .cases. stands in no row"),
        (('sheet = "联调案例"', 'sheet = "x"'), "has no sheet x; it has 说明, 联调案例"),
        (('verdict = "D"', 'verdct = "D"'), "no such result: verdct"),
        (('number = "A"', 'number = "1"'), "columns.number"),
    ],
)
def test_a_mistake_in_the_mapping_is_told(book: Path, change: tuple[str, str], complaint: str) -> None:
    book.with_name("mapping.toml").write_text(MAPPING.replace(*change), "utf-8")
    with pytest.raises(BadWorkbook, match=complaint):
        bank_cases(book, read_mapping(book.with_name("mapping.toml")), KNOWN)


def test_a_broken_workbook_is_told(book: Path) -> None:
    told = read_mapping(book.with_name("mapping.toml"))
    for octets in (b"", b"PK\x03\x04 no zip", book.read_bytes()[:2000]):
        book.write_bytes(octets)
        with pytest.raises(BadWorkbook, match="no sound xlsx"):
            bank_cases(book, told, KNOWN)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_another_program_reads_the_filled_workbook(book: Path, tmp_path: Path) -> None:
    told, target = read_mapping(book.with_name("mapping.toml")), tmp_path / "filled.xlsx"
    fill(book, told, {"settles.payment": result("passed")}, TESTERS, target, KNOWN)
    subprocess.run(
        [
            "soffice",
            f"-env:UserInstallation=file://{tmp_path}/profile",
            "--headless",
            "--convert-to",
            "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,2",
            "--outdir",
            str(tmp_path),
            str(target),
        ],
        check=True,
        timeout=120,
    )
    assert "通过" in next(tmp_path.glob("*.csv")).read_text("utf-8")
