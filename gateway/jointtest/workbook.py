"""The bank's own case workbook (xlsx): cases are read by a column mapping, and results are written back into it.

The mapping is a TOML file beside the workbook:

    sheet = "联调案例"                # default: the first sheet
    first_row = 3                    # the first row with a case; rows above stay as they are
    [columns]
    number = "A"                     # the bank's case number: as the report names it
    title = "C"
    case = "H"                       # our case, if the bank's sheet has a place for it; else [cases]
    [cases]                          # the bank's number = our case
    "TC-001" = "settles.payment"
    [results]                        # where results go; only these cells are written
    verdict = "I"
    why = "J"
    our_reference = "K"
    bank_serial = "L"
    our_tester = "M"
    bank_tester = "N"
    our_version = "O"
    bank_version = "P"
    round = "Q"
    date = "R"                       # Beijing time
    seen = "S"
    operation = "T"                  # the bank's transaction code, its answer's code and text
    bank_code = "U"
    bank_text = "V"
    amount = "W"
    account = "X"                    # the last digits of our account
    request = "Y"                    # the case's first message to the bank, and its answer, as text
    answer = "Z"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.jointtest.reason_words import reason_in
from gateway.jointtest.verdicts import TITLES, CaseVerdict
from protocols.kit.china import BEIJING

SheetColumn = Annotated[str, Field(pattern=r"^[A-Z]{1,3}$")]
_RESULTS = (
    "verdict",
    "why",
    "our_reference",
    "bank_serial",
    "our_tester",
    "bank_tester",
    "our_version",
    "bank_version",
    "round",
    "date",
    "seen",
    "operation",
    "bank_code",
    "bank_text",
    "amount",
    "account",
    "request",
    "answer",
)
_SEEN = {"bank": ("bank", "银行"), "twin": ("twin, not the bank", "模拟器，非银行")}
_EMPTY_MOST = 50
_CELL_CHARS_MOST = 32_000
_MESSAGES = {
    "request": ("gateway-*-sent-wire.*", "twin-*-request.bin"),
    "answer": ("gateway-*-heard-wire.*", "twin-*-answer.bin"),
}
_SPREADSHEET_SIGNS = ("=", "+", "-", "@")


class BadWorkbook(ValueError):
    """The workbook or its mapping cannot be used; every mistake on a line of its own."""


class _Columns(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    number: SheetColumn
    title: SheetColumn | None = None
    case: SheetColumn | None = None


class _Mapping(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    sheet: str | None = None
    first_row: int = Field(2, ge=1)
    columns: _Columns
    cases: Mapping[str, str] = Field(default_factory=dict)
    results: Mapping[str, SheetColumn] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BankCase:
    """One row of the bank's workbook. `case` is our case for it, empty if the mapping names none."""

    row: int
    number: str
    title: str
    case: str


def read_mapping(file: Path) -> _Mapping:
    """Read the mapping from the bank's workbook to our cases. Raises BadWorkbook."""
    try:
        told = _Mapping.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise BadWorkbook(f"{file}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        lines = (f"{file}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
        raise BadWorkbook("\n".join(lines)) from None
    except ValueError as error:
        raise BadWorkbook(f"{file}: is not TOML in UTF-8: {error}") from None
    unknown = sorted(told.results.keys() - set(_RESULTS))
    if unknown:
        raise BadWorkbook(f"{file}: results: no such result: {', '.join(unknown)}; there are {', '.join(_RESULTS)}")
    return told


def bank_cases(workbook: Path, told: _Mapping, known: frozenset[str]) -> list[BankCase]:
    """The bank's cases, each with our case. Raises BadWorkbook if the mapping names a case that does not exist."""
    sheet = _sheet(_open(workbook), told, workbook)
    found, empty = [], 0
    for row in range(told.first_row, sheet.max_row + 1):
        number = _text(sheet, told.columns.number, row)
        empty = empty + 1 if not number else 0
        if empty > _EMPTY_MOST:
            break
        if number:
            ours = _text(sheet, told.columns.case, row) or told.cases.get(number, "")
            found.append(BankCase(row, number, _text(sheet, told.columns.title, row), ours))
    wrong = [
        f"{workbook}: row {one.row}: {one.number}: we have no case {one.case}"
        for one in found
        if one.case and one.case not in known
    ]
    wrong += [
        f"{workbook}: {number} of [cases] stands in no row"
        for number in told.cases
        if number not in {one.number for one in found}
    ]
    if wrong:
        raise BadWorkbook("\n".join(wrong))
    return found


def fill(
    workbook: Path,
    told: _Mapping,
    cases: Mapping[str, Mapping[str, Any]],
    testers: Mapping[str, str],
    target: Path,
    known: frozenset[str],
    language: int = 1,
    evidence: Path | None = None,
) -> int:
    """Write results into a copy of the workbook; returns the number of rows written. Formats and other cells stay.

    `cases` is `pack.cases_of`; `language` is 0 for English and 1 for Chinese verdicts; `evidence` is the folder with
    the messages of each try. Raises BadWorkbook.
    """
    if not told.results:
        raise BadWorkbook("the mapping has no [results]: nothing would be written")
    book = _open(workbook)
    sheet, filled = _sheet(book, told, workbook), 0
    for one in bank_cases(workbook, told, known):
        result = cases.get(one.case)
        if result is None:
            continue
        filled += 1
        messages = _messages(evidence, str(result["evidence"])) if evidence is not None else {}
        for name, value in {**_values(result, testers, language), **messages}.items():
            if name in told.results:
                # A text that begins like a formula must not become one in the bank's spreadsheet.
                safe = f"'{value}" if value.startswith(_SPREADSHEET_SIGNS) else value
                sheet[f"{told.results[name]}{one.row}"] = safe
    target.parent.mkdir(parents=True, exist_ok=True)
    book.save(target)
    return filled


def _values(result: Mapping[str, Any], testers: Mapping[str, str], language: int) -> dict[str, str]:
    facts, versions = result["facts"], result["versions"]
    seen = _SEEN.get(result["seen"] or "", ("", ""))
    return {
        "verdict": TITLES[CaseVerdict(result["verdict"])][language],
        "why": reason_in(result["why"], "zh" if language else "en"),
        "our_reference": str(facts.get("bank_reference") or ""),
        "bank_serial": str(facts.get("bank_serial") or ""),
        "our_tester": result["by"] or testers.get("ours", ""),
        "bank_tester": testers.get("bank", ""),
        "our_version": versions.get("gateway", ""),
        "bank_version": versions.get("front_end", ""),
        "round": f"R{result['round']}",
        # The bank's engineer looks the day up in the bank's own logs.
        "date": datetime.fromisoformat(result["ended"] or result["started"]).astimezone(BEIJING).date().isoformat(),
        "seen": seen[language],
        "operation": str(facts.get("operation") or ""),
        "bank_code": str(facts.get("bank_code") or ""),
        "bank_text": str(facts.get("bank_text") or ""),
        "amount": str(facts.get("amount") or ""),
        "account": str(facts.get("account_tail") or ""),
    }


def _messages(evidence: Path, name: str) -> dict[str, str]:
    """The first message of a try to the bank and its answer, as text: the gateway's own record, else the twin's."""
    folder, found = evidence / name, {}
    for result, patterns in _MESSAGES.items():
        files = [file for pattern in patterns for file in sorted(folder.glob(pattern)) if file.stat().st_size]
        if files:
            found[result] = _readable(files[0].read_bytes())
    return found


def _readable(octets: bytes) -> str:
    """A message as text that a cell can hold: without control characters, cut to what a cell takes."""
    for charset in ("utf-8", "gb18030"):
        try:
            text = octets.decode(charset)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = octets.decode("latin-1")
    return "".join(c for c in text if c.isprintable() or c in "\n\t")[:_CELL_CHARS_MOST]


def _open(workbook: Path) -> Any:
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise BadWorkbook("workbooks need openpyxl: install bankgw[joint-test]") from None
    try:
        return openpyxl.load_workbook(workbook)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, BadZipFile, InvalidFileException) as error:
        # The errors that openpyxl raises for a broken zip, XML (a SyntaxError) or workbook.
        raise BadWorkbook(f"{workbook}: is no sound xlsx: {error!r}") from None


def _sheet(book: Any, told: _Mapping, workbook: Path) -> Any:
    if told.sheet is None:
        return book.worksheets[0]
    if told.sheet not in book.sheetnames:
        raise BadWorkbook(f"{workbook}: has no sheet {told.sheet}; it has {', '.join(book.sheetnames)}")
    return book[told.sheet]


def _text(sheet: Any, column: str | None, row: int) -> str:
    value = None if column is None else sheet[f"{column}{row}"].value
    return "" if value is None else str(value).strip()
